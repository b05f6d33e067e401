"""Structural similarity."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from a2cli.errors import DataError
from a2cli.metrics.measure import Weights
from a2cli.metrics.shots import Shot
from a2cli.metrics.ssim import BAND, REACH, build_measure, get_ssim_map, get_ssim_values
from a2cli.metrics.table import choose_metrics

RNG = np.random.default_rng(0)
A = RNG.integers(0, 256, (BAND + 60, 40, 3), dtype=np.uint8)
B = np.clip(A + RNG.integers(-60, 60, A.shape), 0, 255).astype(np.uint8)
MASK = np.zeros(A.shape[:2], bool)
MASK[100:150, 12:30] = True
MASK[120:, :20] = False


def get_ssim_naively(a: np.ndarray, b: np.ndarray, y: int, x: int) -> float:
    """Equation 13 of the publication at one pixel, mean over channels."""
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    window /= window.sum()
    values = []
    for channel in range(3):
        p, q = (image[y - 5 : y + 6, x - 5 : x + 6, channel].astype(float) for image in (a, b))
        mp, mq = (window * p).sum(), (window * q).sum()
        vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
        cov = (window * (p - mp) * (q - mq)).sum()
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        values.append((2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
    return float(np.mean(values))


def test_equals_the_formula_at_each_pixel_and_bands_do_not_show() -> None:
    similarity = get_ssim_map(A, B)
    rows = [REACH, 40, BAND - 1, BAND, BAND + REACH - 1, BAND + REACH, BAND + 59 - REACH]
    for y in rows:
        for x in (REACH, 17, 39 - REACH):
            assert similarity[y, x] == pytest.approx(get_ssim_naively(A, B, y, x), abs=1e-9)
    assert np.isnan(similarity[:REACH]).all() and np.isnan(similarity[:, -REACH:]).all()
    assert np.isfinite(similarity[REACH:-REACH, REACH:-REACH]).all()


def test_the_whole_picture_is_scikit_images_value_and_regions_are_means_of_its_map() -> None:
    wanted, full = structural_similarity(
        A, B, channel_axis=2, data_range=255, gaussian_weights=True, use_sample_covariance=False, full=True
    )
    values = get_ssim_values(Shot("a", A, MASK, target=B))
    assert values["ssim"] == pytest.approx(wanted, abs=1e-9)
    assert values["ssim@crop"] == pytest.approx(full[100:150, 12:30].mean(), abs=1e-9)
    assert values["ssim@mask"] == pytest.approx(full[MASK].mean(), abs=1e-9)


def test_known_truths() -> None:
    assert get_ssim_values(Shot("a", A, MASK, target=A)) == pytest.approx(
        {"ssim": 1.0, "ssim@crop": 1.0, "ssim@mask": 1.0}
    )
    other = RNG.integers(0, 256, A.shape, dtype=np.uint8)
    assert abs(get_ssim_values(Shot("a", A, MASK, target=other))["ssim"]) < 0.02
    assert get_ssim_values(Shot("a", A, MASK, target=255 - A))["ssim"] < -0.9
    shifted = get_ssim_values(Shot("a", np.roll(A, 1, axis=1), MASK, target=A))["ssim"]
    assert abs(shifted) < 0.1 < get_ssim_values(Shot("a", B, MASK, target=A))["ssim"]


def test_what_changes_far_from_the_mask_does_not_count_in_it() -> None:
    edited = A.copy()
    edited[: 100 - REACH] = 0
    values = get_ssim_values(Shot("a", edited, MASK, target=A))
    assert values["ssim@mask"] == pytest.approx(1.0) and values["ssim"] < 0.6


@pytest.mark.parametrize("shape", [(10, 40, 3), (40, 10, 3), (1, 1, 3)])
def test_a_picture_smaller_than_the_window_has_no_value(shape: tuple[int, ...]) -> None:
    tiny = np.zeros(shape, np.uint8)
    assert get_ssim_values(Shot("a", tiny, np.ones(shape[:2], bool), target=tiny)) == {}


def test_a_region_in_the_edge_of_the_picture_has_no_value() -> None:
    edge = np.zeros_like(MASK)
    edge[:REACH] = True
    assert get_ssim_values(Shot("a", A, edge, target=B)).keys() == {"ssim"}
    exact = np.zeros((11, 11, 3), np.uint8)
    assert get_ssim_values(Shot("a", exact, np.eye(11, dtype=bool), target=exact))["ssim@mask"] == 1.0


def test_without_scikit_image_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(DataError, match=r"scikit-image is not installed \(pip install 'a2cli\[eval\]'\)"):
        build_measure(choose_metrics(["ssim"]), Weights(), "cpu")
