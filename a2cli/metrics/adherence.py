"""Did the edit change what the mask says, and nothing else?"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from a2cli import __version__
from a2cli.masks.morph import get_iou
from a2cli.metrics.measure import ShotMeasure, Values, Weights
from a2cli.metrics.shots import Shot
from a2cli.metrics.table import MetricInfo

# Levels of 255. Four photographs saved as JPEG of quality 95 with full chroma move more than this in 0.8 % of their
# pixels (3 % at 6 levels, 11 % at 4); what an editor means to change moves further.
TOLERANCE = 8


def build_measure(infos: Sequence[MetricInfo], weights: Weights, device: str) -> ShotMeasure:
    """Intersection over union of what changed and the mask."""
    del weights, device
    settings = f"changed: any channel differs by more than {TOLERANCE} of 255"
    return ShotMeasure(infos, f"a2 {__version__}; {settings}", get_adherence_values)


def get_adherence_values(shot: Shot) -> Values:
    """adherence of a shot; nothing without a source."""
    if shot.source is None:
        return {}
    changed = get_changed(shot.source, shot.edited)
    return {"adherence": get_iou(changed | shot.mask if shot.hole else changed, shot.mask)}


def get_changed(source: np.ndarray, edited: np.ndarray, tolerance: int = TOLERANCE) -> np.ndarray:
    """Where any channel differs by more than `tolerance` levels: two (H, W, 3) uint8 -> (H, W) bool."""
    difference = cv2.absdiff(source, edited)
    return difference.max(axis=2) > tolerance
