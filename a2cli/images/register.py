"""Registration: where would a reference's outline come to lie on the outline of a region?

A fine mask shows the pose that is wanted. A plane seen from elsewhere moves by a homography, so one is fitted to
the two silhouettes; a loose mask is followed as far as its shape allows.
"""

from __future__ import annotations

import cv2
import numpy as np

from a2cli.images.geometry import get_bounding_box, get_rescaling, resize

GRID = 96  # cells along the region's longer side
MARGIN = 0.3  # of that side, shown around the region
EXACT = 0.95  # IoU from which on a region counts as the silhouette itself
TIGHT = (0.04, 0.04)  # reach of the distance fields outside and inside, in region sizes: the outline alone
WIDE = (0.3, 1.0)  # for a loose mask: the outline is unreliable, the body counts
LOOSE = 0.85  # a loose mask is drawn around its object: the share of its size the object takes, to start with
LEAST_CORRELATION = 0.85  # of the fields after a loose fit; below, the shapes are unlike
STEPS = 60
TIGHT_BEND, WIDE_BEND = 1.8, 1.4  # most local stretch or shrinkage relative to the start
LEAST_SIDE = 8  # pixels; smaller regions have no outline to speak of


def register_silhouette(
    ref_mask: np.ndarray, region_mask: np.ndarray, start: np.ndarray
) -> np.ndarray | None:
    """Fit the reference's silhouette to the region's: a homography from the canvas's pixel centres to its own.

    ref_mask (h, w) and region_mask (H, W), bool or float; `start` (3, 3) takes pixel centres of the reference to
    the canvas, near enough for a local search. Signed distance fields are matched by the enhanced correlation
    coefficient (Evangelidis & Psarakis 2008), which sees neither a constant offset nor a factor: a dilated
    outline costs nothing. None when the shapes are too unlike, when the fit would bend the subject, and for
    regions of few pixels.
    """
    box = get_bounding_box(region_mask)
    if box is None or max(box[2] - box[0], box[3] - box[1]) < LEAST_SIDE:
        return None
    to_grid, region = _get_grid(region_mask, box)
    centre = np.array([(box[0] + box[2] - 1) / 2, (box[1] + box[3] - 1) / 2])
    for reach, size, bend, exact in ((TIGHT, 1.0, TIGHT_BEND, True), (WIDE, LOOSE, WIDE_BEND, False)):
        begin = to_grid @ _scale_about(centre, size) @ start
        silhouette = _show(ref_mask, begin, region.shape)
        found = _match(region, silhouette, reach)
        if found is None or not _is_gentle(found[1], region, bend):
            continue
        correlation, step = found
        if exact:
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            shown = cv2.warpPerspective(silhouette, step, region.shape[::-1], flags=flags)
            good = _get_iou(shown > 0.5, region) >= EXACT
        else:
            good = correlation >= LEAST_CORRELATION
        if good:
            return np.linalg.inv(begin) @ step @ to_grid
    return None


def _get_grid(mask: np.ndarray, box: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The region with a margin on a coarse grid: matrix (3, 3) from canvas to grid, silhouette bool."""
    x0, y0, x1, y1 = box
    longest = max(x1 - x0, y1 - y0)
    margin = round(MARGIN * longest)
    inside = np.pad((mask[y0:y1, x0:x1] > 0.5).astype(np.float32), margin)
    height, width = inside.shape
    rows, columns = (round(side * GRID / longest) for side in (height, width))
    down, across = rows / height, columns / width
    matrix = np.array(
        [
            [across, 0, (margin - x0 + 0.5) * across - 0.5],
            [0, down, (margin - y0 + 0.5) * down - 0.5],
            [0, 0, 1],
        ]
    )
    return matrix, resize(inside, (rows, columns)) > 0.5


def _show(mask: np.ndarray, matrix: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The reference's silhouette on the grid, float32 in [0, 1]; shrunk by areas first where it is large."""
    silhouette = (mask > 0.5).astype(np.float32)
    shrink = 2 * GRID / max(silhouette.shape)
    if shrink < 1:
        rows, columns = (max(round(side * shrink), 1) for side in silhouette.shape)
        matrix = matrix @ get_rescaling((rows, columns), silhouette.shape)
        silhouette = resize(silhouette, (rows, columns))
    return cv2.warpPerspective(silhouette, matrix, (shape[1], shape[0]), flags=cv2.INTER_LINEAR)


def _match(
    region: np.ndarray, silhouette: np.ndarray, reach: tuple[float, float]
) -> tuple[float, np.ndarray] | None:
    fields = [_get_field(shape, reach) for shape in (region, silhouette > 0.5)]
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, STEPS, 1e-5)
    try:
        correlation, step = cv2.findTransformECC(
            *fields, np.eye(3, dtype=np.float32), cv2.MOTION_HOMOGRAPHY, criteria, None, 3
        )
    except cv2.error:  # no convergence: flat fields, or no overlap left
        return None
    if not np.isfinite(step).all():
        return None
    return float(correlation), np.asarray(step, np.float64)


def _get_field(shape: np.ndarray, reach: tuple[float, float]) -> np.ndarray:
    """Signed distance to the outline in cells, positive inside, cut off at `reach`."""
    cells = shape.astype(np.uint8)
    inside = cv2.distanceTransform(cells, cv2.DIST_L2, 5)
    outside = cv2.distanceTransform(1 - cells, cv2.DIST_L2, 5)
    return np.clip(inside - outside, -reach[0] * GRID, reach[1] * GRID).astype(np.float32)


def _is_gentle(step: np.ndarray, region: np.ndarray, bend: float) -> bool:
    """Does the step stretch and shrink little everywhere on the region, and mirror nothing?"""
    rows, columns = np.nonzero(region)
    x, y = np.meshgrid([columns.min(), columns.max()], [rows.min(), rows.max()])
    for point in np.stack([x.ravel(), y.ravel()], -1):
        u, v, w = step @ np.append(point, 1.0)
        if w <= 1e-6:
            return False
        place = np.array([u, v]) / w
        jacobian = (step[:2, :2] - np.outer(place, step[2, :2])) / w
        stretch = np.linalg.svd(jacobian, compute_uv=False)
        if np.linalg.det(jacobian) <= 0 or stretch[0] > bend or stretch[1] < 1 / bend:
            return False
    return True


def _scale_about(centre: np.ndarray, scale: float) -> np.ndarray:
    x, y = centre * (1 - scale)
    return np.array([[scale, 0, x], [0, scale, y], [0, 0, 1]])


def _get_iou(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.count_nonzero(a & b)) / max(int(np.count_nonzero(a | b)), 1)
