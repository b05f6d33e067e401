"""Turn a picture upright and make its EXIF say so, touching as few of its bytes as can be."""

from __future__ import annotations

import struct

import numpy as np
from PIL import Image

PREFIX = b"Exif\x00\x00"
ORIENTATION = 0x0112
THUMBNAIL_OFFSET, THUMBNAIL_LENGTH = 0x0201, 0x0202
EXIF_IFD, GPS_IFD = 0x8769, 0x8825
USER_COMMENT = 0x9286
UNICODE = b"UNICODE\x00"
GENERATED = "Steps: "  # what the texts of Stable Diffusion web UIs have in common
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


def set_comment(exif: bytes | None, comment: str) -> bytes:
    """An EXIF block, with its prefix, whose UserComment is `comment`; None makes a block of that alone.

    The directories that change are written anew behind the block, so what others point at, maker notes too, stays
    where it is. A comment the photographer wrote stays as well; one that is blank, or tells of a generated picture,
    goes. A block that cannot be read comes back unchanged. Source: EXIF 2.32, 4.6.5; text as UTF-16, big end first, as
    the web UIs write it.
    """
    if exif is None:
        exif = PREFIX + b"MM\x00*" + struct.pack(">IHI", 8, 0, 0)
    data = bytearray(exif.removeprefix(PREFIX))
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(bytes(data[:4]))
    if order is None:
        return exif
    try:
        start = struct.unpack_from(order + "I", data, 4)[0]
        main, following = _read_entries(data, order, start)
        inner: dict[int, bytes] = {}
        after = b"\0\0\0\0"
        if EXIF_IFD in main:
            inner, after = _read_entries(data, order, struct.unpack_from(order + "I", main[EXIF_IFD], 8)[0])
        if USER_COMMENT in inner and not _is_replaceable(data, order, inner[USER_COMMENT]):
            return exif
        text = UNICODE + comment.encode("utf-16-be", "replace")
        place = _append(data, text)
        inner[USER_COMMENT] = struct.pack(order + "HHII", USER_COMMENT, 7, len(text), place)
        place = _append(data, _build_entries(order, inner, after))
        entry = struct.pack(order + "HHII", EXIF_IFD, 4, 1, place)
        if EXIF_IFD in main:
            at = start + 2 + 12 * list(main).index(EXIF_IFD)
            data[at : at + 12] = entry
        else:
            main[EXIF_IFD] = entry
            struct.pack_into(order + "I", data, 4, _append(data, _build_entries(order, main, following)))
    except (struct.error, ValueError):
        return exif
    return PREFIX + bytes(data)


def _read_entries(data: bytearray, order: str, start: int) -> tuple[dict[int, bytes], bytes]:
    """The 12-byte entries of a directory by tag, in their order, and the 4 bytes behind them."""
    count = struct.unpack_from(order + "H", data, start)[0]
    end = start + 2 + 12 * count
    if end + 4 > len(data):
        raise ValueError("the directory lies outside the block")
    entries = [bytes(data[at : at + 12]) for at in range(start + 2, end, 12)]
    by_tag = {struct.unpack_from(order + "H", entry)[0]: entry for entry in entries}
    if len(by_tag) != count:
        raise ValueError("a tag stands twice")
    return by_tag, bytes(data[end : end + 4])


def _build_entries(order: str, entries: dict[int, bytes], following: bytes) -> bytes:
    return (
        struct.pack(order + "H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries)) + following
    )


def _append(data: bytearray, part: bytes) -> int:
    """Put a part at the end of a block, on an even place; returns where."""
    data.extend(bytes(len(data) % 2))
    place = len(data)
    data.extend(part)
    return place


def _is_replaceable(data: bytearray, order: str, entry: bytes) -> bool:
    """Whether a UserComment says nothing, or how a picture was generated."""
    length, place = struct.unpack_from(order + "II", entry, 4)
    value = bytes(data[place : place + length]) if length > 4 else b""
    plain = value[8:].replace(b"\0", b"").strip()  # of UTF-16, the letters of ASCII
    return not plain or GENERATED.encode() in plain
