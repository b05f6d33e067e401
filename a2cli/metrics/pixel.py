"""Pixel differences under a mask. Photos are (H, W, 3) uint8 or float in [0, 255]; masks bool (H, W)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from a2cli.errors import DataError


def masked_mae(image: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """Mean absolute error inside the mask, in [0, 2]: the unit in which values run from -1 to 1.

    Raises DataError on an empty mask or on pictures of different sizes.
    """
    return float(np.abs(_get_difference(image, truth, mask)).mean() / 127.5)


def masked_psnr(image: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """Peak signal-to-noise ratio inside the mask in dB, peak 255; infinite for equal pictures."""
    mean_square = float(np.square(_get_difference(image, truth, mask)).mean())
    return float(10 * np.log10(255.0**2 / mean_square)) if mean_square else float("inf")


def get_mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean of a sample and its standard error (n - 1 in the deviation; error 0 for one value)."""
    data = np.asarray(values, dtype=np.float64)
    if not data.size:
        raise DataError("no values to average")
    error = data.std(ddof=1) / np.sqrt(data.size) if data.size > 1 else 0.0
    return float(data.mean()), float(error)


def get_ratio_and_error(values: Sequence[float], base: Sequence[float]) -> tuple[float, float]:
    """Ratio of two means over the same items and its standard error, by the delta method on the pairs."""
    a, b = np.asarray(values, dtype=np.float64), np.asarray(base, dtype=np.float64)
    if a.shape != b.shape or not a.size:
        raise DataError(f"a ratio needs the same items on both sides, not {a.size} and {b.size}")
    if not b.mean():
        return float("nan"), float("nan")
    ratio = float(a.mean() / b.mean())
    return ratio, get_mean_and_error((a - ratio * b).tolist())[1] / float(b.mean())


def _get_difference(image: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> np.ndarray:
    if image.shape != truth.shape or image.shape[:2] != mask.shape:
        raise DataError(f"sizes differ: picture {image.shape}, truth {truth.shape}, mask {mask.shape}")
    if not mask.any():
        raise DataError("the mask is empty", hint="an error inside nothing is not defined")
    return image[mask].astype(np.float64) - truth[mask].astype(np.float64)
