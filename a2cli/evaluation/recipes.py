"""An edit's file: a PNG that says what it was made from, and by which one tells whether it is still that file."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from a2cli.images.write import build_photo, encode_png

SIGNATURE = b"\x89PNG\r\n\x1a\n"
KEYWORD = b"a2\0"
AT = len(SIGNATURE) + 25  # after the header


def encode_edit(rgb: np.ndarray, recipe: Mapping[str, Any]) -> bytes:
    """A PNG of (H, W, 3) uint8 with a recipe of JSON values and the digest of its pixels in a text chunk."""
    png = encode_png(build_photo(rgb, name="the edit"), rgb)
    text = json.dumps({**recipe, "pixels": _digest_pixels(list(_walk(png)))}).encode("ascii")
    return png[:AT] + _build_chunk(b"tEXt", KEYWORD + text) + png[AT:]


def read_recipe(path: Path) -> dict[str, Any] | None:
    """What an edit says of itself; None for a damaged file, one without a recipe, and pixels that are not its own."""
    try:
        chunks = list(_walk(path.read_bytes()))
        text = next(data for kind, data in chunks if kind == b"tEXt" and data.startswith(KEYWORD))
        recipe = json.loads(text.removeprefix(KEYWORD))
        whole = chunks[-1][0] == b"IEND" and recipe["pixels"] == _digest_pixels(chunks)
    except (OSError, ValueError, KeyError, TypeError, StopIteration, struct.error):
        return None
    fine = whole and isinstance(recipe.get("identity"), dict) and isinstance(recipe.get("task"), str)
    return recipe if fine else None


def _walk(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and data of each chunk; raises `ValueError` for what is no PNG or damaged."""
    if not png.startswith(SIGNATURE):
        raise ValueError("no PNG")
    place = len(SIGNATURE)
    while place < len(png):
        (length,) = struct.unpack_from(">I", png, place)
        body, end = png[place + 4 : place + 8 + length], place + 12 + length
        if struct.unpack_from(">I", png, end - 4)[0] != zlib.crc32(body):
            raise ValueError("a damaged chunk")
        yield body[:4], body[4:]
        place = end


def _digest_pixels(chunks: list[tuple[bytes, bytes]]) -> str:
    digest = hashlib.sha256()
    for kind, data in chunks:
        if kind in (b"IHDR", b"IDAT"):
            digest.update(data)
    return digest.hexdigest()[:16]


def _build_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
