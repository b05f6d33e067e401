"""Where a decoded hole meets the photo: take the colour shift off, and let the ground run on."""

from __future__ import annotations

import cv2
import numpy as np

RADIUS = 1 / 64  # of the picture's side: standard deviation of the neighbourhood


BAND = 1 / 64  # of the side: how far the ground runs on


def continue_ground(
    picture: np.ndarray, start: np.ndarray, hole: np.ndarray, cover: np.ndarray
) -> np.ndarray:
    """Fade from the photo's own continuation into the picture along the border, where no subject is.

    `picture` and `start` (H, W, 3) in [0, 255], `start` continuing the photo into the hole; `hole` (H, W) bool;
    `cover` (H, W) in [0, 1], the subject. Returns float32: `start` in the hole's outermost pixels, the picture from
    a band's width on, under the subject and outside the hole.
    """
    depth = cv2.distanceTransform(np.pad(hole, 1, mode="edge").astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    kept = np.clip((depth - 1) / (max(hole.shape) * BAND), 0, 1)
    kept = np.where(hole, np.maximum(kept, cover), 1)[..., None].astype(np.float32)
    return kept * picture + (1 - kept) * start.astype(np.float32)


def correct_drift(picture: np.ndarray, source: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Take the autoencoder's colour shift, known beside the hole, off a decoded picture on both sides of the border.

    `picture` (H, W, 3) float and `source` (H, W, 3) uint8, both in [0, 255]; `hole` (H, W) bool. Returns the
    picture plus the mean difference to the source nearby, full at the hole's border and fading out within a few
    per cent of the side; a picture without surroundings stays as it is.
    """
    visible = (~hole).astype(np.float32)
    sigma = max(hole.shape) * RADIUS
    difference = (source.astype(np.float32) - picture.astype(np.float32)) * visible[..., None]
    share = cv2.GaussianBlur(visible, (0, 0), sigma)[..., None]  # one half along a straight border
    mean = cv2.GaussianBlur(difference, (0, 0), sigma) / np.maximum(share, 1e-3)
    return picture + mean * np.minimum(1.0, 2.0 * share)
