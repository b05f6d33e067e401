"""A mask's outline as an SVG path: sharp at any size, light in the file, exact where the mask is small."""

from __future__ import annotations

import cv2
import numpy as np

FINE = 512  # px; smaller masks are enlarged so that the outline runs along pixels' edges, not through their middles
TOLERANCE = 0.35  # px of the drawing the outline may be off
MOST_ISLANDS = 400  # the largest are drawn
MOST_POINTS = 3000


def trace_mask(mask: np.ndarray, size: tuple[int, int]) -> str:
    """The contours of a bool (H, W) mask as closed sub-paths, scaled to a drawing of `size` (height, width) px.

    Holes are sub-paths too: fill by the even-odd rule. A single pixel stays visible as a dot where strokes have round
    ends. Masks of very many islands or corners are drawn more coarsely. "" for an empty mask.
    """
    enlarged = max(1, FINE // max(mask.shape))
    fine = np.repeat(np.repeat(mask, enlarged, axis=0), enlarged, axis=1) if enlarged > 1 else mask
    found, _ = cv2.findContours(
        np.ascontiguousarray(fine, dtype=np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
    )
    contours = sorted(found, key=len, reverse=True)[:MOST_ISLANDS]
    scale = np.array([size[1] / fine.shape[1], size[0] / fine.shape[0]])
    tolerance = TOLERANCE / float(scale.max())
    while True:
        simple = [cv2.approxPolyDP(contour, tolerance, True).reshape(-1, 2) for contour in contours]
        if sum(map(len, simple)) <= max(MOST_POINTS, 2 * len(simple)):
            break
        tolerance *= 2
    return "".join(_write_path((points + 0.5) * scale) for points in simple)


def _write_path(points: np.ndarray) -> str:
    words = [f"{x:.1f} {y:.1f}" for x, y in points.tolist()]
    return f"M{'L'.join(words)}Z"
