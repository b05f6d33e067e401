"""Stated changes of a mask for evaluation: grown, eaten away, moved (A2-Edit 5.2; Edit Where You Mean, table 6)."""

from __future__ import annotations

import math

import numpy as np

from a2cli.config.augment import Perturbation
from a2cli.errors import DataError
from a2cli.masks.augment import get_object_size
from a2cli.masks.morph import dilate_disc, erode_disc, shift


def perturb(
    mask: np.ndarray, change: Perturbation, rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, float]]:
    """Dilate or erode by a disc, or shift: the changed mask and what was done, in pixels.

    mask: bool (H, W), not empty. Only the direction of a shift by one distance is drawn from `rng`. Returns
    bool (H, W) and {"radius": r} or {"dx": right, "dy": down}, whole pixels. Raises DataError on an empty mask
    and where nothing is left of one.
    """
    size = get_object_size(mask)
    lengths = [length.get_pixels(size) for length in change.by]
    if change.kind == "shift":
        dx, dy = (round(length) for length in (lengths if len(lengths) == 2 else _draw_way(lengths[0], rng)))
        changed, done = shift(mask, dx, dy), {"dx": float(dx), "dy": float(dy)}
    else:
        move = dilate_disc if change.kind == "dilate" else erode_disc
        changed, done = move(mask, lengths[0]), {"radius": lengths[0]}
    if not changed.any():
        raise DataError(
            f"nothing is left of the mask after {change.name}", hint="take less, or a share of its size: 8%"
        )
    return changed, done


def _draw_way(distance: float, rng: np.random.Generator) -> tuple[float, float]:
    angle = rng.uniform(0.0, 2.0 * math.pi)
    return distance * math.cos(angle), distance * math.sin(angle)
