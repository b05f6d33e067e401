"""Is each part of one region found in the other? Needs no pose and no alignment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from a2cli import __version__
from a2cli.masks.morph import require_bounding_box
from a2cli.metrics.measure import ShotMeasure, Values, Weights
from a2cli.metrics.shots import Shot
from a2cli.metrics.table import MetricInfo

PATCH = 7  # pixels, after both regions are brought to SIDE
SIDE = 48  # longest side of a region's bounding box, pixels


@dataclass(frozen=True)
class PatchDistance:
    """Mean distance to the nearest patch, in [0, 1], lower is better.

    completeness: from the reference's patches to the edit's: is everything of the subject there?
    coherence: from the edit's patches to the reference's: is there anything that is not the subject?
    """

    completeness: float
    coherence: float

    @property
    def total(self) -> float:
        """Mean of both directions."""
        return (self.completeness + self.coherence) / 2


def build_measure(infos: Sequence[MetricInfo], weights: Weights, device: str) -> ShotMeasure:
    """Patches of the masked region against those of the reference's subject."""
    del weights, device
    settings = f"OpenCV {cv2.__version__}; patches of {PATCH} px, regions brought to {SIDE} px"
    return ShotMeasure(infos, f"a2 {__version__}, {settings}", get_patch_values)


def get_patch_values(shot: Shot) -> Values:
    """patches and its two halves of a shot; nothing without a reference whose subject is marked."""
    if shot.ref_rgb is None or shot.ref_mask is None:
        return {}
    distance = bidirectional_similarity(shot.edited, shot.mask, shot.ref_rgb, shot.ref_mask)
    return {
        "patches": distance.total,
        "patches_completeness": distance.completeness,
        "patches_coherence": distance.coherence,
    }


def bidirectional_similarity(
    image: np.ndarray, mask: np.ndarray, reference: np.ndarray, ref_mask: np.ndarray
) -> PatchDistance:
    """Patch distance both ways between an edited region and the reference's subject; 0 = same patches.

    image, reference: (H, W, 3) in [0, 255], sizes may differ; masks: bool (H, W), not empty. Each region's
    bounding box is resized to SIDE px (longest side), the patches are all PATCH x PATCH windows inside the
    mask, the distance of two is the root mean square of their RGB difference, divided by 255.
    Source: Simakov et al., Summarizing visual data using bidirectional similarity, 2008, eq. 1; one scale,
    and a root where they take the sum of squares, so that one bad patch does not outweigh the rest.
    """
    edited = get_patches(image, mask)
    wanted = get_patches(reference, ref_mask)
    # |p - q|^2 = |p|^2 + |q|^2 - 2 p.q, all pairs at once: (N, M)
    squares = np.square(edited).sum(1)[:, None] + np.square(wanted).sum(1)[None] - 2 * edited @ wanted.T
    # The product names the nearest; its own rounding would leave 0.001 between equal patches.
    coherence = np.sqrt(np.square(edited - wanted[squares.argmin(axis=1)]).mean(axis=1)).mean()
    completeness = np.sqrt(np.square(wanted - edited[squares.argmin(axis=0)]).mean(axis=1)).mean()
    return PatchDistance(float(completeness), float(coherence))


def get_patches(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """All patches of a masked region at its normal size: float32 (N, PATCH * PATCH * 3) in [0, 1], N >= 1.

    Where no window fits inside the mask (hair, wires), windows with their centre in the mask are taken.
    """
    x0, y0, x1, y1 = require_bounding_box(mask)
    crop = image[y0:y1, x0:x1].astype(np.float32) / 255.0
    scale = SIDE / max(crop.shape[:2])
    size = (max(PATCH, round((x1 - x0) * scale)), max(PATCH, round((y1 - y0) * scale)))
    shrink = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    inside = cv2.resize(mask[y0:y1, x0:x1].astype(np.float32), size, interpolation=shrink) >= 0.5
    crop = cv2.resize(crop, size, interpolation=shrink)
    half = PATCH // 2
    windows = np.lib.stride_tricks.sliding_window_view(crop, (PATCH, PATCH), axis=(0, 1))  # (h, w, 3, P, P)
    covered = cv2.erode(inside.astype(np.uint8), np.ones((PATCH, PATCH), np.uint8)).astype(bool)
    chosen = covered[half:-half, half:-half]
    for fallback in (inside[half:-half, half:-half], np.ones_like(chosen)):
        if not chosen.any():
            chosen = fallback
    return windows[chosen].reshape(int(chosen.sum()), -1)
