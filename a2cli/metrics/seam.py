"""Does the border of the region show?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from a2cli import __version__
from a2cli.metrics.measure import ShotMeasure, Values, Weights
from a2cli.metrics.shots import Shot
from a2cli.metrics.table import MetricInfo


def build_measure(infos: Sequence[MetricInfo], weights: Weights, device: str) -> ShotMeasure:
    """The gradient jump across the border of the mask that the method was given."""
    del weights, device
    settings = "mean over pairs of 4-neighbours across the border"
    return ShotMeasure(infos, f"a2 {__version__}; {settings}", get_seam_values)


def get_seam_values(shot: Shot) -> Values:
    """seam of a shot; nothing where the mask has no border inside the picture."""
    jumps = get_jumps(shot.edited, shot.mask)
    return {"seam": float(jumps.mean())} if jumps.size else {}


def get_jumps(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The jump at each place of the mask's border, (N,) in grey levels.

    For every pair of 4-neighbours p in the mask and q outside, with p' and q' the next pixels in line:
    max(0, |p - q| - (|p' - p| + |q - q'|) / 2), the modulus being the mean over channels. Pairs without both next
    pixels do not count.
    """
    return np.concatenate([_get_jumps_in_rows(image, mask), _get_jumps_in_rows(image.swapaxes(0, 1), mask.T)])


def _get_jumps_in_rows(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Jumps along rows: a straddling pair is pixels 1 and 2 of a run of four."""
    rows, columns = np.nonzero(mask[:, 1:-2] != mask[:, 2:-1])
    line = np.stack([image[rows, columns + step] for step in range(4)]).astype(np.float64)  # (4, N, 3)
    before, across, after = np.abs(np.diff(line, axis=0)).mean(axis=2)
    return np.maximum(0.0, across - (before + after) / 2)
