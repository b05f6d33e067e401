"""Thresholds, connected parts, and maps that name no place."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage
from skimage.filters import threshold_otsu

from a2cli.localize import choose_threshold, find_region, get_region, is_diffuse, scale_map


def draw_map() -> np.ndarray:
    """A large part, a middling one and a speck; values as attention's."""
    values = np.full((16, 16), 0.001, np.float32)
    values += 0.0003 * np.random.default_rng(0).random((16, 16)).astype(np.float32)
    values[2:8, 2:8] = 0.008
    values[8, 8] = 0.007  # touches the large part by a corner
    values[11:14, 3:6] = 0.006
    values[1, 14] = 0.009
    return values


def test_scaled_to_zero_and_one() -> None:
    values = draw_map()
    found = scale_map(values)
    assert (found.min(), found.max()) == (0, 1) and found.dtype == np.float32
    np.testing.assert_allclose(found, (values - values.min()) / np.ptp(values), rtol=1e-5, atol=1e-6)
    assert not scale_map(1 + 0.04 * np.random.default_rng(0).random((9, 9))).any()  # says nothing
    assert scale_map(1 + 0.2 * np.random.default_rng(0).random((9, 9))).max() == 1
    spoiled = values.copy()
    spoiled[0, 0] = np.inf
    assert np.isnan(scale_map(spoiled)).all()


def test_otsu_is_that_of_skimage() -> None:
    rng = np.random.default_rng(3)
    for sigma in (0.5, 1.0, 2.0, 4.0):
        map01 = scale_map(ndimage.gaussian_filter(rng.random((24, 24)), sigma))
        levels = np.round(map01 * 255).astype(np.uint8)
        expected = levels > threshold_otsu(levels)
        assert np.array_equal(map01 >= choose_threshold(map01, "auto"), expected)
        assert 0 < expected.sum() < expected.size


def test_lambda_is_the_least_value_within() -> None:
    map01 = np.array([[0.0, 0.2, 0.5, 1.0]])
    for lam, size in ((0.0, 4), (0.2, 3), (0.21, 2), (1.0, 1)):
        assert get_region(map01, choose_threshold(map01, lam), min_share=0).sum() == size
    for lam in (-0.1, 1.5, math.nan):
        with pytest.raises(ValueError, match="lambda"):
            choose_threshold(map01, lam)


def test_small_parts_go() -> None:
    map01 = scale_map(draw_map())
    labels, _ = ndimage.label(map01 >= 0.4, np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())[1:]
    assert sorted(sizes) == [1, 9, 37]
    for share, kept in ((0.0, {1, 9, 37}), (0.1, {9, 37}), (9 / 37, {9, 37}), (0.25, {37}), (1.0, {37})):
        expected = np.isin(labels, [i + 1 for i, size in enumerate(sizes) if size in kept])
        assert np.array_equal(get_region(map01, 0.4, min_share=share), expected)


def test_a_region_is_found() -> None:
    found = find_region(draw_map())
    assert found.trouble == "" and 0 < found.threshold < 1
    assert found.tokens.sum() == 46 and not found.tokens[1, 14]
    assert find_region(draw_map(), min_share=1).tokens.sum() == 37
    assert find_region(draw_map(), 0.8).tokens.sum() == 36
    assert find_region(1e-9 * draw_map().astype(np.float64)).tokens.sum() == 46


@pytest.mark.parametrize("lam", ["auto", 0.0, 0.5])
def test_bad_maps_are_said_not_raised(lam: float) -> None:
    spoiled = draw_map()
    spoiled[4, 4] = np.nan
    flat = np.full((5, 7), 0.002, np.float32)
    for values, trouble in ((spoiled, "not finite"), (flat, "flat"), (np.zeros((3, 3)), "flat")):
        found = find_region(values, lam)
        assert (found.trouble, found.threshold) == (trouble, math.inf)
        assert found.tokens.shape == values.shape and not found.tokens.any()
    for values in (spoiled, flat):
        assert choose_threshold(values, "auto") == math.inf
        assert not get_region(values, 0.0).any()
    assert not get_region(scale_map(draw_map()), 1.01).any()


def test_edits_of_the_whole_picture() -> None:
    share = np.zeros((10, 10))
    share[:6] = 0.9
    assert not is_diffuse(share)
    share[6, 0] = 0.9
    assert is_diffuse(share) and not is_diffuse(share, threshold=0.95)
    assert is_diffuse(np.full((8, 8), 0.3)) and is_diffuse(np.zeros((8, 8)))
    assert is_diffuse(np.full((8, 8), np.nan)) and is_diffuse(np.zeros((0, 0)))
    assert not is_diffuse(np.linspace(0, 0.4, 64).reshape(8, 8))
