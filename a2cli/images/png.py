"""The chunks of a PNG file, and whether each is what was written: Pillow leaves the check of the pixels' chunks out."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = b"IEND"


@dataclass(frozen=True)
class Chunk:
    """One chunk: its kind (4 letters), its data, and whether its checksum is right."""

    kind: bytes
    data: bytes
    sound: bool


def walk_chunks(file: IO[bytes]) -> Iterator[Chunk]:
    """Every chunk from the start of a PNG up to its end; a file that is cut off ends with the last whole chunk.

    Source: PNG specification, 5.3.
    """
    file.seek(len(SIGNATURE))
    kind = b""
    while kind != END:
        head = file.read(8)
        if len(head) < 8:
            return
        length, kind = struct.unpack(">I4s", head)
        data, checksum = file.read(length), file.read(4)
        if len(checksum) < 4:
            return
        yield Chunk(kind, data, struct.unpack(">I", checksum)[0] == zlib.crc32(kind + data))


def build_chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk's bytes."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def has_damaged_pixels(file: IO[bytes]) -> bool:
    """Whether pixels of a PNG are not those that were written. The place in the file stays."""
    place = file.tell()
    try:
        return any(chunk.kind == b"IDAT" and not chunk.sound for chunk in walk_chunks(file))
    finally:
        file.seek(place)
