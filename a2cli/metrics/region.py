"""Was the region that a method chose to edit the right one?"""

from __future__ import annotations

from collections.abc import Sequence

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
