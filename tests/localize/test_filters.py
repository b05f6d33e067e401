"""The four filters against SciPy, or the paper's formula written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage

from a2cli.config.localize import INTERPOLATIONS, Interpolation
from a2cli.localize import smooth, smooth_by_interpolation
from a2cli.localize.filters import FILTERS, get_disc, get_local_variance, get_neighbourhood


def draw_map(rows: int = 32, columns: int = 32, scale: float = 1.0) -> np.ndarray:
    """Two lumps and a speck on noise, as attention over tokens looks."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:rows, :columns] / min(rows, columns)
    lumps = np.exp(-((y - 0.4) ** 2 + (x - 0.3) ** 2) / 0.02) + 0.6 * np.exp(
        -((y - 0.7) ** 2 + (x - 0.8) ** 2) / 0.01
    )
    lumps += 0.15 * rng.random((rows, columns))
    lumps[2, columns - 3] += 0.9
    return (scale * lumps).astype(np.float32)


@pytest.mark.parametrize("shape", [(32, 32), (16, 16), (64, 80), (9, 5)])
@pytest.mark.parametrize("strength", [0.5, 1.0, 3.0])
def test_gaussian_is_scipys(shape: tuple[int, int], strength: float) -> None:
    values = draw_map(*shape)
    sigma = 2.0 * strength * min(shape) / 32
    expected = ndimage.gaussian_filter(values.astype(np.float64), sigma, mode="reflect", truncate=4.0)
    found = smooth(values, "gaussian", strength, preserve_peaks=False)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.dtype == np.float32


@pytest.mark.parametrize(("shape", "strength"), [((12, 15), 1.0), ((12, 15), 3.0), ((24, 20), 0.6)])
def test_bilateral_is_the_formula(shape: tuple[int, int], strength: float) -> None:
    values = draw_map(*shape).astype(np.float64)
    sigma_s, sigma_r = 2.0 * strength * min(shape) / 32, 0.1 * np.ptp(values)
    reach = int(4 * sigma_s + 0.5)
    expected = np.empty_like(values)
    for x, y in np.ndindex(shape):
        total = weights = 0.0
        for i, j in np.ndindex(shape):
            if max(abs(x - i), abs(y - j)) > reach:
                continue
            near = math.exp(-((x - i) ** 2 + (y - j) ** 2) / (2 * sigma_s**2))
            alike = math.exp(-((values[x, y] - values[i, j]) ** 2) / (2 * sigma_r**2))
            total += values[i, j] * near * alike
            weights += near * alike
        expected[x, y] = total / weights
    found = smooth(values, "bilateral", strength, preserve_peaks=False)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(found - values).max() > 0.005


@pytest.mark.parametrize(
    ("shape", "strength", "radius"), [((32, 32), 1.0, 5.0), ((32, 40), 0.1, 3.0), ((16, 16), 1.0, 2.5)]
)
def test_morphology_is_scipys(shape: tuple[int, int], strength: float, radius: float) -> None:
    values = draw_map(*shape)
    reach = int(radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = y**2 + x**2 <= radius**2
    assert np.array_equal(get_disc(radius) > 0, disc)
    opened = ndimage.grey_opening(values, footprint=disc, mode="reflect")
    # Beyond the border SciPy sees the map mirrored, OpenCV nothing: alike for a disc.
    expected = ndimage.grey_erosion(
        ndimage.grey_dilation(opened, footprint=disc, mode="reflect"), footprint=disc, mode="reflect"
    )
    found = smooth(values, "morphological", strength, preserve_peaks=False)
    np.testing.assert_allclose(found, expected, atol=1e-7)
    assert found[2, shape[1] - 3] < 0.5 < values[2, shape[1] - 3]  # the speck is gone


@pytest.mark.parametrize("shape", [(32, 32), (16, 20), (64, 64)])
def test_adaptive_is_the_formula(shape: tuple[int, int]) -> None:
    values = draw_map(*shape).astype(np.float64)
    side = {32: 5, 16: 3, 64: 9}[min(shape)]
    assert get_neighbourhood(min(shape) / 32) == side
    variance = ndimage.generic_filter(values, np.var, size=side, mode="reflect")
    np.testing.assert_allclose(get_local_variance(values, side), variance, atol=1e-12)
    weight = 1.0 - 0.7 * (variance - variance.min()) / (variance.max() - variance.min())
    gauss = ndimage.gaussian_filter(values, 2.0 * min(shape) / 32, mode="reflect")
    found = smooth(values, "adaptive", preserve_peaks=False)
    np.testing.assert_allclose(found, weight * gauss + (1 - weight) * values, atol=1e-6)


@pytest.mark.parametrize("method", ["gaussian", "bilateral", "morphological", "adaptive"])
def test_peaks_keep_most_of_themselves(method: str) -> None:
    values = draw_map()
    plain, kept = (smooth(values, method, 2.0, preserve_peaks=keep) for keep in (False, True))
    peaks = values > np.percentile(values, 90)
    np.testing.assert_allclose(kept[~peaks], plain[~peaks])
    np.testing.assert_allclose(kept[peaks], 0.7 * values[peaks] + 0.3 * plain[peaks], rtol=1e-5)
    assert 0.09 < peaks.mean() < 0.11


@pytest.mark.parametrize("method", FILTERS)
def test_the_scale_of_values_and_of_grids_is_no_matter(method: str) -> None:
    values = draw_map()
    np.testing.assert_allclose(
        smooth(1e-4 * values, method), 1e-4 * smooth(values, method), rtol=1e-4, atol=1e-9
    )
    coarse, fine = (smooth(draw_map(side, side), method) for side in (32, 64))
    halved = fine.reshape(32, 2, 32, 2).mean((1, 3))
    assert np.abs(coarse - halved)[6:, :26].mean() < 0.06  # away from the speck, a token on either grid


@pytest.mark.parametrize("method", FILTERS)
def test_maps_that_say_nothing(method: str) -> None:
    flat = np.full((16, 16), 0.25, np.float32)
    np.testing.assert_allclose(smooth(flat, method), flat, rtol=1e-6)
    spoiled = draw_map(16, 16)
    spoiled[3, 4] = np.nan
    np.testing.assert_array_equal(smooth(spoiled, method), spoiled)
    for shape in ((1, 1), (1, 9), (2, 3)):
        assert np.isfinite(smooth(draw_map(4, 9)[: shape[0], : shape[1]], method, 3.0)).all()
    if method != "morphological":  # whose disc has a least radius
        np.testing.assert_allclose(smooth(draw_map(), method, 0.0), draw_map(), rtol=1e-6)


@pytest.mark.parametrize("method", INTERPOLATIONS)
def test_interpolations_are_the_papers_by_their_strength(method: Interpolation) -> None:
    values = draw_map(16, 20)
    for strength, factor in ((0.0, 1), (1.0, 3), (2.0, 5), (1.6, 4)):
        np.testing.assert_array_equal(
            smooth(values, method, strength), smooth_by_interpolation(values, method, factor)
        )
    moved = np.abs(smooth(values, method) - values).max() > 0.05
    assert moved == (method != "nearest") and np.array_equal(smooth(values, "none", 5.0), values)


def test_what_is_no_filter() -> None:
    with pytest.raises(ValueError, match="'median' is no filter; known: gaussian"):
        smooth(draw_map(), "median")  # type: ignore[arg-type]
    for strength in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="strength"):
            smooth(draw_map(), "gaussian", strength)
    with pytest.raises(ValueError, match="rows and columns"):
        smooth(np.zeros((2, 3, 4)), "gaussian")
