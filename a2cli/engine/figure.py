"""What stands out under a mask from the ground around it: GrabCut (Rother et al. 2004) with the rim as ground."""

from __future__ import annotations

import math

import cv2
import numpy as np

from a2cli.images.geometry import crop_image, crop_mask, get_bounding_box, get_zoom_crop, paste_back
from a2cli.localize.threshold import get_region

SIDE = 160  # px it is worked out at; finer does not find more
CONTEXT = 1.3  # side of what is looked at over the mask's; farther off there are other things
ROUNDS = 5
LEAST_GROUND = 16  # pixels that must be seen around the mask
LEAST, MOST = 0.04, 0.97  # share of the mask that a figure fills
LEAST_PART = 0.05  # of the largest part: smaller ones are specks of the ground


def find_figure(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray | None:
    """Find the thing under a coarse mask: (H, W, 3) uint8 and (H, W) bool -> (H, W) bool inside the mask.

    Everything beside the mask counts as ground. None where no ground is seen, or where nothing, or everything, stands
    out from it. The result depends on the arguments alone.
    """
    if not mask.any() or mask.all():
        return None
    crop = get_zoom_crop(mask, size=SIDE, context=CONTEXT)
    small = crop_image(rgb, crop)
    inside = crop_mask(mask, crop) > 0.5
    seen = (
        crop_mask(np.ones(mask.shape, bool), crop) > 0.5
    )  # beyond the photo there is no ground to learn from
    ground = ~inside & seen
    if ground.sum() < LEAST_GROUND or not inside.any():
        return None
    labels = np.where(inside, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    try:
        ordered = np.ascontiguousarray(small[..., ::-1])
        cv2.grabCut(ordered, labels, None, *models, ROUNDS, cv2.GC_INIT_WITH_MASK)
    except cv2.error:  # too few colours to model
        return None
    found = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)) & inside
    if not LEAST <= found.sum() / inside.sum() <= MOST:
        return None
    found = get_region(found.astype(np.float32), 0.5, min_share=LEAST_PART)
    figure: np.ndarray = paste_back(np.zeros(mask.shape, np.float32), found.astype(np.float32), crop) > 0.5
    return figure & mask


def get_size(mask: np.ndarray) -> float:
    """The size of what a mask (H, W) marks: the root of its box's area in pixels; 0 for an empty one."""
    box = get_bounding_box(mask)
    return math.sqrt((box[2] - box[0]) * (box[3] - box[1])) if box else 0.0
