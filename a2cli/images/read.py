"""Open a picture someone else made: bounded before it is decoded, whole or not at all.

Formats are chosen from a short list by content, never by the file's name. The plugins of Pillow are called
directly rather than through `Image.open`, whose pixel limit is a process-wide global: ours is an argument.
"""

from __future__ import annotations

import io
import os
import re
import stat
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import cv2
import numpy as np
from PIL import Image, ImageFile

from a2cli.errors import DataError
from a2cli.files import show_name
from a2cli.images.colour import get_samples, to_srgb
from a2cli.images.exif import ORIENTATION, get_exif, set_upright, turn_upright
from a2cli.images.photo import Photo
from a2cli.images.png import has_damaged_pixels
from a2cli.types import MAX_PIXELS

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF")
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+://|data:", re.ASCII)
# What a Pillow mode becomes without losing a value. What is not named (32-bit integers, floats) is refused.
PROMOTED = {"1": "L", "P": "RGB", "PA": "RGBA", "RGBX": "RGB", "La": "LA", "RGBa": "RGBA", "YCbCr": "RGB"}
KEPT = ("L", "LA", "RGB", "RGBA", "CMYK", "LAB")
MAX_XMP = 1 << 20  # bytes of a packet; a longer one is not kept
WIDE = re.compile(r"(RGB|RGBA|LA);16[LBN]?")  # raw modes that Pillow would cut to 8 bits
TIFF_PHOTOMETRIC = 262


def open_photo(source: str | Path | bytes, *, max_pixels: int = MAX_PIXELS, name: str | None = None) -> Photo:
    """Read one picture from a path or from bytes; never a URL.

    max_pixels bounds width x height and is checked on the header, before any pixel is decoded. `name` is what
    messages call the picture (default: its path). Raises DataError, with the name, the cause and a remedy,
    for whatever is missing, empty, not a picture, truncated, too large, animated or of several pages, or of
    more than 16 bits a sample.
    """
    if isinstance(source, bytes):
        return _read(io.BytesIO(source), name or "input", max_pixels)
    shown = name or str(source)
    if isinstance(source, str) and URL.match(source):
        raise DataError(f"{show_name(shown)}: addresses are not opened", hint="download the picture first")
    with open_file(source, shown) as file:
        return _read(file, shown, max_pixels)


@contextmanager
def open_file(path: str | Path, name: str | None = None) -> Iterator[IO[bytes]]:
    """A regular file to read; DataError, with `name` or the path, for what is missing, none, or fails on the way."""
    shown = show_name(name or str(path))
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise DataError(f"{shown}: not a regular file", hint="name a picture file")
        with open(path, "rb") as file:
            yield file
    except FileNotFoundError as error:
        raise DataError(f"{shown}: no such file", hint="check the path") from error
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{shown}: cannot be opened: {cause}", hint="check the path") from error


def _read(file: IO[bytes], name: str, max_pixels: int) -> Photo:
    shown = show_name(name)
    image = open_header(file, name, max_pixels=max_pixels)
    with image, warnings.catch_warnings(action="ignore"):  # Pillow's remarks on EXIF it cannot read
        if (
            getattr(image, "is_animated", False) and image.format != "MPO"
        ):  # MPO: a phone's JPEG with its previews
            raise DataError(
                f"{shown}: holds several frames or pages",
                hint="save the one you want as its own file, e.g. magick 'FILE[0]' frame.png",
            )
        if image.format == "PNG" and has_damaged_pixels(file):
            raise DataError(f"{shown}: a damaged picture (checksum)", hint="export or download it again")
        return _decode(image, file, name)


def open_header(file: IO[bytes], name: str, *, max_pixels: int = MAX_PIXELS) -> ImageFile.ImageFile:
    """A picture of one of FORMATS with its size checked and no pixel decoded yet; DataError as for `open_photo`."""
    shown = show_name(name)
    head = file.read(64)
    if not head:
        raise DataError(f"{shown}: the file is empty", hint="export or download it again")
    _check_size(_peek_webp_size(head), shown, max_pixels)
    image = _open(file, head, shown)
    _check_size(image.size, shown, max_pixels)
    return image


def _peek_webp_size(head: bytes) -> tuple[int, int]:
    """Width and height in a WebP header, else (0, 0): Pillow's opener would already allocate the canvas."""
    if head[:4] != b"RIFF" or head[8:12] != b"WEBP" or len(head) < 30:
        return 0, 0
    kind = head[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", head, 21)[0]
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", head, 26)
    return width & 0x3FFF, height & 0x3FFF


def _check_size(size: tuple[int, int], shown: str, max_pixels: int) -> None:
    if size[0] * size[1] > max_pixels:
        raise DataError(
            f"{shown}: its header claims {size[0]} x {size[1]} = {size[0] * size[1] / 1e6:.0f} megapixels, "
            f"the limit is {max_pixels / 1e6:.0f}",
            hint="scale the picture down or raise the limit",
        )


def _open(file: IO[bytes], head: bytes, shown: str) -> ImageFile.ImageFile:
    Image.init()
    cause = ""
    for format_name in FORMATS:
        factory, accept = Image.OPEN.get(format_name, (None, None))  # Pillow before 11.3 knows no AVIF
        if factory is None or (accept is not None and accept(head[:16]) is not True):
            continue
        file.seek(0)
        try:
            with warnings.catch_warnings(action="ignore"):
                return factory(file, "")
        except Exception as error:  # plugins raise anything on hostile headers
            cause = f" ({str(error) or type(error).__name__})"
    if cause:
        raise DataError(f"{shown}: a damaged picture{cause}", hint="export or download it again")
    raise DataError(f"{shown}: not a picture a2 reads", hint="use " + ", ".join(FORMATS))


def _decode(image: ImageFile.ImageFile, file: IO[bytes], name: str) -> Photo:
    shown, source_mode = show_name(name), image.mode
    raw_mode = _get_raw_mode(image)
    try:
        stored = _get_orientation(image)
        image.load()
        orientation = _get_orientation(image)  # gone for a TIFF: load() turns those itself
    except Exception as error:  # as above
        raise DataError(
            f"{shown}: cannot be decoded, it is truncated or damaged ({error})",
            hint="export or download it again",
        ) from error
    if WIDE.fullmatch(raw_mode):
        native = _decode_wide(image, file, shown)
        orientation = stored if image.format == "TIFF" else orientation
        mode = source_mode = {1: "I;16", 2: "LA;16", 3: "RGB;16", 4: "RGBA;16"}[native[0, 0].size]
    elif (";16" in raw_mode and not image.mode.startswith("I;16")) or _is_inverted_wide(image):
        raise DataError(
            f"{shown}: 16-bit samples stored as {raw_mode} cannot be kept",
            hint="convert it to 16-bit RGB or 8 bits",
        )
    else:
        native, mode = _get_native(image, shown)
    native = turn_upright(native, orientation)
    icc_profile = image.info.get("icc_profile") or None
    rgb, alpha = to_srgb(native, mode, icc_profile)
    return Photo(
        rgb=rgb,
        alpha=alpha,
        native=native,
        mode=mode,
        format="JPEG" if image.format == "MPO" else str(image.format),
        name=name,
        source_mode=source_mode,
        icc_profile=icc_profile,
        exif=get_exif(image),
        xmp=_get_xmp(image),
    )


def _get_xmp(image: ImageFile.ImageFile) -> bytes | None:
    packet = image.info.get("xmp")
    return packet if isinstance(packet, bytes) and len(packet) <= MAX_XMP else None


def _get_orientation(image: ImageFile.ImageFile) -> int:
    """The orientation a picture states, 1 where it states none that makes sense: broken EXIF harms no pixel."""
    try:
        orientation = image.getexif().get(ORIENTATION, 1)
    except Exception:  # as above
        return 1
    return orientation if isinstance(orientation, int) else 1


def _get_raw_mode(image: ImageFile.ImageFile) -> str:
    """How the samples lie in the file, as Pillow names it: 'RGB;16B' where its own mode says only 'RGB'."""
    if not image.tile:
        return image.mode
    args = image.tile[0].args
    raw = args[0] if isinstance(args, (tuple, list)) and args else args
    return raw if isinstance(raw, str) else image.mode


def _is_inverted_wide(image: ImageFile.ImageFile) -> bool:
    """16-bit grey TIFF with white at 0, which Pillow does not turn round."""
    tags = getattr(image, "tag_v2", None)
    return image.mode.startswith("I;16") and tags is not None and tags.get(TIFF_PHOTOMETRIC) == 0


def _get_native(image: Image.Image, shown: str) -> tuple[np.ndarray, str]:
    """A loaded picture's samples and their mode; palettes and colour keys become plain samples, exactly."""
    transparency = image.info.get("transparency")
    if image.mode.startswith("I;16"):
        grey = np.array(image).astype(np.uint16)
        if isinstance(transparency, int):
            return np.dstack([grey, np.where(grey == transparency, 0, 65535).astype(np.uint16)]), "LA;16"
        return grey, "I;16"
    if image.mode not in PROMOTED and image.mode not in KEPT:
        raise DataError(
            f"{shown}: samples of type {image.mode} are not supported",
            hint="convert it to 8 or 16 bits a sample",
        )
    mode = PROMOTED.get(image.mode, image.mode)
    if transparency is not None and mode in ("L", "RGB"):
        mode += "A"
    if image.mode == "1" and mode == "LA":
        image = image.convert("RGBA")
    elif image.mode == "P" and image.palette is not None and image.palette.mode.endswith("A"):
        mode = "RGBA"
    return get_samples(image.convert(mode) if image.mode != mode else image), mode


def _decode_wide(image: ImageFile.ImageFile, file: IO[bytes], shown: str) -> np.ndarray:
    """16-bit samples as stored, (H, W, C) uint16: Pillow found the file whole, OpenCV keeps all bits."""
    file.seek(0)
    data = file.read()
    if image.format == "TIFF":
        data = set_upright(data) or data  # OpenCV would turn the picture on some paths and not on others
    try:
        samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise DataError(f"{shown}: cannot be decoded ({error.err})", hint="convert it to 8 bits") from error
    wanted = sorted(image.size)
    if samples is None or samples.dtype != np.uint16 or sorted(samples.shape[1::-1]) != wanted:
        raise DataError(f"{shown}: its 16-bit samples cannot be decoded", hint="convert it to 8 bits")
    if samples.ndim == 2:
        return samples
    samples = samples[..., [2, 1, 0, 3][: samples.shape[2]]]
    if (
        image.format == "PNG" and data[25] == 4
    ):  # colour type grey with alpha, which OpenCV returns as four channels
        samples = samples[..., [0, samples.shape[2] - 1]]
    return samples
