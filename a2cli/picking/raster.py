"""Marks to pixels: exact, at the photo's own size, whatever the page was zoomed to."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from a2cli.picking.marks import Box, Clear, Mark, Stroke

MOST_SEGMENTS = 30_000  # at once: their count fits the int16 that counts how often a pixel is covered
MOST_ROWS = 500_000  # of all segments at once, which bounds memory


def draw_marks(base: np.ndarray, marks: Sequence[Mark]) -> np.ndarray:
    """Draw marks in their order over `base`, (H, W) uint8, 255 = marked; a new array of the same form.

    A stroke marks exactly the pixels whose centres are within its radius of its line, hard-edged: 255, or 0 for an
    eraser. Grey values of `base` stay where nothing was drawn. What lies outside the photo is dropped.
    """
    mask = base.copy()
    pending: list[Stroke] = []  # neighbours of one sense: their union is drawn in one go
    for mark in marks:
        if pending and not (isinstance(mark, Stroke) and mark.erase == pending[0].erase):
            _draw_strokes(mask, pending)
            pending = []
        if isinstance(mark, Stroke):
            pending.append(mark)
        elif isinstance(mark, Box):
            _draw_box(mask, mark)
        elif isinstance(mark, Clear):
            mask[:] = 0
        else:
            np.subtract(255, mask, out=mask)
    if pending:
        _draw_strokes(mask, pending)
    return mask


def _draw_box(mask: np.ndarray, box: Box) -> None:
    height, width = mask.shape
    x0, y0, x1, y1 = (math.floor(corner + 0.5) for corner in box.corners)
    columns = slice(min(max(min(x0, x1), 0), width), min(max(x0, x1, 0), width))
    rows = slice(min(max(min(y0, y1), 0), height), min(max(y0, y1, 0), height))
    mask[rows, columns] = 0 if box.erase else 255


def _draw_strokes(mask: np.ndarray, strokes: Sequence[Stroke]) -> None:
    segments = np.concatenate([_get_segments(stroke) for stroke in strokes])
    for start in range(0, len(segments), MOST_SEGMENTS):
        _draw_segments(mask, segments[start : start + MOST_SEGMENTS], 0 if strokes[0].erase else 255)


def _get_segments(stroke: Stroke) -> np.ndarray:
    """A stroke as (N, 5): from x, y to x, y, radius; a single point is a segment of no length."""
    starts = stroke.points[:-1] if len(stroke.points) > 1 else stroke.points
    ends = stroke.points[1:] if len(stroke.points) > 1 else stroke.points
    return np.column_stack([starts, ends, np.full(len(starts), stroke.radius)])


def _draw_segments(mask: np.ndarray, segments: np.ndarray, value: int) -> None:
    """Set the pixels that any segment covers, by counting where runs of covered pixels begin and end in a row."""
    height, width = mask.shape
    reach = segments[:, 4]
    top = np.minimum(segments[:, 1], segments[:, 3]) - reach
    bottom = np.maximum(segments[:, 1], segments[:, 3]) + reach
    first = np.clip(np.ceil(top - 0.5), 0, height).astype(np.int64)
    last = np.clip(np.floor(bottom - 0.5), -1, height - 1).astype(np.int64)
    rows = np.maximum(last - first + 1, 0)
    if not rows.any():
        return
    low, high = int(first[rows > 0].min()), int(last[rows > 0].max()) + 1
    runs = np.zeros((high - low) * (width + 1), dtype=np.int16)
    for part in np.split(np.arange(len(segments)), _get_cuts(rows)):
        which = np.repeat(part, rows[part])
        before = np.cumsum(rows[part]) - rows[part]
        y = np.arange(len(which)) - np.repeat(before, rows[part]) + first[which]
        x0, x1 = _get_spans(segments[which], y + 0.5)
        begin = np.clip(np.ceil(x0 - 0.5), 0, width).astype(np.int64)
        end = np.clip(np.floor(x1 - 0.5) + 1, 0, width).astype(np.int64)
        there, line = begin < end, (y - low) * (width + 1)
        np.add.at(runs, (line + begin)[there], 1)
        np.add.at(runs, (line + end)[there], -1)
    covered = np.cumsum(runs.reshape(high - low, width + 1), axis=1, dtype=np.int16)
    mask[low:high][covered[:, :-1] > 0] = value


def _get_cuts(rows: np.ndarray) -> np.ndarray:
    """Where to split segments so that no part has many more than MOST_ROWS rows."""
    group = np.cumsum(rows) // MOST_ROWS
    return np.flatnonzero(np.diff(group)) + 1


def _get_spans(segments: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """From and to where, (N,) each, the line at height y[i] is within the radius of segment i; from > to: nowhere.

    The points near a segment are a convex set: two discs and the rectangle between them. A line meets each in one
    interval, and the hull of the three is the interval of the whole.
    """
    ax, ay, bx, by, radius = segments.T
    begin, end = np.full(len(y), np.inf), np.full(len(y), -np.inf)
    for x, centre in ((ax, ay), (bx, by)):
        square = radius**2 - (y - centre) ** 2
        half = np.sqrt(np.maximum(square, 0.0))
        begin = np.where(square >= 0, np.minimum(begin, x - half), begin)
        end = np.where(square >= 0, np.maximum(end, x + half), end)
    dx, dy = bx - ax, by - ay
    length = np.hypot(dx, dy)
    # Along the segment: 0 <= dx (x - ax) + dy (y - ay) <= length^2. Across: |dy (x - ax) - dx (y - ay)| <= r length.
    along = _solve(dx, dy * (y - ay), np.zeros(len(y)), length**2)
    across = _solve(dy, -dx * (y - ay), -radius * length, radius * length)
    left, right = np.maximum(along[0], across[0]) + ax, np.minimum(along[1], across[1]) + ax
    there = (left <= right) & (length > 0)
    return np.where(there, np.minimum(begin, left), begin), np.where(there, np.maximum(end, right), end)


def _solve(
    slope: np.ndarray, offset: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The interval of x with low <= slope x + offset <= high; (inf, -inf) for none, all x for a slope of 0."""
    flat = slope == 0
    steep = np.where(flat, 1.0, slope)
    with np.errstate(over="ignore"):
        one, other = (low - offset) / steep, (high - offset) / steep
    inside = (low <= offset) & (offset <= high)
    begin = np.where(flat, np.where(inside, -np.inf, np.inf), np.minimum(one, other))
    end = np.where(flat, np.where(inside, np.inf, -np.inf), np.maximum(one, other))
    return begin, end
