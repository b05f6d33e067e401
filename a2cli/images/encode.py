"""Samples to the bytes of a file: what each format can hold, and what becomes of the rest."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from a2cli.errors import DataError
from a2cli.files import show_name
from a2cli.images.colour import build_image, to_srgb
from a2cli.images.exif import set_comment
from a2cli.images.formats import encode_png16, encode_tiff
from a2cli.images.metadata import Metadata, get_plain
from a2cli.images.photo import LAYOUTS, Photo, to_bytes8
from a2cli.images.xmp import MAX_JPEG, get_packet

FORMAT_SUFFIXES = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".avif": "AVIF",
}
HELD = {
    "PNG": ("L", "LA", "RGB", "RGBA", "I;16", "LA;16", "RGB;16", "RGBA;16"),
    "TIFF": ("L", "LA", "RGB", "RGBA", "CMYK", "LAB", "I;16", "RGB;16", "RGBA;16"),
    "JPEG": ("L", "RGB", "CMYK"),
    "WEBP": ("RGB", "RGBA"),
    "BMP": ("L", "RGB"),
    "GIF": ("L", "RGB", "RGBA"),
    "AVIF": ("RGB", "RGBA"),
}
WITHOUT_PROFILE = ("BMP", "GIF")
OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0, "optimize": True},
    "WEBP": {"lossless": True, "exact": True, "quality": 80, "method": 4},
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
}
COMMENTED = ("JPEG", "WEBP", "AVIF")  # where EXIF carries the parameters, as web UIs do


def encode_photo(
    photo: Photo,
    native: np.ndarray,
    format: str,
    metadata: Metadata | None = None,
    *,
    level: int | None = None,
) -> bytes:
    """Encode samples laid out as `photo.native` (see `save_photo` for the arguments) as one file of `format`.

    PNG, TIFF, BMP, GIF and WebP (always lossless here) keep every sample; JPEG and AVIF are coded again at
    quality 95. A palette or 1-bit source comes out as such when the result still fits one, else in full
    colour. Where a format cannot hold the mode: 16 bits are rounded to 8; CMYK, Lab and anything whose
    profile does not fit become sRGB; alpha is laid on white. More than 256 colours as GIF is refused. Raises
    DataError naming the photo. `level` is that of a PNG's compression.
    """
    if format not in HELD:
        raise DataError(f"cannot save as {format}", hint="use " + ", ".join(HELD))
    if native.shape != photo.native.shape or native.dtype != photo.native.dtype:
        raise DataError(f"{show_name(photo.name)}: the samples to save do not match the photo's own")
    samples, mode, icc_profile = _fit(native, photo.mode, photo.icc_profile, format)
    limit = MAX_JPEG if format == "JPEG" else None
    xmp = None if format in WITHOUT_PROFILE else get_packet(metadata, photo.xmp, limit=limit)
    try:
        if format == "TIFF":
            bilevel = photo.source_mode == "1" and mode == "L" and _is_bilevel(samples)
            return encode_tiff(samples, "1" if bilevel else mode, icc_profile, photo.exif, xmp)
        if mode.endswith(";16"):
            return encode_png16(samples, mode, icc_profile, photo.exif, _get_texts(metadata, xmp))
        return _encode(samples, mode, icc_profile, photo, format, metadata, xmp, level)
    except (OSError, ValueError, TypeError, KeyError, struct.error) as error:
        raise DataError(
            f"{show_name(photo.name)}: cannot be saved as {format}: {error}", hint="save it as PNG"
        ) from error


def _fit(
    native: np.ndarray, mode: str, icc_profile: bytes | None, format: str
) -> tuple[np.ndarray, str, bytes | None]:
    """Samples, mode and profile as the format can hold them."""
    profile_lost = format in WITHOUT_PROFILE and icc_profile is not None
    if mode in HELD[format] and not profile_lost:
        return native, mode, icc_profile
    if mode == "LA;16" and format == "TIFF":  # which Pillow would not read back
        grey, cover = native[..., :1], native[..., 1:]
        return np.concatenate([grey, grey, grey, cover], axis=-1), "RGBA;16", None
    if mode.endswith(";16"):
        return _fit(to_bytes8(native), LAYOUTS[mode].pillow, icc_profile, format)
    if mode.endswith("A") and mode not in HELD[format]:
        colour, cover = native[..., :-1].astype(np.float32), native[..., -1:].astype(np.float32) / 255.0
        flat = np.rint(colour * cover + 255.0 * (1.0 - cover)).astype(np.uint8)
        if not (mode == "LA" and "RGBA" in HELD[format]):
            return _fit(
                flat.reshape(flat.shape[:2]) if mode == "LA" else flat, mode[:-1], icc_profile, format
            )
    rgb, alpha = to_srgb(native, mode, icc_profile)
    if alpha is None or "RGBA" not in HELD[format]:
        return rgb, "RGB", None
    return np.dstack([rgb, alpha]), "RGBA", None


def _encode(
    samples: np.ndarray,
    mode: str,
    icc_profile: bytes | None,
    photo: Photo,
    format: str,
    metadata: Metadata | None,
    xmp: bytes | None,
    level: int | None,
) -> bytes:
    image = _build(samples, mode, photo, format)
    options = dict(OPTIONS.get(format, {}))
    if level is not None:
        options["compress_level"] = level
    if icc_profile is not None:
        options["icc_profile"] = icc_profile
    exif = _get_exif(photo, format, metadata)
    if exif is not None:
        options["exif"] = exif
    if xmp is not None and format == "PNG":
        options["pnginfo"] = _get_info(metadata, xmp)
    elif xmp is not None:
        options["xmp"] = xmp
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def _get_exif(photo: Photo, format: str, metadata: Metadata | None) -> bytes | None:
    """The photo's EXIF, with the parameters as its comment where there is room; None where it cannot come along."""
    if format in WITHOUT_PROFILE:
        return None
    if metadata is not None and metadata.parameters and format in COMMENTED:
        commented = set_comment(photo.exif, get_plain(metadata.parameters))
        if not _is_too_long(commented, format):
            return commented
    return None if photo.exif is None or _is_too_long(photo.exif, format) else photo.exif


def _is_too_long(exif: bytes, format: str) -> bool:
    """A JPEG holds EXIF in one segment; a longer block (from a PNG or TIFF) cannot come along."""
    return format == "JPEG" and len(exif) > 65_533


def _build(samples: np.ndarray, mode: str, photo: Photo, format: str) -> Image.Image:
    """A Pillow image; of a palette or 1-bit source, or for a GIF, in as few colours as there really are."""
    if mode == "L" and photo.source_mode == "1" and format in ("PNG", "BMP") and _is_bilevel(samples):
        return build_image(samples, "L").convert("1", dither=Image.Dither.NONE)
    palette_fits = format in ("PNG", "GIF") or (format == "BMP" and mode == "RGB")
    if mode in ("RGB", "RGBA") and palette_fits and (format == "GIF" or photo.source_mode in ("P", "PA")):
        image = _build_palette(samples, photo, format)
        if image is not None:
            return image
    return build_image(samples, mode)


def _build_palette(samples: np.ndarray, photo: Photo, format: str) -> Image.Image | None:
    """An exact palette image, or None where there are more than 256 colours (an error for GIF)."""
    channels = samples.shape[2]
    words = np.zeros((*samples.shape[:2], 4), dtype=np.uint8)
    words[..., :channels] = samples
    colours, indices = np.unique(words.view(np.uint32)[..., 0], return_inverse=True)
    entries = colours.astype(np.uint32).view(np.uint8).reshape(-1, 4)
    covers = entries[:, 3] if channels == 4 else np.full(len(entries), 255, dtype=np.uint8)
    graded = format == "GIF" and (
        np.count_nonzero(covers == 0) > 1 or np.isin(covers, (0, 255)).sum() < len(covers)
    )
    if len(entries) > 256 or graded:
        if format != "GIF":
            return None
        raise DataError(
            f"{show_name(photo.name)}: a GIF holds 256 colours, this picture needs more",
            hint="save it as PNG",
        )
    image = Image.frombytes("P", samples.shape[1::-1], indices.astype(np.uint8).tobytes())
    image.putpalette(entries[:, :3].tobytes(), "RGB")
    if channels == 4 and format == "GIF":
        if (covers == 0).any():
            image.info["transparency"] = int(np.flatnonzero(covers == 0)[0])
    elif channels == 4:
        image.info["transparency"] = covers.tobytes()
    return image


def _is_bilevel(samples: np.ndarray) -> bool:
    return bool(np.isin(samples, (0, 255)).all())


def _get_info(metadata: Metadata | None, xmp: bytes | None) -> PngImagePlugin.PngInfo:
    """The texts of a PNG: one a key, the parameters, and the XMP packet under its registered keyword."""
    info = PngImagePlugin.PngInfo()
    for key, value in _get_texts(metadata, xmp).items():
        # Parameters go as the web UIs write them, Latin-1 where that does: not all readers know international text.
        (info.add_text if key == "parameters" else info.add_itxt)(key, value)
    return info


def _get_texts(metadata: Metadata | None, xmp: bytes | None) -> dict[str, str]:
    texts = {} if metadata is None else {key: get_plain(value) for key, value in metadata.texts.items()}
    if metadata is not None and metadata.parameters:
        texts["parameters"] = get_plain(metadata.parameters)
    return texts | ({"XML:com.adobe.xmp": xmp.decode()} if xmp else {})
