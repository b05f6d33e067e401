"""From a photo, a mask and a reference to the pictures a backbone sees: one way, training and editing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from a2cli.data.order import choose_bucket, get_buckets
from a2cli.images.align import place_reference
from a2cli.images.cutout import Cutout, crop_to_subject
from a2cli.images.geometry import Crop, crop_image, crop_mask, get_bounding_box, get_zoom_crop
from a2cli.metrics.baselines import fill_telea

HOLE = 128  # grey of a hole nothing fills: 0 in [-1, 1], as FLUX.1 Fill has it
MASKED = 0.05  # a working pixel counts as masked from this share on
LEAST_STROKE = 0.2  # of a photo's pixel; that much is masked as well, so that thin strokes survive shrinking


@dataclass(frozen=True)
class Prepared:
    """One edit at working size (h, w).

    `source`, `masked` (h, w, 3) uint8; `mask` (h, w) bool; `placed` (h, w) float32, the placed reference's cover
    inside the hole; `reference` (S, S, 3) uint8; `crop` where h x w lies in the photo.
    """

    crop: Crop
    source: np.ndarray
    masked: np.ndarray
    mask: np.ndarray
    reference: np.ndarray
    placed: np.ndarray


def choose_size(mask: np.ndarray, resolution: int, token_px: int) -> tuple[int, int]:
    """The aspect bucket (h, w) nearest to the box of a (H, W) mask; an empty mask counts as a full one."""
    x0, y0, x1, y1 = get_bounding_box(mask) or (0, 0, mask.shape[1], mask.shape[0])
    buckets = get_buckets(resolution, token_px)
    return buckets[choose_bucket((x1 - x0) / (y1 - y0), buckets)]


def prepare_edit(
    photo: np.ndarray,
    mask: np.ndarray,
    subject: Cutout,
    *,
    size: int | tuple[int, int],
    ref_size: int | None = None,
    context: float = 1.5,
    collage: bool = True,
    crop: Crop | None = None,
) -> Prepared:
    """Zoom to the mask and lay out what is known.

    `photo` (H, W, 3) uint8, `mask` (H, W) in [0, 1], `subject` the cut-out reference, `size` the working size
    (h, w) in px, or the side of a square, `ref_size` the reference's side, which a rectangle does not tell. With
    `collage` the hole holds the reference registered to the mask, else plain grey. `crop` is the place to work at
    where it is not to follow from mask and size. Raises `DataError` for an empty mask or subject.
    """
    if ref_size is None:
        if not isinstance(size, int):
            raise ValueError("beside a rectangle the reference's side must be told")
        ref_size = size
    crop = crop or get_zoom_crop(mask, size=size, context=context)
    source = crop_image(photo, crop)
    hole = get_hole_pixels(mask, crop)
    reference, _ = crop_to_subject(subject, size=ref_size)
    masked, placed = source.copy(), np.zeros(hole.shape, np.float32)
    masked[hole] = HOLE
    if collage:
        colours, cover = place_reference(subject.rgb, subject.mask, hole)
        placed = cover * hole
        weight = placed[..., None]
        masked = np.round(masked * (1 - weight) + colours * weight).astype(np.uint8)
    return Prepared(crop, source, masked, hole, reference, placed)


def get_hole_pixels(mask: np.ndarray, crop: Crop) -> np.ndarray:
    """Decide which working pixels are masked: (H, W) in [0, 1], not empty -> (h, w) bool, never all False.

    The bar falls with the scale and with the mask's own strength: a line of one pixel across a large photo, two
    dots far apart and a mask that is faint all over leave their trace.
    """
    bar = min(MASKED, LEAST_STROKE * crop.scale**2) * float(mask.max())
    return crop_mask(mask, crop) > bar


def get_start(prepared: Prepared) -> np.ndarray:
    """What sampling starts from when it does not start from noise alone: (h, w, 3) uint8.

    The placed reference, over the surroundings continued into the rest of the hole (Telea 2004).
    """
    surroundings = fill_telea(prepared.source, prepared.mask)
    uncovered = (1 - prepared.placed)[..., None] * prepared.mask[..., None]
    return (
        np.round(prepared.masked + uncovered * (surroundings.astype(np.float32) - HOLE))
        .clip(0, 255)
        .astype(np.uint8)
    )


def to_pixels(pictures: np.ndarray | torch.Tensor) -> torch.Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 in [-1, 1], on the device of a tensor."""
    if isinstance(pictures, np.ndarray):
        pictures = torch.from_numpy(np.ascontiguousarray(pictures))
    return pictures.permute(0, 3, 1, 2).float() / 127.5 - 1


def to_picture(pixels: torch.Tensor) -> np.ndarray:
    """(3, H, W) in [-1, 1] -> (H, W, 3) float32 in [0, 255]."""
    return ((pixels.float().clamp(-1, 1) + 1) * 127.5).permute(1, 2, 0).cpu().numpy()
