"""Pose and light as functions of arrays and a generator."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a2cli.data.views import (
    REFERENCE_VIEW,
    TARGET_VIEW,
    ViewRange,
    apply_light,
    crop_scene,
    cut_blob,
    get_shading,
    recolour,
    sample_light,
    sample_shading,
    warp_view,
)


def make_subject(height: int = 80, width: int = 60) -> np.ndarray:
    subject = np.zeros((height, width, 4), np.uint8)
    subject[..., :3] = (200, 40, 90)
    subject[..., 3] = 255
    return subject


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(60, 240),
    width=st.integers(60, 240),
    view=st.sampled_from([REFERENCE_VIEW, TARGET_VIEW]),
)
def test_a_view_lies_inside_at_the_stated_size(seed: int, height: int, width: int, view: ViewRange) -> None:
    rgba = warp_view(make_subject(height, width), 96, view, np.random.default_rng(seed))
    again = warp_view(make_subject(height, width), 96, view, np.random.default_rng(seed))
    assert np.array_equal(rgba, again)
    assert rgba.shape == (96, 96, 4) and rgba.dtype == np.float32
    assert rgba.min() >= 0 and rgba.max() <= 1 + 1e-5 and (rgba[..., :3] <= rgba[..., 3:] + 1e-5).all()
    ys, xs = np.nonzero(rgba[..., 3] > 0.25)
    extent = max(np.ptp(ys), np.ptp(xs)) + 1
    assert view.extent[0] * 96 - 4 <= extent <= view.extent[1] * 96 + 4
    assert min(ys.min(), xs.min()) >= 1 and max(ys.max(), xs.max()) <= 94


def test_a_still_view_is_the_subject_itself() -> None:
    still = ViewRange(rotation=0, extent=(0.5, 0.5), perspective=0, stretch=0, shift=0)
    rgba = warp_view(make_subject(64, 64), 128, still, np.random.default_rng(0))
    ys, xs = np.nonzero(rgba[..., 3] > 0.5)
    assert (ys.min(), ys.max(), xs.min(), xs.max()) == (32, 95, 32, 95)
    inner = rgba[36:92, 36:92]
    np.testing.assert_allclose(inner[..., :3], np.array([200, 40, 90]) / 255 + 0 * inner[..., :3], atol=1e-3)
    assert (inner[..., 3] > 0.999).all() and not rgba[:30].any()


def test_light_scales_then_bends_and_stays_in_range() -> None:
    grey = np.full((4, 4, 3), 0.25)
    assert np.array_equal(apply_light(grey, np.array([1.0, 1, 1, 1])), grey)
    np.testing.assert_allclose(apply_light(grey, np.array([2.0, 1, 0.5, 0.5]))[0, 0], [1.0, 0.5, 0.25])
    np.testing.assert_allclose(apply_light(grey, np.array([8.0, 1, 1, 1]))[..., 0], 1.0)
    assert apply_light(np.array([[[-1.0, 0.5, 7.0]]]), np.array([1.0, 1, 1, 2])).tolist() == [[[0, 0.25, 1]]]
    lights = np.stack([sample_light(np.random.default_rng(i)) for i in range(400)])
    assert lights.shape == (400, 4) and (lights > 0.5).all() and (lights < 2).all()
    assert np.log(lights).mean(0) == pytest.approx([0, 0, 0, 0], abs=0.03)
    weak = np.stack([sample_light(np.random.default_rng(i), 0.3) for i in range(400)])
    assert np.log(weak).std() < 0.5 * np.log(lights).std()


def test_shading_is_a_ramp_around_one() -> None:
    field = get_shading(32, *sample_shading(np.random.default_rng(2)))
    assert field.shape == (32, 32, 1) and field.dtype == np.float32
    assert field.mean() == pytest.approx(1, abs=1e-5) and np.abs(field - 1).max() <= 0.12 * np.sqrt(2) + 1e-6
    assert np.abs(np.diff(field[..., 0], 2, axis=0)).max() < 1e-5  # no curvature
    assert (get_shading(8, *sample_shading(np.random.default_rng(2), 0.0)) == 1).all()
    below = get_shading(8, np.pi / 2, 0.1)
    assert below[-1, 3, 0] > below[0, 3, 0] and below[3, 0, 0] == pytest.approx(below[3, -1, 0])


def test_recolouring_keeps_the_silhouette_and_the_input() -> None:
    subject = make_subject()
    subject[:10, :, 3] = 77
    before = subject.copy()
    seen = {recolour(subject, np.random.default_rng(i))[20, 20, :3].tobytes() for i in range(10)}
    result = recolour(subject, np.random.default_rng(0))
    assert np.array_equal(subject, before) and np.array_equal(result[..., 3], subject[..., 3])
    assert result.dtype == np.uint8 and len(seen) > 5


@pytest.mark.parametrize("shape", [(300, 400), (120, 90), (40, 30)])
def test_a_blob_is_a_piece_of_its_photograph(shape: tuple[int, int]) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    for seed in range(10):
        blob = cut_blob(photo, np.random.default_rng(seed))
        side = blob.shape[0]
        assert blob.shape == (side, side, 4) and side <= min(shape)
        assert 0.15 < (blob[..., 3] > 127).mean() < 0.95
        windows = np.lib.stride_tricks.sliding_window_view(photo, (side, side, 3))[:, :, 0]
        row = (windows[:, :, 0, :8] == blob[0, :8, :3]).all((-1, -2))
        assert any(
            np.array_equal(windows[y, x], blob[..., :3]) for y, x in zip(*np.nonzero(row), strict=True)
        )


def test_a_scene_is_a_square_of_the_photograph() -> None:
    photo = np.zeros((100, 200, 3), np.uint8)
    photo[..., 0] = np.arange(200)
    scenes = [crop_scene(photo, 64, np.random.default_rng(i)) for i in range(20)]
    for scene in scenes:
        assert (
            scene.shape == (64, 64, 3) and scene.dtype == np.float32 and 0 <= scene.min() <= scene.max() <= 1
        )
        assert not scene[..., 1:].any() and np.ptp(scene[:, 5, 0]) < 1e-6
    slopes = {bool(scene[0, -1, 0] > scene[0, 0, 0]) for scene in scenes}
    assert slopes == {True, False}  # mirrored half the time
    assert crop_scene(photo[:20, :20], 64, np.random.default_rng(0)).shape == (64, 64, 3)
