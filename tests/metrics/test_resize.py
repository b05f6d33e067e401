"""Both ways to 299 x 299 are those of the programs whose figures they are to be compared with."""

from __future__ import annotations

import math

import numpy as np
import pytest
from random_weights import make_pair

from a2cli.metrics.resize import SIDE, resize_clean, resize_legacy

# From clean-fid 0.1.35, build_resizer("clean"), of make_pair(700, 500)[0], every 97th pixel of blue.
RECORDED = (
    *(128.0, 133.05275, 138.22842, 143.38046, 131.23468, 64.486832, 37.862389, 66.440147),
    *(134.83104, 37.649417, 138.9121, 214.74643, 138.70781, 68.127083, 214.55887, 43.362456),
)


def get_cubic_weights(count: int) -> np.ndarray:
    """Rows of an antialiased bicubic (a = -1/2) from `count` pixels to SIDE: the kernel widened by the scale."""
    scale = max(count / SIDE, 1.0)
    weights = np.zeros((SIDE, count))
    for i in range(SIDE):
        centre = (i + 0.5) * count / SIDE
        for j in range(count):
            x = abs((j + 0.5 - centre) / scale)
            if x < 1:
                weights[i, j] = 1.5 * x**3 - 2.5 * x**2 + 1
            elif x < 2:
                weights[i, j] = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
        weights[i] /= weights[i].sum()
    return weights


@pytest.mark.parametrize(("height", "width"), [(64, 40), (310, 420)])
def test_clean_is_the_antialiased_bicubic(height: int, width: int) -> None:
    rgb, _ = make_pair(height, width)
    vertical, horizontal = get_cubic_weights(height), get_cubic_weights(width)
    for c in range(3):
        expected = (vertical @ rgb[..., c].astype(np.float64) @ horizontal.T).clip(0, 255)
        np.testing.assert_allclose(resize_clean(rgb)[c] * 128 + 128, expected, atol=2e-3)


def test_clean_is_what_clean_fid_gives() -> None:
    values = resize_clean(make_pair(700, 500)[0]) * 128 + 128
    assert values.dtype == np.float32 and values.shape == (3, SIDE, SIDE)
    assert values.mean() == pytest.approx(128.33551, abs=1e-3)
    assert values.std() == pytest.approx(63.473186, abs=1e-3)
    np.testing.assert_allclose(values[2, ::97, ::97].ravel(), RECORDED, atol=1e-3)


def test_legacy_is_bilinear_between_four_pixels() -> None:
    rgb, _ = make_pair(700, 90)
    values = (resize_legacy(rgb) + 1) / 2 * 255
    rng = np.random.default_rng(0)
    for y, x in rng.integers(0, SIDE, (50, 2)):
        v = min(max((y + 0.5) * 700 / SIDE - 0.5, 0), 699)
        h = min(max((x + 0.5) * 90 / SIDE - 0.5, 0), 89)
        top, left = math.floor(v), math.floor(h)
        bottom, right = min(top + 1, 699), min(left + 1, 89)
        v, h = v - top, h - left
        expected = (1 - v) * ((1 - h) * rgb[top, left].astype(float) + h * rgb[top, right])
        expected += v * ((1 - h) * rgb[bottom, left].astype(float) + h * rgb[bottom, right])
        np.testing.assert_allclose(values[:, y, x], expected, atol=2e-2)


def test_a_picture_of_that_size_is_left_as_it_is() -> None:
    rgb, _ = make_pair(SIDE, SIDE)
    planes = rgb.transpose(2, 0, 1).astype(np.float32)
    np.testing.assert_array_equal(resize_clean(rgb), (planes - 128) / 128)
    np.testing.assert_allclose(resize_legacy(rgb), planes / 127.5 - 1, atol=1e-6)


def test_only_the_clean_way_takes_out_what_is_too_fine() -> None:
    y, x = np.mgrid[:1024, :1024]
    board = np.repeat(((x + y) % 2 * 255).astype(np.uint8)[..., None], 3, axis=2)
    clean, legacy = resize_clean(board) * 128 + 128, (resize_legacy(board) + 1) * 127.5
    assert np.abs(clean - 127.5)[:, 4:-4, 4:-4].max() < 1
    assert legacy.std() > 40


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 700), (2000, 3)])
@pytest.mark.parametrize("level", [0, 9, 255])
def test_an_even_picture_of_any_size_stays_even(height: int, width: int, level: int) -> None:
    rgb = np.full((height, width, 3), level, np.uint8)
    np.testing.assert_allclose(resize_clean(rgb), (level - 128) / 128, atol=1e-5)
    np.testing.assert_allclose(resize_legacy(rgb), level / 127.5 - 1, atol=1e-5)


def test_overshoot_is_clipped() -> None:
    rgb = np.zeros((20, 20, 3), np.uint8)
    rgb[:, 10:] = 255
    values = resize_clean(rgb)
    assert values.min() == -1 and values.max() == np.float32(127 / 128)
