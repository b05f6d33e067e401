"""Do two regions have the same colours? Needs no pose and no alignment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from a2cli import __version__
from a2cli.errors import DataError
from a2cli.metrics.measure import ShotMeasure, Values, Weights
from a2cli.metrics.shots import Shot
from a2cli.metrics.table import MetricInfo

BINS = 8  # a channel
CHUNK = 1 << 14  # pixels at a time: their shares stay in the processor's cache


def build_measure(infos: Sequence[MetricInfo], weights: Weights, device: str) -> ShotMeasure:
    """Colours of the masked pixels against those of the reference's subject."""
    del weights, device
    settings = f"{BINS} bins a channel with linear shares"
    return ShotMeasure(infos, f"a2 {__version__}; {settings}", get_color_values)


def get_color_values(shot: Shot) -> Values:
    """histogram of a shot; nothing without a reference whose subject is marked."""
    if shot.ref_rgb is None or shot.ref_mask is None:
        return {}
    return {"histogram": histogram_intersection(shot.edited, shot.mask, shot.ref_rgb, shot.ref_mask)}


def histogram_intersection(
    a: np.ndarray, mask_a: np.ndarray, b: np.ndarray, mask_b: np.ndarray, *, bins: int = BINS
) -> float:
    """Intersection of the joint RGB histograms of two masked regions, in [0, 1]; 1 = the same colours.

    a, b: (H, W, 3) uint8, sizes may differ; masks: bool (H, W). `bins` a channel, and a pixel is
    shared out linearly among its 8 nearest bins, so that a small shift of light costs little.
    Source: Swain and Ballard, Color indexing, 1991, section 3.
    """
    return float(np.minimum(get_histogram(a, mask_a, bins), get_histogram(b, mask_b, bins)).sum())


def get_histogram(image: np.ndarray, mask: np.ndarray, bins: int) -> np.ndarray:
    """Joint RGB histogram (bins, bins, bins) of a masked region with linear shares; sums to 1."""
    if not mask.any():
        raise DataError("the mask is empty", hint="the colours of nothing are not defined")
    position = np.arange(256) * ((bins - 1) / 255.0)  # of each level; bin centres lie at whole numbers
    low = np.clip(np.floor(position).astype(np.int64), 0, bins - 2)
    high_share = position - low
    strides = np.array([bins * bins, bins, 1])
    pixels = image[mask]  # (N, 3)
    histogram = np.zeros(bins**3)
    for start in range(0, len(pixels), CHUNK):
        chunk = pixels[start : start + CHUNK]
        shares = np.stack([1 - high_share[chunk], high_share[chunk]])  # (2, n, 3)
        first = low[chunk] @ strides
        for corner in np.ndindex(2, 2, 2):
            red, green, blue = (shares[side, :, channel] for channel, side in enumerate(corner))
            histogram += np.bincount(first + corner @ strides, red * green * blue, bins**3)
    return histogram.reshape(bins, bins, bins) / len(pixels)
