"""How far did an edit reach beyond the region that had to change, and how wrong is it within?

The true region is the record's exact mask, whatever mask the method was given; a rim of `EDGE` px belongs to it, since
soft edges of a subject change as well. Values stand for the whole photo, for the box of the mask that was given
(@crop), and for that mask (@mask).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from a2cli import __version__
from a2cli.masks.morph import dilate_disc
from a2cli.metrics.adherence import TOLERANCE, get_changed
from a2cli.metrics.measure import ShotMeasure, Values, Weights
from a2cli.metrics.pixel import get_errors
from a2cli.metrics.shots import REGIONS, Shot, get_part
from a2cli.metrics.table import MetricInfo, get_key

# px: the eight neighbours. Of 60 synthesised edits the true picture itself changes 4 % of the region's area beyond a
# mask cut at half cover, and 0.3 % beyond this rim.
EDGE = 1.5


def build_measure(infos: Sequence[MetricInfo], weights: Weights, device: str) -> ShotMeasure:
    """What changed, and how much, outside the region that had to change."""
    del weights, device
    settings = f"changed: any channel differs by more than {TOLERANCE} of 255; rim of {EDGE:g} px"
    return ShotMeasure(infos, f"a2 {__version__}; {settings}", get_leakage_values)


def get_leakage_values(shot: Shot) -> Values:
    """changed_outside and leak of a shot over every region, and l1_inside.

    Nothing without an exact mask, and without a source or a target nothing that needs it; of a region that the true one
    fills, nothing either.
    """
    if shot.exact is None:
        return {}
    values: Values = {}
    if shot.target is not None:
        values["l1_inside"] = get_errors(shot.edited, shot.target, shot.exact, "mask")[0]
    if shot.source is None:
        return values
    outside = ~dilate_disc(shot.exact, EDGE)
    area = int(shot.exact.sum())
    changed = get_changed(shot.source, shot.edited) & outside
    difference = cv2.absdiff(shot.source, shot.edited)
    for region in REGIONS:
        free, moved, by = (get_part(part, shot.mask, region) for part in (outside, changed, difference))
        if free.any():
            values[get_key("changed_outside", region)] = float(moved.sum() / area)
            values[get_key("leak", region)] = float(np.mean(by[free], dtype=np.float64))
    return values
