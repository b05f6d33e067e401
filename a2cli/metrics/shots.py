"""What one edit is measured by, and which part of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from a2cli.errors import DataError
from a2cli.masks.morph import require_bounding_box

Region = Literal["image", "crop", "mask"]
REGIONS: tuple[Region, ...] = get_args(Region)
GREY = 127  # of what does not count where a network looks at masked pixels


@dataclass(frozen=True)
class Shot:
    """One edit and all that is known of what it should be; pictures (H, W, 3) uint8 sRGB, masks (H, W) bool.

    `mask` is the mask the method was given, not empty; `source` the photo before the edit, None where only the result
    is known. With `hole` the source's pixels under the mask were taken out before the method saw it, so that all of
    them count as changed. `target` is what a perfect edit would be, `region` the exact mask of the object there. The
    reference has a size of its own. Raises `DataError` where sizes differ or the mask is empty.
    """

    id: str
    edited: np.ndarray
    mask: np.ndarray
    source: np.ndarray | None = None
    hole: bool = False
    target: np.ndarray | None = None
    region: np.ndarray | None = None
    ref_rgb: np.ndarray | None = None
    ref_mask: np.ndarray | None = None
    prompt: str = ""

    def __post_init__(self) -> None:
        for name in ("source", "target"):
            picture = getattr(self, name)
            if picture is not None and picture.shape != self.edited.shape:
                raise DataError(
                    f"{self.id}: the edit is {get_size(self.edited)}, the {name} {get_size(picture)}",
                    hint="an edit keeps the size of its photo",
                )
        if self.mask.shape != self.edited.shape[:2]:
            raise DataError(f"{self.id}: the edit is {get_size(self.edited)}, its mask {get_size(self.mask)}")
        if not self.mask.any():
            raise DataError(f"{self.id}: the mask is empty", hint="what lies inside nothing is not defined")


def get_size(picture: np.ndarray) -> str:
    """Width x height, as people say it."""
    return f"{picture.shape[1]} x {picture.shape[0]}"


def get_view(rgb: np.ndarray, mask: np.ndarray | None, region: Region) -> np.ndarray:
    """What a network is shown of a picture: all of it, its mask's box, or that box with the rest in GREY.

    (H, W, 3) uint8 and (H, W) bool -> (h, w, 3) uint8; without a mask the whole picture for every region.
    """
    if region == "image" or mask is None:
        return rgb
    x0, y0, x1, y1 = require_bounding_box(mask)
    crop = rgb[y0:y1, x0:x1]
    if region == "crop":
        return crop
    return np.where(mask[y0:y1, x0:x1, None], crop, np.uint8(GREY))
