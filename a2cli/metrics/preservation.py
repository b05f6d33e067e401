"""Was anything changed that should not have been?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from a2cli import __version__
from a2cli.errors import DataError
from a2cli.metrics.measure import ShotMeasure, Values, Weights
from a2cli.metrics.shots import Shot
from a2cli.metrics.table import MetricInfo


@dataclass(frozen=True)
class Preservation:
    """changed: pixels outside the region that differ in any channel; share: of all pixels outside, in [0, 1].

    mean, largest: mean and largest difference of a sample outside, in the pictures' own units.
    """

    changed: int
    share: float
    mean: float
    largest: float


def build_measure(infos: Sequence[MetricInfo], weights: Weights, device: str) -> ShotMeasure:
    """What changed outside the mask that the method was given."""
    del weights, device
    return ShotMeasure(infos, f"a2 {__version__}; without tolerance", get_preservation_values)


def get_preservation_values(shot: Shot) -> Values:
    """outside_pixels, _changed, _mean and _max of a shot; nothing without a source or where the mask is everything."""
    if shot.source is None or shot.mask.all():
        return {}
    outside = compare_outside(shot.source, shot.edited, shot.mask)
    return {
        "outside_pixels": float(outside.changed),
        "outside_changed": outside.share,
        "outside_mean": outside.mean,
        "outside_max": outside.largest,
    }


def compare_outside(source: np.ndarray, edited: np.ndarray, region: np.ndarray) -> Preservation:
    """Compare two pictures outside the edited region, sample by sample, without tolerance.

    source, edited: (H, W) or (H, W, C), same shape and dtype, not signed integers; region: (H, W), non-zero = may
    change. Raises DataError where shapes or dtypes differ.
    """
    if source.shape != edited.shape or source.dtype != edited.dtype or source.shape[:2] != region.shape:
        raise DataError(
            f"cannot compare {source.dtype} {source.shape} with {edited.dtype} {edited.shape}"
            f" outside a region of {region.shape}"
        )
    outside = region == 0
    before, after = source[outside], edited[outside]
    if np.array_equal(before, after):
        return Preservation(0, 0.0, 0.0, 0.0)
    if before.dtype == np.bool_:
        before, after = before.view(np.uint8), after.view(np.uint8)
    difference = np.maximum(before, after) - np.minimum(before, after)  # unsigned samples do not wrap
    changed = int(difference.reshape(len(difference), -1).any(axis=1).sum())
    mean = float(difference.mean(dtype=np.float64))
    return Preservation(changed, changed / len(difference), mean, float(difference.max()))
