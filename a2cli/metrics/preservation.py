"""Was anything changed that should not have been?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from a2cli.errors import DataError


@dataclass(frozen=True)
class Preservation:
    """changed: pixels outside the region that differ in any channel; share: of all pixels outside, in
    [0, 1]; largest: the largest difference of a sample, in the pictures' own units."""

    changed: int
    share: float
    largest: float


def compare_outside(source: np.ndarray, edited: np.ndarray, region: np.ndarray) -> Preservation:
    """Compare two pictures outside the edited region, sample by sample, without tolerance.

    source, edited: (H, W) or (H, W, C), same shape and dtype; region: (H, W), non-zero = may change.
    Raises DataError where shapes or dtypes differ.
    """
    if source.shape != edited.shape or source.dtype != edited.dtype or source.shape[:2] != region.shape:
        raise DataError(
            f"cannot compare {source.dtype} {source.shape} with {edited.dtype} {edited.shape}"
            f" outside a region of {region.shape}"
        )
    outside = region == 0
    before, after = source[outside], edited[outside]
    if np.array_equal(before, after):
        return Preservation(0, 0.0, 0.0)
    changed = int((before != after).reshape(len(before), -1).any(axis=1).sum())
    largest = float(np.abs(before.astype(np.float64) - after.astype(np.float64)).max())
    return Preservation(changed, changed / len(before), largest)
