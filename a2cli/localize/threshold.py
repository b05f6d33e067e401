"""From a map of attention to a region: a threshold, connected parts, and when neither means anything."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

Trouble = Literal["", "not finite", "flat", "nothing above the threshold"]

MIN_SHARE = 0.1  # of the largest part; smaller ones are specks
FLAT = 0.05  # a map whose values differ by less than this share of the highest says nothing
DIFFUSE_SHARE = 0.6  # of the picture; a region beyond it is an edit of the whole
DIFFUSE_RANGE = 0.1  # a soft mask whose values differ by less has not decided


@dataclass(frozen=True)
class FoundRegion:
    """Where an edit goes: `tokens` (h, w) bool, the map's own places, the `threshold` on it scaled to [0, 1].

    `trouble` is "" unless `tokens` is empty.
    """

    tokens: np.ndarray
    threshold: float
    trouble: Trouble = ""


def find_region(
    map2d: np.ndarray, lam: float | Literal["auto"] = "auto", *, min_share: float = MIN_SHARE
) -> FoundRegion:
    """Scale a map (h, w), choose its threshold and take what lies above; never an exception for a bad map."""
    if not np.isfinite(map2d).all():
        return FoundRegion(np.zeros(map2d.shape, bool), math.inf, "not finite")
    map01 = scale_map(map2d)
    if _is_flat(map01):
        return FoundRegion(np.zeros(map2d.shape, bool), math.inf, "flat")
    threshold = choose_threshold(map01, lam)
    tokens = get_region(map01, threshold, min_share=min_share)
    return FoundRegion(tokens, threshold, "" if tokens.any() else "nothing above the threshold")


def scale_map(map2d: np.ndarray) -> np.ndarray:
    """Stretch a map of attention (h, w), 0 or more, to [0, 1]: float32; a flat one to zeros, NaN to NaN."""
    values = map2d.astype(np.float64)
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if not (math.isfinite(low) and math.isfinite(high)):
        return np.full(map2d.shape, np.nan, np.float32)
    if high - low <= FLAT * max(abs(low), abs(high)):
        return np.zeros(map2d.shape, np.float32)
    return ((values - low) / (high - low)).astype(np.float32)


def choose_threshold(map01: np.ndarray, lam: float | Literal["auto"]) -> float:
    """The value in [0, 1] from which on a token belongs to the region; infinite for a flat map.

    `lam` is EditMGT's lambda, "auto" Otsu's threshold: the cut between two heaps of values, in steps of 1 / 255.
    Raises `ValueError` for a lambda that is no number in [0, 1].
    """
    if lam != "auto":
        if not 0 <= lam <= 1:
            raise ValueError(f"lambda must be in [0, 1], got {lam}")
        return float(lam)
    if not np.isfinite(map01).all() or _is_flat(map01):
        return math.inf
    levels = np.round(map01.clip(0, 1) * 255).astype(np.uint8)
    below, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return float((below + 0.5) / 255)


def get_region(map01: np.ndarray, threshold: float, *, min_share: float = MIN_SHARE) -> np.ndarray:
    """Places (h, w) bool with a value of `threshold` or more, in parts that touch, corners included.

    Parts smaller than `min_share` of the largest go. A map that is flat or not finite has no region.
    """
    empty = np.zeros(map01.shape, bool)
    if not np.isfinite(map01).all() or _is_flat(map01):
        return empty
    above = map01 >= threshold
    count, labels, stats, _ = cv2.connectedComponentsWithStats(above.astype(np.uint8), connectivity=8)
    if count == 1:
        return empty
    sizes = stats[1:, cv2.CC_STAT_AREA]
    kept = sizes >= min_share * sizes.max()
    return np.concatenate([[False], kept])[labels]


def is_diffuse(soft_map: np.ndarray, *, threshold: float = 0.5) -> bool:
    """Whether a soft mask (h, w) in [0, 1] names no place: it covers most of the picture, or is nearly flat.

    Such an edit is one of the whole picture. Values that are not finite name no place either.
    """
    if not soft_map.size or not np.isfinite(soft_map).all():
        return True
    covered = float((soft_map >= threshold).mean())
    return covered > DIFFUSE_SHARE or float(np.ptp(soft_map)) < DIFFUSE_RANGE


def _is_flat(map01: np.ndarray) -> bool:
    return not map01.size or float(np.ptp(map01)) == 0
