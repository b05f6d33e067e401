"""The naive twin of picking/raster: one distance a pixel and segment."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from a2cli.picking.marks import Box, Clear, Mark, Stroke

TIE = 1e-6  # px within which rounding may decide either way


def get_distance(size: tuple[int, int], points: np.ndarray, reach: float = np.inf) -> np.ndarray:
    """(H, W): how far each pixel's centre is from a line through `points` (N, 2); inf where surely beyond `reach`."""
    nearest = np.full(size, np.inf)
    for (ax, ay), (bx, by) in zip(points, points[1:] if len(points) > 1 else points, strict=False):
        low, high = (
            np.array([min(ax, bx), min(ay, by)]) - reach - 2,
            np.array([max(ax, bx), max(ay, by)]) + reach + 2,
        )
        x0, y0 = np.clip(low, 0, size[::-1]).astype(int)
        x1, y1 = np.clip(high, 0, size[::-1]).astype(int)
        x, y = np.arange(x0, x1) + 0.5, np.arange(y0, y1)[:, None] + 0.5
        dx, dy = bx - ax, by - ay
        square = dx * dx + dy * dy
        along = np.clip(((x - ax) * dx + (y - ay) * dy) / square, 0, 1) if square else 0.0
        distance = np.hypot(x - ax - along * dx, y - ay - along * dy)
        nearest[y0:y1, x0:x1] = np.minimum(nearest[y0:y1, x0:x1], distance)
    return nearest


def draw_plainly(base: np.ndarray, marks: Iterable[Mark]) -> tuple[np.ndarray, np.ndarray]:
    """The mask, and where it is certain: not within TIE of an edge."""
    mask, certain = base.copy(), np.ones(base.shape, dtype=bool)
    rows, columns = np.indices(base.shape)
    for mark in marks:
        if isinstance(mark, Stroke):
            distance = get_distance(base.shape, mark.points, mark.radius)
            mask[distance <= mark.radius] = 0 if mark.erase else 255
            certain &= np.abs(distance - mark.radius) > TIE
        elif isinstance(mark, Box):
            x0, y0, x1, y1 = np.floor(np.array(mark.corners) + 0.5)
            inside = (columns >= min(x0, x1)) & (columns < max(x0, x1))
            inside &= (rows >= min(y0, y1)) & (rows < max(y0, y1))
            mask[inside] = 0 if mark.erase else 255
        elif isinstance(mark, Clear):
            mask[:] = 0
        else:
            mask = 255 - mask
    return mask, certain
