"""Was the region that a method chose to edit the right one? Does a map tell where a thing is?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from a2cli import __version__
from a2cli.masks.morph import get_iou
from a2cli.metrics.measure import ShotMeasure, Values, Weights
from a2cli.metrics.shots import Shot
from a2cli.metrics.table import MetricInfo


def build_measure(infos: Sequence[MetricInfo], weights: Weights, device: str) -> ShotMeasure:
    """Intersection over union of the edited region and the true one."""
    del weights, device
    return ShotMeasure(
        infos, f"a2 {__version__}; regions of pixels, as the method told them", get_region_values
    )


def get_region_values(shot: Shot) -> Values:
    """region_iou of a shot; nothing where the method does not tell its region."""
    if shot.region is None or shot.exact is None:
        return {}
    return {"region_iou": get_iou(shot.region, shot.exact)}


def get_auc(values: np.ndarray, truth: np.ndarray) -> float:
    """Area under the ROC curve in [0, 1]: how often a marked place has the higher value, ties half.

    `truth` is bool of the values' shape; NaN where it marks nothing or everything. Source: Mann and Whitney, On a test
    of whether one of two random variables is stochastically larger, 1947.
    """
    marked, other = values[truth], np.sort(values[~truth])
    if not marked.size or not other.size:
        return float("nan")
    below = np.searchsorted(other, marked, "left") + np.searchsorted(other, marked, "right")
    return float(below.mean() / (2 * other.size))
