"""A photo looked over: whole at working size, and again from nearby where what was seen is small."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from a2cli.data.order import choose_bucket, get_buckets
from a2cli.engine.prepare import choose_size
from a2cli.images.geometry import Crop, crop_image, get_zoom_crop, paste_back, resize

CONTEXT = 1.6  # side of the second look over the found region's
FADE = (CONTEXT - 1) / (
    2 * CONTEXT
)  # of that look's side: what surrounds the region, where it gives way to the first
SMALL = 0.25  # share of the photo below which a region is looked at again
LONGEST = 8.0  # aspect up to which a photo keeps its own


@dataclass(frozen=True)
class Look:
    """One look at a picture at working size: `soft` (h, w) in [0, 1], `region` bool; `reason` why it names no place."""

    soft: np.ndarray
    region: np.ndarray
    threshold: float
    reason: str = ""


@dataclass(frozen=True)
class Sight:
    """A photo looked over: `soft` (H, W) in [0, 1], `region` (H, W) bool, the look that decided, its photo px a px."""

    soft: np.ndarray
    region: np.ndarray
    look: Look
    scale: float


def look_over(
    look: Callable[[np.ndarray], Look],
    photo: np.ndarray,
    resolution: int,
    token_px: int,
    *,
    refine: bool = True,
) -> Sight:
    """Look at a whole photo (H, W, 3), and with `refine` again from nearby at a region that is small in it.

    The second look stands for the first, unless it sees nothing there or nothing finer. Its region is taken as it is;
    its map gives way to the first one's towards the borders of its crop.
    """
    size = (photo.shape[0], photo.shape[1])
    working = get_look_size(size, resolution, token_px)
    first = look(resize(photo, working))
    soft, region = (np.clip(resize(m.astype(np.float32), size), 0, 1) for m in (first.soft, first.region))
    sight = Sight(soft, region > 0.5, first, max(size) / max(working))
    if not refine or first.reason or not 0 < sight.region.mean() < SMALL:
        return sight
    crop = get_zoom_crop(sight.region, size=choose_size(sight.region, resolution, token_px), context=CONTEXT)
    if crop.scale * sight.scale <= 1:
        return sight
    closer = look(crop_image(photo, crop))
    there = paste_back(np.zeros(size, np.float32), closer.region.astype(np.float32), crop) > 0.5
    if closer.reason or not there.any():
        return sight
    near = np.clip(paste_back(soft, closer.soft, crop), 0, 1)
    return Sight(soft + get_fade(crop, size) * (near - soft), there, closer, 1 / crop.scale)


def get_fade(crop: Crop, size: tuple[int, int]) -> np.ndarray:
    """How much of a look at `crop` counts in a photo of (H, W): float32 in [0, 1], 0 outside, 1 further in.

    It falls without a step over `FADE` of the crop's side, but for sides that lie on the photo's own border.
    """
    axes = []
    for start, side, length in zip((crop.top, crop.left), (crop.height, crop.width), size, strict=True):
        places = np.arange(length) + 0.5
        before = np.full(length, np.inf) if start <= 0 else places - start
        after = np.full(length, np.inf) if start + side >= length else start + side - places
        depth = np.clip(np.minimum(before, after) / (FADE * side), 0, 1)
        axes.append((depth**2 * (3 - 2 * depth)).astype(np.float32))
    return np.multiply.outer(axes[0], axes[1])


def get_look_size(size: tuple[int, int], resolution: int, token_px: int) -> tuple[int, int]:
    """The working size (h, w) for a whole photo of `size` (H, W): about resolution^2 px, its aspect."""
    aspect = float(np.clip(size[1] / size[0], 1 / LONGEST, LONGEST))
    buckets = get_buckets(resolution, token_px, max(LONGEST, resolution / token_px))
    return buckets[choose_bucket(aspect, buckets)]
