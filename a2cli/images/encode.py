"""Samples to the bytes of a file: what each format can hold, and what becomes of the rest."""

from __future__ import annotations

import io
import re
import struct
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image, PngImagePlugin

from a2cli.errors import DataError
from a2cli.files import show_name
from a2cli.images.colour import build_image, to_srgb
from a2cli.images.formats import encode_png16, encode_tiff
from a2cli.images.photo import LAYOUTS, Photo, to_bytes8

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
# IPTC NewsCodes, digital source type: a composite that contains the output of a trained model.
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"


def encode_photo(
    photo: Photo,
    native: np.ndarray,
    format: str,
    metadata: dict[str, str] | None = None,
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
    xmp = _get_xmp(metadata) if metadata else None
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
    metadata: dict[str, str] | None,
    xmp: bytes | None,
    level: int | None,
) -> bytes:
    image = _build(samples, mode, photo, format)
    options = dict(OPTIONS.get(format, {}))
    if level is not None:
        options["compress_level"] = level
    if icc_profile is not None:
        options["icc_profile"] = icc_profile
    if photo.exif is not None and format not in WITHOUT_PROFILE and not _is_too_long(photo.exif, format):
        options["exif"] = photo.exif
    if xmp is not None:
        if format == "PNG":
            info = PngImagePlugin.PngInfo()
            for key, value in _get_texts(metadata, xmp).items():
                info.add_itxt(key, value)
            options["pnginfo"] = info
        elif format not in WITHOUT_PROFILE:
            options["xmp"] = xmp
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


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


def _get_texts(metadata: dict[str, str] | None, xmp: bytes | None) -> dict[str, str]:
    """The texts of a PNG: one a key, and the XMP packet under its registered keyword."""
    return dict(metadata or {}) | ({"XML:com.adobe.xmp": xmp.decode()} if xmp else {})


def _get_xmp(metadata: dict[str, str]) -> bytes:
    """An XMP packet: the texts in a namespace of a2, and DigitalSourceType (IPTC Photo Metadata 2023.1)."""
    for key in metadata:
        if not re.fullmatch(r"[A-Za-z_][\w.\-]{0,78}", key, re.ASCII):
            raise DataError(
                f"{key!r} cannot name a text stored in a picture", hint="use letters, digits, - . _"
            )
    own = "".join(f"<a2:{key}>{escape(value)}</a2:{key}>" for key, value in metadata.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
        ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:a2="urn:a2cli:recipe:1.0">'
        f"<Iptc4xmpExt:DigitalSourceType>{SOURCE_TYPE}</Iptc4xmpExt:DigitalSourceType>{own}"
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()
