"""Do two regions have the same colours? Needs no pose and no alignment."""

from __future__ import annotations

import numpy as np

from a2cli.errors import DataError


def histogram_intersection(
    a: np.ndarray, mask_a: np.ndarray, b: np.ndarray, mask_b: np.ndarray, *, bins: int = 8
) -> float:
    """Intersection of the joint RGB histograms of two masked regions, in [0, 1]; 1 = the same colours.

    a, b: (H, W, 3) in [0, 255], sizes may differ; masks: bool (H, W). `bins` a channel, and a pixel is
    shared out linearly among its 8 nearest bins, so that a small shift of light costs little.
    Source: Swain and Ballard, Color indexing, 1991, section 3.
    """
    return float(np.minimum(get_histogram(a, mask_a, bins), get_histogram(b, mask_b, bins)).sum())


def get_histogram(image: np.ndarray, mask: np.ndarray, bins: int) -> np.ndarray:
    """Joint RGB histogram (bins, bins, bins) of a masked region with linear shares; sums to 1."""
    if not mask.any():
        raise DataError("the mask is empty", hint="the colours of nothing are not defined")
    position = image[mask].astype(np.float64) * ((bins - 1) / 255.0)  # (N, 3), bin centres at whole numbers
    low = np.clip(np.floor(position).astype(np.int64), 0, bins - 2)
    high_share = position - low
    histogram = np.zeros(bins**3)
    for corner in np.ndindex(2, 2, 2):
        share = np.prod(np.where(corner, high_share, 1 - high_share), axis=1)
        index = np.ravel_multi_index(tuple((low + corner).T), (bins, bins, bins))
        histogram += np.bincount(index, weights=share, minlength=bins**3)
    return histogram.reshape(bins, bins, bins) / len(position)
