"""Turn a picture upright and make its EXIF say so, touching as few of its bytes as can be."""

from __future__ import annotations

import struct

import numpy as np
from PIL import Image

PREFIX = b"Exif\x00\x00"
ORIENTATION = 0x0112
THUMBNAIL_OFFSET, THUMBNAIL_LENGTH = 0x0201, 0x0202
EXIF_IFD, GPS_IFD = 0x8769, 0x8825
# Tags of a TIFF's main directory that describe the photo rather than the way its samples are stored.
DESCRIPTIVE = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298)


def turn_upright(samples: np.ndarray, orientation: int) -> np.ndarray:
    """Stored samples (H, W[, C]) -> upright ones for orientation 1-8 (EXIF 2.32, 4.6.4); others are left."""
    if orientation in (5, 6, 7, 8):
        samples = samples.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    return np.ascontiguousarray(samples)


def set_upright(tiff: bytes) -> bytes | None:
    """A TIFF structure (an EXIF block without prefix, or a TIFF file) with orientation 1 and no thumbnail.

    Values are overwritten in place, so maker notes keep their offsets. The thumbnail goes because it would
    still show what the edit took away. None if the structure cannot be read.
    """
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(tiff[:4])
    if order is None:
        return None
    data = bytearray(tiff)
    try:
        start = struct.unpack_from(order + "I", data, 4)[0]
        count = struct.unpack_from(order + "H", data, start)[0]
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(order + "HH", data, entry)
            if tag == ORIENTATION:
                struct.pack_into(order + ("H" if kind == 3 else "I"), data, entry + 8, 1)
        following = start + 2 + 12 * count
        if following + 4 <= len(data):
            thumbnail = struct.unpack_from(order + "I", data, following)[0]
            if thumbnail:
                _blank_thumbnail(data, order, thumbnail)
                struct.pack_into(order + "I", data, following, 0)
    except struct.error:
        return None
    return bytes(data)


def _blank_thumbnail(data: bytearray, order: str, start: int) -> None:
    """Overwrite the thumbnail's bytes with zeros; quietly nothing if its directory lies outside the block."""
    try:
        count = struct.unpack_from(order + "H", data, start)[0]
        found = {}
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(order + "HH", data, entry)
            if tag in (THUMBNAIL_OFFSET, THUMBNAIL_LENGTH):
                found[tag] = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, entry + 8)[0]
    except struct.error:
        return
    offset, length = found.get(THUMBNAIL_OFFSET, 0), found.get(THUMBNAIL_LENGTH, 0)
    end = min(offset + length, len(data))
    if 8 <= offset < end:
        data[offset:end] = bytes(end - offset)


def get_exif(image: Image.Image) -> bytes | None:
    """The EXIF block of an opened picture, upright, with its prefix; None if there is none to be read."""
    if image.format == "TIFF":
        return _get_tiff_exif(image)
    raw = image.info.get("exif")
    if not isinstance(raw, bytes):
        return None
    upright = set_upright(raw.removeprefix(PREFIX))
    return None if upright is None else PREFIX + upright


def _get_tiff_exif(image: Image.Image) -> bytes | None:
    """A TIFF keeps EXIF among the picture's own tags: take the descriptive ones into a block apart."""
    source, block = image.getexif(), Image.Exif()
    for tag in DESCRIPTIVE:
        if tag in source:
            block[tag] = source[tag]
    for directory in (EXIF_IFD, GPS_IFD):
        tags = source.get_ifd(directory)
        if tags:
            block[directory] = dict(tags)
    if not len(block):
        return None
    encoded = block.tobytes()
    return encoded if encoded.startswith(PREFIX) else PREFIX + encoded
