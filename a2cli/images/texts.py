"""The texts a2 stored in a picture, read back without decoding a pixel."""

from __future__ import annotations

import warnings
import zlib
from pathlib import Path
from typing import IO

from a2cli.images.png import SIGNATURE, walk_chunks
from a2cli.images.read import open_file, open_header
from a2cli.images.xmp import read_texts as read_packet_texts
from a2cli.types import MAX_PIXELS

MAX_TEXT = 1 << 20  # bytes of one text, unpacked; a longer one is passed over


def read_texts(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> dict[str, str]:
    """Texts by key: those of a PNG's text chunks, else those in a2's namespace of the XMP packet.

    Empty where a picture holds none. Raises DataError, as `open_photo` does, for what is no picture.
    """
    with open_file(path) as file, warnings.catch_warnings(action="ignore"):
        image = open_header(file, str(path), max_pixels=max_pixels)
        packet = image.info.get("xmp")
        texts = read_packet_texts(packet) if isinstance(packet, bytes) else {}
        return texts | _read_chunks(file)


def _read_chunks(file: IO[bytes]) -> dict[str, str]:
    """The texts of a PNG's sound tEXt and iTXt chunks; the first of a key counts. Source: PNG 3rd edition, 11.3.3."""
    file.seek(0)
    if file.read(len(SIGNATURE)) != SIGNATURE:
        return {}
    found: dict[str, str] = {}
    for chunk in walk_chunks(file):
        if chunk.sound and chunk.kind in (b"tEXt", b"iTXt"):
            key, _, rest = chunk.data.partition(b"\0")
            value = _get_international(rest) if chunk.kind == b"iTXt" else rest.decode("latin-1")
            if value is not None and len(value) <= MAX_TEXT:
                found.setdefault(key.decode("latin-1"), value)
    return found


def _get_international(rest: bytes) -> str | None:
    """The text behind an iTXt's key, unpacked where it is packed; None for what is no text."""
    packed, method, tail = rest[:1] == b"\1", rest[1:2], rest[2:].split(b"\0", 2)
    if len(tail) < 3:
        return None
    data = tail[2]
    try:
        if packed:
            if method != b"\0":
                return None
            data = zlib.decompressobj().decompress(data, MAX_TEXT + 1)
        return data.decode()
    except (zlib.error, UnicodeDecodeError):
        return None
