"""What a model has to beat: edits made without one. They see the reference and the photo outside the mask."""

from __future__ import annotations

import cv2
import numpy as np

from a2cli.images.align import paste_scaled, place_reference
from a2cli.masks.morph import require_bounding_box

TELEA_RADIUS = 3  # pixels
TELEA_REACH = (
    2 * TELEA_RADIUS + 2
)  # pixels around the mask's box that can weigh on what is filled, and to spare
CLONE_REACH = 3  # pixels by which seamlessClone shrinks the region it is given


def fill_mean(rgb: np.ndarray, mask: np.ndarray, ref_rgb: np.ndarray, ref_mask: np.ndarray) -> np.ndarray:
    """Fill the mask with the mean colour of the reference's subject.

    rgb, ref_rgb: (H, W, 3) uint8, sizes may differ; masks: bool (H, W). Returns (H, W, 3) uint8.
    """
    filled = rgb.copy()
    filled[mask] = np.rint(ref_rgb[ref_mask].mean(axis=0))
    return filled


def fill_telea(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Continue the photo into the mask: (H, W, 3) uint8 and bool (H, W) to (H, W, 3) uint8.

    Source: Telea, An image inpainting technique based on the fast marching method, 2004; OpenCV's version,
    radius 3 px. A mask that covers the whole photo leaves nothing to continue: mid-grey then.
    """
    if mask.all():
        return np.full_like(rgb, 127)
    if not mask.any():
        return rgb.copy()
    x0, y0, x1, y1 = require_bounding_box(mask)
    near = (
        slice(max(y0 - TELEA_REACH, 0), y1 + TELEA_REACH),
        slice(max(x0 - TELEA_REACH, 0), x1 + TELEA_REACH),
    )
    # At the upper and left edge OpenCV reads pixels that it has not filled yet: they must not hold what was there.
    around = fill_nearest(rgb[near], mask[near])
    filled = rgb.copy()
    filled[near] = cv2.inpaint(around, mask[near].astype(np.uint8), TELEA_RADIUS, cv2.INPAINT_TELEA)
    return filled


def fill_nearest(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Give every masked pixel the colour of the nearest one outside; the mask, bool (H, W), leaves at least one."""
    hole = mask.astype(np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(hole, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    colours = np.empty((int(nearest.max()) + 1, 3), rgb.dtype)  # of each pixel outside, by its label
    colours[nearest[~mask]] = rgb[~mask]
    filled = rgb.copy()
    filled[mask] = colours[nearest[mask]]
    return filled


def paste_reference(
    rgb: np.ndarray, mask: np.ndarray, ref_rgb: np.ndarray, ref_mask: np.ndarray
) -> np.ndarray:
    """Paste the reference's subject, stretched to the mask's bounding box, over the Telea-filled photo.

    rgb, ref_rgb: (H, W, 3) uint8, sizes may differ; masks: bool (H, W). Nothing outside the mask changes.
    """
    return _lay_over(fill_telea(rgb, mask), mask, *paste_scaled(ref_rgb, ref_mask, mask))


def register_and_paste(
    rgb: np.ndarray, mask: np.ndarray, ref_rgb: np.ndarray, ref_mask: np.ndarray
) -> np.ndarray:
    """Paste the subject turned and registered to the mask's outline over the Telea-filled photo.

    What a backbone with `prior_noise` starts from, but for the crop and its scale; arrays as for `paste_reference`.
    """
    return _lay_over(fill_telea(rgb, mask), mask, *place_reference(ref_rgb, ref_mask, mask))


def paste_poisson(rgb: np.ndarray, mask: np.ndarray, ref_rgb: np.ndarray, ref_mask: np.ndarray) -> np.ndarray:
    """Paste the registered subject by its gradients: its colours are drawn to those of the Telea-filled photo around.

    Arrays as for `paste_reference`. Where no pixel of the placed subject is solid, or the mask leaves no photo to blend
    with, this is `register_and_paste`. Source: Perez et al., Poisson image editing, 2003; OpenCV's seamlessClone,
    NORMAL_CLONE, which fixes the colours on the bounding box of the subject and not on its outline.
    """
    filled = fill_telea(rgb, mask)
    subject, placed = place_reference(ref_rgb, ref_mask, mask)
    solid = mask & (placed >= 0.5)
    if solid.any() and not mask.all():
        subject = _clone(filled, subject, solid)
    return _lay_over(filled, mask, subject, placed)


def _clone(photo: np.ndarray, subject: np.ndarray, region: np.ndarray) -> np.ndarray:
    """The photo with the subject's gradients inside the region; within its bounding box other pixels change as well.

    seamlessClone shrinks the region by CLONE_REACH, drops what lies on the edge of its picture and centres the box of
    the rest on a point. So the region is grown first, with its colours continued, on a window with a margin.
    """
    margin = CLONE_REACH + 1
    x0, y0, x1, y1 = require_bounding_box(region)
    inner = slice(y0, y1), slice(x0, x1)
    region = np.pad(region[inner], margin)
    subject = fill_nearest(np.pad(subject[inner], ((margin, margin), (margin, margin), (0, 0))), ~region)
    grown = cv2.dilate(region.astype(np.uint8), np.ones((2 * CLONE_REACH + 1,) * 2, np.uint8))
    around = cv2.copyMakeBorder(photo, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
    around = around[y0 : y1 + 2 * margin, x0 : x1 + 2 * margin]
    height, width = grown.shape
    cloned = cv2.seamlessClone(subject, around, grown * 255, (width // 2, height // 2), cv2.NORMAL_CLONE)
    result = photo.copy()
    result[inner] = cloned[margin:-margin, margin:-margin]
    return result


def _lay_over(filled: np.ndarray, mask: np.ndarray, subject: np.ndarray, placed: np.ndarray) -> np.ndarray:
    weight = (np.clip(placed, 0.0, 1.0) * mask)[..., None]
    return np.rint(weight * subject + (1 - weight) * filled).astype(np.uint8)
