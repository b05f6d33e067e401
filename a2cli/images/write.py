"""Put an edit into a photo and save it: untouched samples keep every bit, files appear whole or never."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import numpy as np

from a2cli.errors import DataError
from a2cli.files import show_name, write_bytes
from a2cli.images.colour import from_srgb
from a2cli.images.encode import FORMAT_SUFFIXES, encode_photo
from a2cli.images.geometry import get_bounding_box
from a2cli.images.metadata import Metadata
from a2cli.images.photo import Photo


def compose(photo: Photo, edited_rgb: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The photo's native samples with the edit blended in by `weight`; a new array like `photo.native`.

    edited_rgb (H, W, 3) sRGB, uint8 or float32 in [0, 255]; weight (H, W) in [0, 1]. Where the weight is 0
    every sample, alpha included, is the source's own bit. Elsewhere the edit is brought into the photo's own
    colour space, and alpha rises to opaque with the weight (colours are blended premultiplied, so what lay
    hidden under a transparent hole does not shine through). Raises DataError for wrong sizes and for NaN.
    """
    if edited_rgb.shape != (*photo.size, 3) or weight.shape != photo.size:
        raise DataError(
            f"{show_name(photo.name)}: an edit of {edited_rgb.shape[:2]} under a weight of {weight.shape} "
            f"does not fit a photo of {photo.size}"
        )
    result = photo.native.copy()
    box = get_bounding_box(weight)
    if box is None:
        return result
    window = (slice(box[1], box[3]), slice(box[0], box[2]))
    amount = np.clip(weight[window].astype(np.float32), 0.0, 1.0)[..., None]
    edited = edited_rgb[window]
    if not (np.isfinite(amount).all() and np.isfinite(edited[amount[..., 0] > 0]).all()):
        raise DataError(f"{show_name(photo.name)}: the edit holds values that are not numbers")
    edited = np.nan_to_num(edited.astype(np.float32))

    layout = photo.layout
    source = photo.native[window].astype(np.float32)
    source = source.reshape((*source.shape[:2], -1))
    colour = from_srgb(edited, photo.mode, photo.icc_profile)
    if layout.alpha:
        cover = source[..., -1:] / layout.top
        new_cover = cover * (1.0 - amount) + amount
        kept = cover * (1.0 - amount) / np.maximum(new_cover, 1e-6)
        mixed = np.concatenate(
            [source[..., :-1] * kept + colour * (1.0 - kept), new_cover * layout.top], axis=-1
        )
    else:
        mixed = source * (1.0 - amount) + colour * amount
    mixed = np.clip(np.rint(mixed), 0, layout.top).astype(photo.native.dtype)
    touched = amount[..., 0] > 0
    result[window][touched] = mixed.reshape(photo.native[window].shape)[touched]
    return result


def save_photo(
    photo: Photo,
    native: np.ndarray,
    target: str | Path | IO[bytes],
    *,
    format: str | None = None,
    metadata: Metadata | None = None,
) -> None:
    """Save samples laid out as `native`, with the photo's mode, profile, EXIF and alpha if the format can.

    target: a path, replaced in one step, or a binary file object. format: Pillow's name; default: by the
    path's suffix, else the photo's own. metadata: what the file is to say of its making (PNG: text chunks; JPEG,
    WebP, AVIF: EXIF; all but BMP and GIF: XMP that declares the picture as composed with a trained model); what the
    source's own XMP says stays, where it is still true. What a format cannot hold is described in `encode_photo`.
    Raises DataError; a target that existed is then untouched, nothing is left over.
    """
    if format is None:
        format = get_target_format(photo, target)
    data = encode_photo(photo, native, format, metadata)
    if isinstance(target, (str, Path)):
        write_bytes(data, target)
    else:
        target.write(data)


def encode_png(
    photo: Photo, native: np.ndarray, *, metadata: Metadata | None = None, level: int | None = None
) -> bytes:
    """The PNG file as bytes, for a pipe or a shard; arguments as for `save_photo`.

    `level` of compression, 0 (none) to 9, for 8-bit samples; None for Pillow's own.
    """
    return encode_photo(photo, native, "PNG", metadata, level=level)


def encode_jpeg(photo: Photo, native: np.ndarray) -> bytes:
    """The JPEG file as bytes, quality 95, colour at full resolution; arguments as for `save_photo`."""
    return encode_photo(photo, native, "JPEG")


def build_mask_photo(mask: np.ndarray) -> Photo:
    """A Photo of a mask, (H, W) bool or float in [0, 1], as if read from a grey PNG: 0 -> black, 1 -> white."""
    grey = np.rint(np.clip(mask.astype(np.float32), 0.0, 1.0) * 255.0).astype(np.uint8)
    return Photo(np.repeat(grey[..., None], 3, axis=2), None, grey, "L", "PNG", "mask", "L")


def get_target_format(photo: Photo, target: str | Path | IO[bytes]) -> str:
    """The format a target is saved in: by its suffix, without one the photo's. DataError for an unknown suffix."""
    suffix = Path(target).suffix.lower() if isinstance(target, (str, Path)) else ""
    if not suffix:
        return get_output_format(photo)
    if suffix not in FORMAT_SUFFIXES:
        raise DataError(
            f"{show_name(str(target))}: cannot save as {suffix}", hint="use " + ", ".join(FORMAT_SUFFIXES)
        )
    return FORMAT_SUFFIXES[suffix]


def get_output_format(photo: Photo) -> str:
    """The format an edit is best saved in: the photo's own, but PNG for GIF (256 colours are too few)."""
    return "PNG" if photo.format == "GIF" else photo.format


def build_photo(rgb: np.ndarray, *, alpha: np.ndarray | None = None, name: str = "picture") -> Photo:
    """A Photo from arrays, (H, W, 3) uint8 and perhaps (H, W) uint8, as if read from a plain sRGB PNG."""
    native = rgb if alpha is None else np.dstack([rgb, alpha])
    mode = "RGB" if alpha is None else "RGBA"
    return Photo(rgb, alpha, native, mode, "PNG", name, mode)


def save_image(rgb: np.ndarray, path: str | Path, *, metadata: Metadata | None = None) -> None:
    """Save (H, W, 3) uint8 sRGB to a path, format by suffix, in one step."""
    save_photo(build_photo(rgb, name=str(path)), rgb, path, metadata=metadata)


def save_mask(mask: np.ndarray, path: str | Path) -> None:
    """Save a (H, W) mask, bool or float in [0, 1], as a grey PNG: 0 -> black, 1 -> white.

    Raises DataError when the name asks for another format or nothing can be written there.
    """
    if Path(path).suffix.lower() not in ("", ".png"):
        raise DataError(f"{show_name(str(path))}: masks are saved as PNG", hint="name it .png")
    photo = build_mask_photo(mask)
    write_bytes(encode_photo(photo, photo.native, "PNG", None), path)
