"""Which colours are the subject's: histograms of Lab, learnt from all views of an item together."""

from __future__ import annotations

import cv2
import numpy as np

BINS = 16  # a channel
FLOOR = 2e-5  # share of a colour never seen
SUREST = 4.0  # largest log odds that a colour alone can give


def get_colours(rgb: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 -> (h, w) int: the number of each pixel's bin; lightness in steps of 16, a and b of 6."""
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB).astype(np.float32)
    tint = np.clip((lab[..., 1:] - 128) / 6 + BINS / 2, 0, BINS - 1).astype(np.int64)
    light = (lab[..., 0] / 16).astype(np.int64)
    bins: np.ndarray = (light * BINS + tint[..., 0]) * BINS + tint[..., 1]
    return bins


def count_colours(colours: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Share of each colour among pixels of a `weight` (h, w) >= 0, spread over neighbouring bins; sums to about 1."""
    counts = np.bincount(colours.ravel(), weight.ravel(), BINS**3).reshape(BINS, BINS, BINS)
    for axis in range(3):
        wide = np.pad(counts, [(1, 1) if a == axis else (0, 0) for a in range(3)], mode="edge")
        before, here, after = (wide.take(range(start, start + BINS), axis=axis) for start in range(3))
        counts = 0.25 * before + 0.5 * here + 0.25 * after
    return counts.ravel() / max(float(weight.sum()), 1.0)


def get_odds(subject: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """Log odds of each colour, in [-SUREST, SUREST], positive for the subject; from two sums of shares."""
    shares = [counts / max(float(counts.sum()), 1e-9) + FLOOR for counts in (subject, ground)]
    return np.clip(np.log(shares[0] / shares[1]), -SUREST, SUREST)
