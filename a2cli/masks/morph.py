"""Morphology by exact discs: dilate, erode, shift, bounding box. Masks are bool arrays (H, W)."""

from __future__ import annotations

import cv2
import numpy as np

from a2cli.errors import DataError
from a2cli.images.geometry import Box, get_bounding_box

Mask = np.ndarray  # bool (H, W)


def dilate_disc(mask: Mask, radius: float) -> Mask:
    """Dilate by a disc: a pixel is set iff a set pixel lies within `radius` (A2-Edit 3.3, eq. 3).

    mask: bool (H, W). radius: pixels >= 0 between pixel centres, fractions allowed; 0 returns a copy.
    A distance transform does not grow with the radius as a structuring element does.
    """
    _check_radius(radius)
    if radius < 1 or not mask.any():
        return mask.copy()
    x0, y0, x1, y1 = require_bounding_box(mask)
    pad = int(np.ceil(radius))
    rows = slice(max(y0 - pad, 0), y1 + pad)
    columns = slice(max(x0 - pad, 0), x1 + pad)
    background = np.ascontiguousarray(~mask[rows, columns]).view(np.uint8)
    distance = cv2.distanceTransform(background, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # Squared distances are integers: comparing half a unit above floor(radius^2) is immune to rounding.
    limit = np.float32(np.sqrt(np.floor(radius * radius + 1e-9) + 0.5))
    dilated = np.zeros_like(mask)
    dilated[rows, columns] = distance < limit
    return dilated


def erode_disc(mask: Mask, radius: float) -> Mask:
    """Erode by a disc: a pixel stays iff no unset pixel lies within `radius`.

    mask: bool (H, W). radius: pixels >= 0. What lies beyond the image counts as set, so a subject that
    the frame cuts off is not eaten from the frame's side.
    """
    return ~dilate_disc(~mask, radius)


def shift(mask: Mask, dx: int, dy: int) -> Mask:
    """Move the mask by whole pixels, right and down positive; what leaves is lost, what enters is unset."""
    height, width = mask.shape
    moved = np.zeros_like(mask)
    if abs(dx) >= width or abs(dy) >= height:
        return moved
    moved[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)] = mask[
        max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)
    ]
    return moved


def require_bounding_box(mask: Mask) -> Box:
    """`get_bounding_box` of a mask that must not be empty; raises DataError if it is."""
    box = get_bounding_box(mask)
    if box is None:
        raise DataError("the mask is empty", hint="mark at least one pixel")
    return box


def get_iou(a: Mask, b: Mask) -> float:
    """Intersection over union of two bool masks in [0, 1]; two empty masks agree (1)."""
    union = np.count_nonzero(a | b)
    return float(np.count_nonzero(a & b) / union) if union else 1.0


def _check_radius(radius: float) -> None:
    if not (np.isfinite(radius) and radius >= 0):
        raise DataError(f"a radius of {radius} px is impossible", hint="use a finite radius of 0 or more")
