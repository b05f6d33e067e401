"""The autoencoder's error beside the hole is known, for the photo is: carry it on into the hole."""

from __future__ import annotations

import cv2
import numpy as np

RADIUS = 1 / 64  # of the picture's side: standard deviation of the neighbourhood


def correct_drift(picture: np.ndarray, source: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Take the colour shift off a decoded picture where it meets the photo.

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
