"""Discs against their definition; shift, boxes and overlap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from a2cli.errors import DataError
from a2cli.masks.morph import dilate_disc, erode_disc, get_iou, require_bounding_box, shift

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
