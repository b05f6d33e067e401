"""Errors under a mask, means and their standard errors."""

from __future__ import annotations

import numpy as np
import pytest

from a2cli.errors import DataError
from a2cli.metrics.pixel import get_mean_and_error, get_ratio_and_error, masked_mae, masked_psnr

RNG = np.random.default_rng(0)
A = RNG.integers(0, 256, (17, 23, 3), dtype=np.uint8)
B = RNG.integers(0, 256, (17, 23, 3), dtype=np.uint8)
MASK = RNG.random((17, 23)) < 0.3


def test_mae_is_in_the_units_of_minus_one_to_one() -> None:
    total = count = 0.0
    for y, x in np.argwhere(MASK):
        for c in range(3):
            total += abs((A[y, x, c] / 127.5 - 1) - (B[y, x, c] / 127.5 - 1))
            count += 1
    assert masked_mae(A, B, MASK) == pytest.approx(total / count)
    black, white = np.zeros_like(A), np.full_like(A, 255)
    assert masked_mae(black, white, MASK) == pytest.approx(2.0)
    assert masked_mae(A, A, MASK) == 0.0


def test_what_lies_outside_the_mask_does_not_count() -> None:
    other = np.where(MASK[..., None], A, B)
    assert masked_mae(other, A, MASK) == 0.0 and masked_psnr(other, A, MASK) == float("inf")


def test_psnr() -> None:
    assert masked_psnr(np.full_like(A, 100), np.full_like(A, 110), MASK) == pytest.approx(28.1308, abs=1e-3)


def test_unusable_input_is_refused() -> None:
    with pytest.raises(DataError, match="empty"):
        masked_mae(A, B, np.zeros_like(MASK))
    with pytest.raises(DataError, match="sizes differ"):
        masked_mae(A, B[:-1], MASK)
    with pytest.raises(DataError, match="no values"):
        get_mean_and_error([])
    with pytest.raises(DataError, match="same items"):
        get_ratio_and_error([1.0], [1.0, 2.0])


def test_mean_and_standard_error() -> None:
    mean, error = get_mean_and_error([1.0, 2.0, 3.0, 6.0])
    assert mean == 3.0 and error == pytest.approx(np.sqrt((4 + 1 + 0 + 9) / 3 / 4))
    assert get_mean_and_error([5.0]) == (5.0, 0.0)


def test_ratio_error_agrees_with_the_bootstrap() -> None:
    rng = np.random.default_rng(1)
    base = rng.gamma(9, 0.03, 200)
    values = 0.8 * base + rng.normal(0, 0.02, 200)
    ratio, error = get_ratio_and_error(values.tolist(), base.tolist())
    picks = rng.integers(200, size=(2000, 200))
    resampled = values[picks].mean(axis=1) / base[picks].mean(axis=1)
    assert ratio == pytest.approx(values.mean() / base.mean())
    assert error == pytest.approx(resampled.std(), rel=0.1)
    assert get_ratio_and_error(base.tolist(), base.tolist()) == (1.0, 0.0)
