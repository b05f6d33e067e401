"""Read a mask in any form a user may have it in: where to edit, as (H, W) float32 with 1 = edit."""

from __future__ import annotations

import math
import re
from pathlib import Path

import cv2
import numpy as np

from a2cli.errors import DataError
from a2cli.files import show_name
from a2cli.images.geometry import resize
from a2cli.images.photo import Photo
from a2cli.images.read import open_photo
from a2cli.types import MAX_PIXELS

BOX = re.compile(r"box:", re.IGNORECASE)
SAME_ASPECT = 0.01  # relative difference up to which --fit-mask takes two shapes for one
HOLE_SHARE = 0.5  # an alpha channel at least this opaque is a picture with a hole
PHOTO_COLOURS = 96  # distinct colours, 4 bits a channel, from which opaque pixels are taken for a photograph
CLEAR, SOLID = 8, 247  # alpha at or below / at or above counts as gone / as there
LOSSY_TOLERANCE = 32  # grey levels of noise at both ends of a lossily coded mask


def read_mask(
    spec: str | Path | bytes,
    size: tuple[int, int],
    *,
    fit: bool = False,
    hole: bool = True,
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """The mask of a source of `size` (H, W): float32 in [0, 1], 1 = edit, all zero if nothing is marked.

    spec: a path or a file's bytes, or the text "box:x0,y0,x1,y1" in source pixels (half open, clipped to the
    source). A picture is read as follows.
    - With transparency: a picture that is mostly opaque has its hole edited (1 - alpha); one that is mostly
      transparent is a scribble, its strokes are edited (alpha), of whatever colour, unless its opaque part is a
      photograph, then most of it was rubbed out and the hole is edited. With `hole` unset (the mask of a
      reference, where a cut-out shows the subject itself) what is opaque is marked, always.
    - Without: grey, white = edit, soft values kept. Two values only, black and one other (0 and 1, black and
      red): the other is edited. Other coloured pictures are refused.
    A mask of another size is refused, never stretched, unless `fit` is set and the aspect is the same.
    max_pixels as for `open_photo`. Raises DataError naming the mask, the cause and the remedy.
    """
    if isinstance(spec, str) and BOX.match(spec):
        return read_box(spec, size)
    photo = open_photo(spec, max_pixels=max_pixels, name="mask" if isinstance(spec, bytes) else None)
    if not _is_transparent(photo):
        mask = get_white(photo)
    else:
        mask = get_hole(photo) if hole and has_hole(photo) else get_strokes(photo)
    return _match_size(mask, size, photo, fit)


def read_box(spec: str, size: tuple[int, int]) -> np.ndarray:
    """'box:x0,y0,x1,y1' -> (H, W) float32, 1 where x0 <= x < x1 and y0 <= y < y1, rounded to pixels."""
    shown = show_name(spec)
    height, width = size
    hint = f"write box:x0,y0,x1,y1 in pixels of the {width} x {height} source, x0 < x1, y0 < y1"
    try:
        numbers = [float(part) for part in spec.split(":", 1)[1].split(",")]
    except ValueError as error:
        raise DataError(f"{shown}: not four numbers", hint=hint) from error
    if len(numbers) != 4 or not all(math.isfinite(number) for number in numbers):
        raise DataError(f"{shown}: not four numbers", hint=hint)
    x0, y0, x1, y1 = (round(number) for number in numbers)
    if x0 >= x1 or y0 >= y1:
        raise DataError(f"{shown}: the box is empty", hint=hint)
    if x0 >= width or y0 >= height or x1 <= 0 or y1 <= 0:
        raise DataError(f"{shown}: the box lies outside the source", hint=hint)
    mask = np.zeros(size, dtype=np.float32)
    mask[max(y0, 0) : y1, max(x0, 0) : x1] = 1.0
    return mask


def has_hole(photo: Photo) -> bool:
    """Whether a picture is a photo with a region rubbed out, so that it is source and mask in one."""
    if not _is_transparent(photo) or photo.alpha is None or photo.alpha.max() <= CLEAR:
        return False
    return float(photo.alpha.mean()) / 255.0 >= HOLE_SHARE or _is_photographic(photo)


def get_hole(photo: Photo) -> np.ndarray:
    """(H, W) float32: 1 where the photo is transparent, 0 where it is opaque or has no alpha."""
    if photo.alpha is None:
        return np.zeros(photo.size, dtype=np.float32)
    return 1.0 - _get_cover(photo.alpha)


def get_strokes(photo: Photo) -> np.ndarray:
    """(H, W) float32: 1 where something opaque is painted."""
    if photo.alpha is None:
        return np.ones(photo.size, dtype=np.float32)
    return _get_cover(photo.alpha)


def get_white(photo: Photo) -> np.ndarray:
    """(H, W) float32 of an opaque mask: white = 1, or the one value beside black. DataError for colours."""
    samples = photo.native[..., :-1] if photo.layout.alpha else photo.native
    if photo.layout.colours != 1:
        samples = photo.rgb  # profiles and CMYK do matter for telling grey from colour
    samples = samples.reshape((*photo.size, -1))
    lossy = photo.format in ("JPEG", "AVIF", "WEBP")
    spread = samples.max(axis=2).astype(np.int32) - samples.min(axis=2)
    top = int(np.iinfo(samples.dtype).max)
    marked: np.ndarray = np.asarray(samples.any(axis=2))
    if _has_one_value(samples, marked) and (samples.max() < top or spread.any()) and not marked.all():
        return marked.astype(np.float32)
    if (not lossy and spread.max() > 0.05 * top) or (lossy and float((spread > 0.2 * top).mean()) > 0.01):
        raise DataError(
            f"{show_name(photo.name)}: a coloured picture is no mask",
            hint="white marks what is edited; or paint on transparency; or rub the region out of the photo",
        )
    grey = samples.mean(axis=2, dtype=np.float32) / top
    if lossy:
        tolerance = LOSSY_TOLERANCE / 255.0
        grey[grey < tolerance] = 0.0
        grey[grey > 1.0 - tolerance] = 1.0
    return grey


def _has_one_value(samples: np.ndarray, marked: np.ndarray) -> bool:
    """Whether all marked pixels of (H, W, C) samples have the same colour."""
    values = samples[marked]
    return bool(values.size) and bool((values == values[0]).all())


def _is_transparent(photo: Photo) -> bool:
    return photo.alpha is not None and int(photo.alpha.min()) < SOLID


def _is_photographic(photo: Photo) -> bool:
    assert photo.alpha is not None
    there = photo.rgb[photo.alpha >= SOLID] >> 4
    codes = there[:, 0].astype(np.int32) << 8 | there[:, 1].astype(np.int32) << 4 | there[:, 2]
    return int(np.count_nonzero(np.bincount(codes, minlength=4096) if codes.size else codes)) >= PHOTO_COLOURS


def _get_cover(alpha: np.ndarray) -> np.ndarray:
    """Alpha as (H, W) float32 in [0, 1], its ends made exact."""
    cover: np.ndarray = alpha.astype(np.float32) / 255.0
    cover[alpha <= CLEAR] = 0.0
    cover[alpha >= SOLID] = 1.0
    return cover


def _match_size(mask: np.ndarray, size: tuple[int, int], photo: Photo, fit: bool) -> np.ndarray:
    if mask.shape == size:
        return mask
    (old_height, old_width), (height, width) = mask.shape, size
    message = (
        f"{show_name(photo.name)}: the mask is {old_width} x {old_height}, the source is {width} x {height}"
    )
    ratio = (old_width * height) / (old_height * width)
    slack = SAME_ASPECT + 0.5 / min(old_height, old_width, height, width)  # half a pixel of rounding
    if abs(ratio - 1.0) > slack:
        raise DataError(message, hint="the shapes differ too: give a mask made on this source")
    if not fit:
        raise DataError(message, hint="--fit-mask scales it")
    binary = bool(np.isin(mask, (0.0, 1.0)).all())
    if height > old_height:
        mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)
    else:
        mask = resize(mask, size)
    mask = np.clip(mask, 0.0, 1.0)
    return (mask >= 0.5).astype(np.float32) if binary else mask.astype(np.float32)
