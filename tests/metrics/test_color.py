"""Histogram intersection."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a2cli.errors import DataError
from a2cli.metrics.color import CHUNK, get_histogram, histogram_intersection

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (20, 20, 3), dtype=np.uint8)
ALL = np.ones((20, 20), bool)


def paint(*rgb: int) -> np.ndarray:
    return np.full((20, 20, 3), rgb, np.uint8)


def test_extremes() -> None:
    assert histogram_intersection(IMAGE, ALL, IMAGE, ALL) == pytest.approx(1.0)
    assert histogram_intersection(paint(255, 0, 0), ALL, paint(0, 0, 255), ALL) == 0.0


def test_pose_and_size_do_not_matter() -> None:
    turned = np.rot90(IMAGE)
    assert histogram_intersection(turned, ALL, IMAGE, ALL) == pytest.approx(1.0)
    larger = np.tile(IMAGE, (2, 3, 1))
    assert histogram_intersection(larger, np.ones((40, 60), bool), IMAGE, ALL) == pytest.approx(1.0)


def test_only_what_is_under_the_mask_counts() -> None:
    left = ALL.copy()
    left[:, 10:] = False
    half = np.where(left[..., None], paint(200, 30, 40), IMAGE)
    assert histogram_intersection(half, left, paint(200, 30, 40), ALL) == pytest.approx(1.0)


def test_a_quarter_of_the_colour() -> None:
    mixed = paint(255, 255, 255)
    mixed[:10, :10] = 0
    assert histogram_intersection(mixed, ALL, paint(0, 0, 0), ALL) == pytest.approx(0.25)


def test_the_score_falls_steadily_with_the_shift_of_colour() -> None:
    wanted = paint(100, 90, 80)
    scores = [histogram_intersection(paint(100 + d, 90, 80), ALL, wanted, ALL) for d in range(0, 40, 5)]
    assert scores == sorted(scores, reverse=True) and scores[1] > 0.8 and scores[-1] < 0.6


def test_many_pixels_are_counted_as_few_are() -> None:
    many = np.tile(IMAGE, (20, 4, 1))
    assert many[..., 0].size > CHUNK
    assert np.allclose(get_histogram(many, np.ones(many.shape[:2], bool), 8), get_histogram(IMAGE, ALL, 8))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_range_and_symmetry(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (rng.integers(0, 256, (5, 6, 3), dtype=np.uint8) // rng.integers(1, 9) for _ in range(2))
    some = rng.random((5, 6)) < 0.5
    some[0, 0] = True
    score = histogram_intersection(a, some, b, np.ones((5, 6), bool))
    assert 0 <= score <= 1 + 1e-12
    assert score == pytest.approx(histogram_intersection(b, np.ones((5, 6), bool), a, some))


def test_linear_shares_equal_the_naive_loop() -> None:
    expected = np.zeros((8, 8, 8))
    for pixel in IMAGE.reshape(-1, 3):
        shares = [{int(v // 1): 1 - v % 1, int(v // 1) + 1: v % 1} for v in pixel.astype(float) * (7 / 255)]
        for r, wr in shares[0].items():
            for g, wg in shares[1].items():
                for b, wb in shares[2].items():
                    if wr * wg * wb:
                        expected[r, g, b] += wr * wg * wb
    assert np.allclose(get_histogram(IMAGE, ALL, 8), expected / 400)


def test_empty_mask_is_refused() -> None:
    with pytest.raises(DataError, match="empty"):
        histogram_intersection(IMAGE, ~ALL, IMAGE, ALL)
