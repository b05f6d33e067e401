"""From a coarse likelihood to a clean mask: edges drawn to those of the picture, holes filled, specks removed."""

from __future__ import annotations

import cv2
import numpy as np

from a2cli.images.geometry import resize

LEAST_PART = 0.15  # of the largest part's area; smaller parts are specks
LEAST_HOLE = 0.02  # of the subject's area; smaller holes are filled


def filter_along_edges(
    guide: np.ndarray, values: np.ndarray, radius: int, epsilon: float = 1e-3
) -> np.ndarray:
    """Smooth `values` (H, W) except across edges of `guide` (H, W), both float32, the guide in [0, 1].

    The guided filter (He, Sun and Tang 2010, eq. 5, 6 and 8): windows of 2 radius + 1 px, steps of the guide below
    sqrt(epsilon) count as flat.
    """
    side = (2 * radius + 1, 2 * radius + 1)
    mean_guide, mean = cv2.blur(guide, side), cv2.blur(values, side)
    covariance = cv2.blur(guide * values, side) - mean_guide * mean
    variance = cv2.blur(guide * guide, side) - mean_guide * mean_guide
    slope = covariance / (variance + epsilon)
    offset = mean - slope * mean_guide
    smooth: np.ndarray = cv2.blur(slope, side) * guide + cv2.blur(offset, side)
    return smooth


def clean_mask(mask: np.ndarray, ground: np.ndarray | None = None) -> np.ndarray:
    """The parts worth keeping, their holes filled: (h, w) bool -> bool.

    A large hole stays open where most of it is known to be `ground` (h, w) bool; without that, every large hole does.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count < 2:
        return mask
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    kept = areas >= LEAST_PART * areas.max()
    kept[0] = False
    clean: np.ndarray = kept[labels]
    _, labels, stats, _ = cv2.connectedComponentsWithStats((~clean).astype(np.uint8), connectivity=4)
    sizes = stats[:, cv2.CC_STAT_AREA]
    fill = sizes < LEAST_HOLE * areas.sum()
    if ground is not None:
        rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
        known = np.bincount(labels.ravel(), ground.ravel(), len(sizes))
        fill |= (known < 0.5 * sizes) & ~np.isin(np.arange(len(sizes)), rim)
    fill[0] = False  # the mask itself
    return clean | fill[labels]


def enlarge_mask(mask: np.ndarray, rgb: np.ndarray) -> np.ndarray:
    """Bring a working-size mask (h, w) bool to the picture's size, its edge on the picture's: (H, W) bool."""
    size = (rgb.shape[0], rgb.shape[1])
    scale = max(size) / max(mask.shape)
    soft = resize(mask.astype(np.float32), size)
    if scale > 1.01:
        guide = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
        soft = filter_along_edges(guide, soft, max(2, round(2 * scale)))
    else:
        soft = cv2.GaussianBlur(soft, (0, 0), 0.7)
    return clean_mask(soft > 0.5)
