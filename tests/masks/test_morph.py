"""Discs against their definition; shift, boxes and overlap."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from a2cli.errors import DataError
from a2cli.images.geometry import get_bounding_box
from a2cli.masks import morph
from a2cli.masks.morph import (
    dilate_disc,
    erode_disc,
    find_bounding_box,
    get_iou,
    grow_box,
    require_bounding_box,
    shift,
)

masks = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=17))
radii = st.one_of(st.integers(0, 9).map(float), st.floats(0, 9))


def dilate_by_definition(mask: np.ndarray, radius: float) -> np.ndarray:
    ys, xs = np.indices(mask.shape)
    dilated = np.zeros_like(mask)
    for y, x in np.argwhere(mask):
        dilated |= (ys - y) ** 2 + (xs - x) ** 2 <= radius * radius + 1e-9
    return dilated


@settings(max_examples=150, deadline=None)
@given(masks, radii)
def test_dilation_is_the_disc_by_definition(mask: np.ndarray, radius: float) -> None:
    assert np.array_equal(dilate_disc(mask, radius), dilate_by_definition(mask, radius))


def test_a_large_disc_is_exact_at_every_integer_radius() -> None:
    point = np.zeros((181, 181), bool)
    point[90, 90] = True
    for radius in range(1, 90):
        assert np.array_equal(dilate_disc(point, radius), dilate_by_definition(point, radius))


def draw_blobs(height: int, width: int, seed: int) -> np.ndarray:
    """Solid islands with holes, some of them cut off by the frame."""
    noise = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 5) > 0.03


@pytest.mark.parametrize("area", [0, 1 << 24], ids=["distance transform", "runs"])
@pytest.mark.parametrize("radius", [1.0, 2.5, 7.0, 40.0, 200.0])
def test_both_ways_of_dilation_are_the_disc_by_definition(
    area: int, radius: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(morph, "RUNS_AREA", area)
    for seed in range(3):
        mask = draw_blobs(60, 80, seed)
        assert np.array_equal(dilate_disc(mask, radius), dilate_by_definition(mask, radius))


def test_a_mask_of_dust_is_dilated_as_by_definition() -> None:
    dust = np.random.default_rng(0).random((40, 300)) < 0.2  # so many runs that the transform is cheaper
    for radius in (1.0, 3.0, 20.0):
        assert np.array_equal(dilate_disc(dust, radius), dilate_by_definition(dust, radius))


def test_a_radius_beyond_the_image_fills_it() -> None:
    point = np.zeros((7, 900), bool)
    point[3, 4] = True
    for radius in (1e4, 1e300):
        assert dilate_disc(point, radius).all()


def test_the_quick_bounding_box_is_the_plain_one() -> None:
    for seed in range(5):
        mask = draw_blobs(40, 30, seed)
        assert find_bounding_box(mask) == get_bounding_box(mask)
        assert find_bounding_box(mask[3:, 5:]) == get_bounding_box(mask[3:, 5:])
    assert find_bounding_box(np.zeros((5, 6), bool)) is None
    assert find_bounding_box(np.full((2, 3), 0.1)) == (0, 0, 3, 2)


def test_a_grown_box_stays_in_the_image() -> None:
    assert grow_box((4, 3, 10, 8), 2, (20, 30)) == (slice(1, 10), slice(2, 12))
    assert grow_box((0, 1, 10, 8), 5, (9, 12)) == (slice(0, 9), slice(0, 12))


@settings(max_examples=60, deadline=None)
@given(masks, radii)
def test_erosion_is_dilation_of_the_rest(mask: np.ndarray, radius: float) -> None:
    eroded = erode_disc(mask, radius)
    assert np.array_equal(~eroded, dilate_by_definition(~mask, radius))
    assert not (eroded & ~mask).any()


def test_erosion_leaves_the_frame_side_alone() -> None:
    assert erode_disc(np.ones((9, 9), bool), 3).all()


@pytest.mark.parametrize("radius", [-1.0, float("nan"), float("inf")])
def test_impossible_radius_is_refused(radius: float) -> None:
    with pytest.raises(DataError, match="radius"):
        dilate_disc(np.ones((3, 3), bool), radius)


@settings(max_examples=60, deadline=None)
@given(masks, st.integers(-20, 20), st.integers(-20, 20))
def test_shift_moves_without_wrapping(mask: np.ndarray, dx: int, dy: int) -> None:
    expected = np.zeros_like(mask)
    for y, x in np.argwhere(mask):
        if 0 <= y + dy < mask.shape[0] and 0 <= x + dx < mask.shape[1]:
            expected[y + dy, x + dx] = True
    assert np.array_equal(shift(mask, dx, dy), expected)


def test_bounding_box_is_half_open_and_tight() -> None:
    mask = np.zeros((10, 12), bool)
    mask[3, 4] = mask[7, 9] = True
    assert require_bounding_box(mask) == (4, 3, 10, 8)
    with pytest.raises(DataError, match="empty"):
        require_bounding_box(np.zeros((4, 4), bool))


def test_iou() -> None:
    a, b = np.zeros((2, 4), bool), np.zeros((2, 4), bool)
    assert get_iou(a, b) == 1.0
    a[:, :2] = True
    b[:, 1:3] = True
    assert get_iou(a, b) == pytest.approx(2 / 6)
