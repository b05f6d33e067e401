"""What makes a map of attention coherent: four filters, four interpolations (EditMGT, appendix B.2, eq. 4-18).

Widths in pixels are given by the paper for maps of 32 x 32 tokens; they grow and shrink with the map's shorter side,
so that one strength means one share of the picture on every grid.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from a2cli.config.localize import FILTERS, INTERPOLATIONS, Filter
from a2cli.localize.interpolate import smooth_by_interpolation

PAPER_SIDE = 32  # tokens a side of the maps the paper filters
SIGMA = 2.0  # of the Gaussian at strength 1, px of such a map (eq. 5)
LEAST_RADIUS, RADIUS = 3.0, 5.0  # of the disc, px: r = max(3, 5 strength) (eq. 10)
SPREAD = 0.7  # what the highest variance takes from the Gaussian's weight (eq. 13)
PEAK, PEAK_SHARE = 90, 0.7  # percentile above which a value keeps this share of itself (eq. 14)
# Left open by the paper: the range weight of the bilateral filter as a share of the map's own range, which is its only
# unit; its spatial weight is the Gaussian's; the neighbourhood of the local variance, px a side of a 32 x 32 map.
SIGMA_RANGE = 0.1
NEIGHBOURHOOD = 5
_REACH = 4.0  # standard deviations after which a weight counts as nothing


def smooth(
    map2d: np.ndarray, method: Filter, strength: float = 1.0, *, preserve_peaks: bool = True
) -> np.ndarray:
    """Smooth a map (h, w) of any scale: float32, same shape.

    `strength` is 0 or more; the paper tries 1, 3 and 5 and finds "adaptive" best. An interpolation makes the map
    1 + 2 `strength` times as fine, rounded: the paper's 1, 3 and 5 are strengths 0, 1 and 2; its highest values are
    not kept as those of a filter are. Borders are mirrored. A map with values that are not finite comes back as it is,
    and so it does from "none". Raises `ValueError` for anything else.
    """
    if method not in FILTERS:
        raise ValueError(f"{method!r} is no filter; known: {', '.join(FILTERS)}")
    if not (math.isfinite(strength) and strength >= 0):
        raise ValueError(f"strength must be 0 or more, got {strength}")
    if map2d.ndim != 2 or not map2d.size:
        raise ValueError(f"a map has rows and columns, got {map2d.shape}")
    values = map2d.astype(np.float64)
    if method == "none" or not np.isfinite(values).all():
        return map2d.astype(np.float32)
    if method in INTERPOLATIONS:
        return smooth_by_interpolation(map2d, method, 1 + round(2 * strength))
    filtered = _FUNCTIONS[method](values, strength, min(values.shape) / PAPER_SIDE)
    if preserve_peaks:
        peaks = values > np.percentile(values, PEAK)
        filtered = np.where(peaks, PEAK_SHARE * values + (1 - PEAK_SHARE) * filtered, filtered)  # (eq. 14)
    return filtered.astype(np.float32)


def _gaussian(values: np.ndarray, strength: float, scale: float) -> np.ndarray:
    sigma = SIGMA * strength * scale
    side = 2 * int(_REACH * sigma + 0.5) + 1
    if side == 1:
        return values
    kernel = cv2.getGaussianKernel(side, sigma)
    return cv2.sepFilter2D(values, cv2.CV_64F, kernel, kernel, borderType=cv2.BORDER_REFLECT)


def _bilateral(values: np.ndarray, strength: float, scale: float) -> np.ndarray:
    # cv2.bilateralFilter reads its range weight from a table of float32.
    sigma, sigma_range = SIGMA * strength * scale, SIGMA_RANGE * float(np.ptp(values))
    if sigma == 0 or sigma_range == 0:
        return values
    rows, columns = values.shape
    total, weights = np.zeros_like(values), np.zeros_like(values)
    down, across = (min(int(_REACH * sigma + 0.5), side - 1) for side in (rows, columns))
    for dy in range(-down, down + 1):
        for dx in range(-across, across + 1):
            here = np.s_[max(0, -dy) : rows - max(0, dy), max(0, -dx) : columns - max(0, dx)]
            there = values[max(0, dy) : rows + min(0, dy), max(0, dx) : columns + min(0, dx)]
            weight = np.exp(-(((there - values[here]) / sigma_range) ** 2) / 2)  # (eq. 8)
            weight *= math.exp(-(dy**2 + dx**2) / (2 * sigma**2))  # (eq. 7)
            total[here] += weight * there
            weights[here] += weight
    return total / weights  # (eq. 6)


def _morphological(values: np.ndarray, strength: float, scale: float) -> np.ndarray:
    disc = get_disc(max(LEAST_RADIUS, RADIUS * strength) * scale)
    opened = cv2.morphologyEx(values, cv2.MORPH_OPEN, disc)  # (eq. 9)
    return cv2.morphologyEx(opened, cv2.MORPH_CLOSE, disc)  # (eq. 10)


def _adaptive(values: np.ndarray, strength: float, scale: float) -> np.ndarray:
    variance = get_local_variance(values, get_neighbourhood(scale))
    spread = np.ptp(variance)
    # A map as rough in one place as in another is smoothed in full everywhere.
    rough = (variance - variance.min()) / spread if spread > 0 else np.zeros_like(variance)
    weight = 1 - SPREAD * rough  # (eq. 13)
    return weight * _gaussian(values, strength, scale) + (1 - weight) * values  # (eq. 11)


_FUNCTIONS = {
    "gaussian": _gaussian,
    "bilateral": _bilateral,
    "morphological": _morphological,
    "adaptive": _adaptive,
}


def get_disc(radius: float) -> np.ndarray:
    """A structuring element: all offsets no longer than `radius`, (2 floor(r) + 1) px a side, uint8."""
    reach = math.floor(radius)
    offsets = np.arange(-reach, reach + 1)
    return (offsets[:, None] ** 2 + offsets**2 <= radius**2).astype(np.uint8)


def get_neighbourhood(scale: float) -> int:
    """Side of the window of the local variance: odd, 3 px at least."""
    return max(3, 2 * round((NEIGHBOURHOOD * scale - 1) / 2) + 1)


def get_local_variance(values: np.ndarray, side: int) -> np.ndarray:
    """Variance in a window of `side` px around every place, borders mirrored (eq. 12)."""
    values = values - values.mean()  # small numbers square without loss

    def mean(of: np.ndarray) -> np.ndarray:
        return cv2.blur(of, (side, side), borderType=cv2.BORDER_REFLECT)

    return np.maximum(mean(values**2) - mean(values) ** 2, 0)
