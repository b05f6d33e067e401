"""What a model has to beat: edits made without one. They see the reference and the photo outside the mask."""

from __future__ import annotations

import cv2
import numpy as np

from a2cli.images.align import paste_scaled, place_reference

TELEA_RADIUS = 3  # pixels


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
    return cv2.inpaint(rgb, mask.astype(np.uint8), TELEA_RADIUS, cv2.INPAINT_TELEA)


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


def _lay_over(filled: np.ndarray, mask: np.ndarray, subject: np.ndarray, placed: np.ndarray) -> np.ndarray:
    weight = (np.clip(placed, 0.0, 1.0) * mask)[..., None]
    return np.rint(weight * subject + (1 - weight) * filled).astype(np.uint8)
