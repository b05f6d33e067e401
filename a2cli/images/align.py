"""Place a cut-out reference into a region: the box-fit paste, and a better one that turns and registers it.

Pure and fast: the data loader calls this for every training sample.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from a2cli.images.geometry import (
    Box,
    get_bounding_box,
    get_rescaling,
    resize,
    resize_subject,
    unmultiply,
)
from a2cli.images.register import register_silhouette

SEARCH_SIDE = 40  # silhouettes are compared on a grid of this many cells a side
ANGLES = np.arange(-45.0, 45.1, 7.5)  # degrees, counter-clockwise as seen
FINE_STEPS = np.array([-5.0, -2.5, 0.0, 2.5, 5.0])
MIN_GAIN = 0.03  # IoU that a rotation must win over none
BOX_FILL = 0.97  # a region that fills this share of its box is a box
STRETCH_COST = 0.08  # IoU charged per unit of |log(horizontal scale / vertical scale)| beyond that at rest


def paste_scaled(
    ref_rgb: np.ndarray, ref_mask: np.ndarray, region_mask: np.ndarray, *, ground: int = 255
) -> tuple[np.ndarray, np.ndarray]:
    """Stretch the reference's box onto the region's box: the baseline 'paste of the scaled reference'.

    ref_rgb (h, w, 3) uint8, ref_mask (h, w), region_mask (H, W), bool or float -> canvas (H, W, 3) uint8 on
    plain `ground` and the placed mask (H, W) float32 in [0, 1]. Colours are not mixed with the ground at the
    rim, so `mask * canvas + (1 - mask) * photo` is a clean composite. Nothing is placed if either mask is
    empty.
    """
    canvas, placed = _get_canvas(region_mask, ground)
    source, target = get_bounding_box(ref_mask), get_bounding_box(region_mask)
    if source is not None and target is not None:
        _stretch_into(canvas, placed, ref_rgb, ref_mask, source, target)
    return canvas, placed


def place_reference(
    ref_rgb: np.ndarray,
    ref_mask: np.ndarray,
    region_mask: np.ndarray,
    *,
    search_rotation: bool = True,
    register: bool = True,
    ground: int = 255,
) -> tuple[np.ndarray, np.ndarray]:
    """Place the reference so that its silhouette agrees with the region's; arrays as for `paste_scaled`.

    Rotations in [-45, 45] degrees, each refitted to the region's box, are compared by IoU; none is made
    unless it gains clearly. With `register`, a homography then brings the outlines together where they can be
    (see `register_silhouette`). A region that is a box says nothing about the silhouette: the reference is
    then fitted inside it upright with its aspect kept (unless it is a box itself). Nothing is placed outside
    the region's box; inside it the subject may cover pixels that the region does not hold.
    """
    source, target = get_bounding_box(ref_mask), get_bounding_box(region_mask)
    canvas, placed = _get_canvas(region_mask, ground)
    if source is None or target is None:
        return canvas, placed
    ref_rgb, ref_mask = (part[source[1] : source[3], source[0] : source[2]] for part in (ref_rgb, ref_mask))
    source = (0, 0, source[2] - source[0], source[3] - source[1])
    if _get_fill(region_mask, target) >= BOX_FILL:
        if _get_fill(ref_mask, source) < BOX_FILL:
            target = _fit_inside(source, target)
        _stretch_into(canvas, placed, ref_rgb, ref_mask, source, target)
        return canvas, placed
    angle = find_rotation(ref_mask, region_mask) if search_rotation else 0.0
    start = _get_turn(ref_mask, target, angle)
    matrix = register_silhouette(ref_mask, region_mask, start) if register else None
    if matrix is not None:
        _warp_into(canvas, placed, ref_rgb, ref_mask, matrix, target)
    elif angle == 0.0:
        _stretch_into(canvas, placed, ref_rgb, ref_mask, source, target)
    else:
        _warp_into(canvas, placed, ref_rgb, ref_mask, np.linalg.inv(start), target)
    return canvas, placed


def find_rotation(ref_mask: np.ndarray, region_mask: np.ndarray) -> float:
    """The rotation of the reference, degrees counter-clockwise, whose refitted silhouette fits the region.

    Both masks (h, w), bool or float, not empty. 0.0 unless another angle gains MIN_GAIN of IoU; two rounds,
    all angles first and finer ones around the best.
    """
    source, target = get_bounding_box(ref_mask), get_bounding_box(region_mask)
    if source is None or target is None:
        return 0.0
    silhouette, ratio = _get_silhouette(ref_mask, source)
    x0, y0, x1, y1 = target
    region = resize((region_mask[y0:y1, x0:x1] > 0.5).astype(np.float32), (SEARCH_SIDE, SEARCH_SIDE)) > 0.5
    aspect = (x1 - x0) / (y1 - y0)
    scores = _score_rotations(silhouette, ratio, region, aspect, ANGLES)
    best = float(ANGLES[int(scores.argmax())])
    fine = best + FINE_STEPS
    fine_scores = _score_rotations(silhouette, ratio, region, aspect, fine)
    at_rest = float(scores[int(np.flatnonzero(ANGLES == 0.0)[0])])
    if fine_scores.max() < at_rest + MIN_GAIN:
        return 0.0
    return float(np.clip(fine[int(fine_scores.argmax())], -45.0, 45.0))


def _score_rotations(
    silhouette: np.ndarray, ratio: float, region: np.ndarray, aspect: float, angles: np.ndarray
) -> np.ndarray:
    """IoU of the turned and refitted silhouette with the region, per angle, less a charge for distortion.

    silhouette (S, S) bool: the reference within its box, of width / height `ratio`; region (S, S) bool
    likewise.
    """
    side = silhouette.shape[0]
    hull = _get_hull(silhouette)  # (P, 2), x in [-ratio/2, ratio/2] after scaling, y in [-1/2, 1/2]
    hull = (hull / side - 0.5) * np.array([ratio, 1.0], dtype=np.float32)
    turns = _get_turns(angles)  # (A, 2, 2)
    turned = np.einsum("aij,pj->api", turns, hull)
    low, high = turned.min(axis=1), turned.max(axis=1)  # (A, 2)
    span = np.maximum(high - low, 1e-6)

    cells = (np.arange(side, dtype=np.float32) + 0.5) / side
    # Cell of the region -> place in the turned box -> back through the rotation -> cell of the silhouette.
    across = low[:, 0, None] + cells * span[:, 0, None]  # (A, S)
    down = low[:, 1, None] + cells * span[:, 1, None]
    x = turns[:, 0, 0, None, None] * across[:, None, :] + turns[:, 1, 0, None, None] * down[:, :, None]
    y = turns[:, 0, 1, None, None] * across[:, None, :] + turns[:, 1, 1, None, None] * down[:, :, None]
    column = np.floor((x / ratio + 0.5) * side).astype(np.int32) + 1
    row = np.floor((y + 0.5) * side).astype(np.int32) + 1
    np.clip(column, 0, side + 1, out=column)
    np.clip(row, 0, side + 1, out=row)
    moved = np.pad(silhouette, 1)[row, column]  # (A, S, S)

    both = np.count_nonzero(moved & region, axis=(1, 2))
    either = np.count_nonzero(moved | region, axis=(1, 2))
    distortion = np.abs(np.log(aspect * span[:, 1] / span[:, 0]))
    return both / np.maximum(either, 1) - STRETCH_COST * distortion


def _get_turns(angles: np.ndarray) -> np.ndarray:
    """Rotation matrices (A, 2, 2) in image axes (y down) that turn counter-clockwise as seen."""
    radians = np.deg2rad(angles).astype(np.float32)
    cos, sin = np.cos(radians), np.sin(radians)
    return np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], -2)


def _get_hull(silhouette: np.ndarray) -> np.ndarray:
    """Corners (P, 2) float32 of the convex hull of the marked cells, as x, y in cells."""
    rows, columns = np.nonzero(silhouette)
    points = np.stack([columns, rows], -1).astype(np.float32)
    hull = cv2.convexHull(points)[:, 0]
    corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], dtype=np.float32)
    return (hull[:, None] + corners).reshape(-1, 2)


def _get_silhouette(mask: np.ndarray, box: Box) -> tuple[np.ndarray, float]:
    """The mask within its box on the search grid (S, S) bool, and the box's width / height."""
    x0, y0, x1, y1 = box
    grid = resize((mask[y0:y1, x0:x1] > 0.5).astype(np.float32), (SEARCH_SIDE, SEARCH_SIDE)) > 0.5
    if not grid.any():  # a subject thinner than a cell
        grid = np.ones_like(grid)
    return grid, (x1 - x0) / (y1 - y0)


def _get_fill(mask: np.ndarray, box: Box) -> float:
    x0, y0, x1, y1 = box
    return float(np.count_nonzero(mask[y0:y1, x0:x1] > 0.5)) / ((x1 - x0) * (y1 - y0))


def _fit_inside(source: Box, target: Box) -> Box:
    """The largest box of the source's aspect inside the target, centred."""
    width, height = target[2] - target[0], target[3] - target[1]
    scale = min(width / (source[2] - source[0]), height / (source[3] - source[1]))
    new_width = min(max(round((source[2] - source[0]) * scale), 1), width)
    new_height = min(max(round((source[3] - source[1]) * scale), 1), height)
    left = target[0] + (width - new_width) // 2
    top = target[1] + (height - new_height) // 2
    return left, top, left + new_width, top + new_height


def _get_canvas(region_mask: np.ndarray, ground: int) -> tuple[np.ndarray, np.ndarray]:
    height, width = region_mask.shape[:2]
    return np.full((height, width, 3), ground, dtype=np.uint8), np.zeros((height, width), dtype=np.float32)


def _show(canvas: np.ndarray, placed: np.ndarray, colour: np.ndarray, weight: np.ndarray, at: Box) -> None:
    """Write colour (float) and weight into the box `at`, in place; the ground stays where weight is 0."""
    window = (slice(at[1], at[3]), slice(at[0], at[2]))
    shown = weight > 0
    canvas[window][shown] = np.rint(colour[shown]).astype(np.uint8)
    placed[window] = weight


def _stretch_into(
    canvas: np.ndarray, placed: np.ndarray, rgb: np.ndarray, mask: np.ndarray, source: Box, target: Box
) -> None:
    window = (slice(source[1], source[3]), slice(source[0], source[2]))
    colour, weight = resize_subject(rgb[window], mask[window], (target[3] - target[1], target[2] - target[0]))
    _show(canvas, placed, colour, weight, target)


def _get_turn(mask: np.ndarray, target: Box, angle: float) -> np.ndarray:
    """Turn a subject by `angle` and refit its box: matrix (3, 3), pixel centres of the reference to the canvas."""
    rows, columns = np.nonzero(mask > 0.5)
    if columns.size == 0:  # faint all over
        rows, columns = np.nonzero(mask > 0)
    points = cv2.convexHull(np.stack([columns, rows], -1).astype(np.float32))[:, 0].astype(np.float64)
    points = (points[:, None] + np.array([[0, 0], [1, 0], [0, 1], [1, 1]])).reshape(-1, 2)
    turn = _get_turns(np.array([angle]))[0].astype(np.float64)
    turned = points @ turn.T
    low, span = turned.min(axis=0), np.maximum(np.ptp(turned, axis=0), 1e-6)
    box_size = np.array([target[2] - target[0], target[3] - target[1]], dtype=np.float64)
    linear = turn * (box_size / span)[:, None]
    # Corner coordinates to pixel centres, half a pixel off on both sides.
    shift = np.array(target[:2]) - low * box_size / span + linear @ np.array([0.5, 0.5]) - 0.5
    return np.vstack([np.hstack([linear, shift[:, None]]), [0.0, 0.0, 1.0]])


def _warp_into(
    canvas: np.ndarray, placed: np.ndarray, rgb: np.ndarray, mask: np.ndarray, matrix: np.ndarray, target: Box
) -> None:
    """Write into the box `target` what `matrix` (canvas to reference) finds there; one resampling, after an
    area shrink if one is due."""
    weight = mask.astype(np.float32)
    layers = np.dstack([rgb.astype(np.float32) * weight[..., None], weight])
    left, top, right, bottom = target
    depth = float(matrix[2] @ [(left + right) / 2, (top + bottom) / 2, 1.0])
    scale = math.sqrt(abs(float(np.linalg.det(matrix)) / depth**3))  # reference pixels a canvas pixel
    shrink = min(1.0, 1.4 / max(scale, 1e-6))
    if shrink < 0.75:
        small = tuple(max(round(side * shrink), 1) for side in mask.shape)
        matrix = np.linalg.inv(get_rescaling(small, mask.shape)) @ matrix
        layers = resize(layers, small)
    moved = cv2.warpPerspective(
        layers,
        matrix @ np.array([[1, 0, left], [0, 1, top], [0, 0, 1]]),
        (right - left, bottom - top),
        flags=(cv2.INTER_CUBIC if scale < 1.0 else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    _show(canvas, placed, *unmultiply(moved), target)
