"""What one edit is measured by, and which part of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from a2cli.errors import DataError
from a2cli.masks.morph import require_bounding_box

Region = Literal["image", "crop", "mask"]
REGIONS: tuple[Region, ...] = get_args(Region)
GREY = 127  # of pixels taken out, and of what does not count where a network looks at masked ones
NAMES = {
    "edited": "the edit",
    "source": "the source",
    "target": "the target",
    "ref_rgb": "the reference",
    "mask": "the mask",
    "exact": "the exact mask",
    "region": "the edited region",
    "ref_mask": "the reference's mask",
}


@dataclass(frozen=True)
class Shot:
    """One edit and all that is known of what it should be; pictures (H, W, 3) uint8 sRGB, masks (H, W) bool.

    `mask` is the mask the method was given, not empty; `source` the photo before the edit, None where only the result
    is known. With `hole` the source's pixels under the mask were taken out before the method saw it, so that all of
    them count as changed. `target` is what a perfect edit would be. The reference has a size of its own. `prompt` says
    what the edit shows, `source_prompt` what the source does, `instruction` what was to be done, where that is not
    worded as the prompt. `exact` is the exact mask of what had to change, under which `mask` may be rough, and `region`
    the part of the photo that the method chose to edit, possibly none of it; both None where they are not known. Raises
    `DataError` where sizes differ, a mask is empty or an array is of another kind.
    """

    id: str
    edited: np.ndarray
    mask: np.ndarray
    source: np.ndarray | None = None
    hole: bool = False
    target: np.ndarray | None = None
    ref_rgb: np.ndarray | None = None
    ref_mask: np.ndarray | None = None
    prompt: str = ""
    instruction: str = ""
    source_prompt: str = ""
    exact: np.ndarray | None = None
    region: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name in ("edited", "source", "target", "ref_rgb"):
            self._check_picture(name)
        photo = self.edited
        for name, picture in (
            ("mask", photo),
            ("exact", photo),
            ("region", photo),
            ("ref_mask", self.ref_rgb),
        ):
            self._check_mask(name, picture)

    @property
    def given(self) -> np.ndarray | None:
        """The photo as a method got it, GREY under the mask where that was taken out; None where it is not known."""
        if self.source is None or not self.hole:
            return self.source
        return np.where(self.mask[..., None], np.uint8(GREY), self.source)

    @property
    def request(self) -> str:
        """What was to be done, in words: the instruction, else the prompt."""
        return self.instruction.strip() or self.prompt.strip()

    def _check_picture(self, name: str) -> None:
        picture = getattr(self, name)
        if picture is None:
            return
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
            raise DataError(f"{self.id}: {NAMES[name]} is {picture.dtype} {picture.shape}, not RGB of 8 bits")
        if name in ("source", "target") and picture.shape != self.edited.shape:
            raise DataError(
                f"{self.id}: the edit is {get_size(self.edited)}, {NAMES[name]} {get_size(picture)}",
                hint="an edit keeps the size of its photo",
            )

    def _check_mask(self, name: str, picture: np.ndarray | None) -> None:
        mask = getattr(self, name)
        if mask is None:
            return
        if picture is None:
            raise DataError(f"{self.id}: {NAMES[name]} is there, its picture is not")
        if mask.dtype != np.bool_ or mask.shape != picture.shape[:2]:
            raise DataError(
                f"{self.id}: {NAMES[name]} is {mask.dtype} {get_size(mask)}, its picture {get_size(picture)}"
            )
        if not mask.any() and name != "region":
            raise DataError(
                f"{self.id}: {NAMES[name]} is empty", hint="what lies inside nothing is not defined"
            )


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


def get_part(values: np.ndarray, mask: np.ndarray, region: Region) -> np.ndarray:
    """What a region holds of values that each pixel has: all, those in the mask's box, or those under the mask.

    (H, W, ...) and (H, W) bool -> (H, W, ...), (h, w, ...) or (N, ...), of the same type.
    """
    if region == "image":
        return values
    if region == "mask":
        return values[mask]
    x0, y0, x1, y1 = require_bounding_box(mask)
    return values[y0:y1, x0:x1]
