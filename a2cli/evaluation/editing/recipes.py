"""An edit's file: a PNG that says what it was made from, and by which one tells whether it is still that file.

Where the method chose what to edit, that region is told too: its pixels' bits, row by row, zlib, base64.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from a2cli.images.png import END, SIGNATURE, Chunk, build_chunk, walk_chunks
from a2cli.images.write import build_photo, encode_png

KEYWORD = b"a2\0"
AT = len(SIGNATURE) + 25  # after the header


def encode_edit(rgb: np.ndarray, recipe: Mapping[str, Any], region: np.ndarray | None = None) -> bytes:
    """A PNG of (H, W, 3) uint8 with a recipe of JSON values and the digest of its pixels in a text chunk.

    `region` (H, W) bool goes into the recipe.
    """
    if region is not None:
        packed = zlib.compress(np.packbits(region).tobytes(), 9)
        recipe = {**recipe, "region": base64.b64encode(packed).decode("ascii")}
    png = encode_png(build_photo(rgb, name="the edit"), rgb)
    text = json.dumps({**recipe, "pixels": _digest_pixels(list(walk_chunks(io.BytesIO(png))))}).encode(
        "ascii"
    )
    return png[:AT] + build_chunk(b"tEXt", KEYWORD + text) + png[AT:]


def read_recipe(path: Path) -> dict[str, Any] | None:
    """What an edit says of itself; None for a damaged file, one without a recipe, and pixels that are not its own."""
    try:
        with open(path, "rb") as file:
            chunks = list(walk_chunks(file))
        text = next(c.data for c in chunks if c.kind == b"tEXt" and c.data.startswith(KEYWORD))
        recipe = json.loads(text.removeprefix(KEYWORD))
        sound = chunks[-1].kind == END and all(chunk.sound for chunk in chunks)
        whole = sound and recipe["pixels"] == _digest_pixels(chunks)
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        return None
    fine = whole and isinstance(recipe.get("identity"), dict) and isinstance(recipe.get("task"), str)
    return recipe if fine else None


def read_region(path: Path, size: tuple[int, int]) -> np.ndarray | None:
    """The region (H, W) bool that an edit of `size` (H, W) says was edited; None where it says none, or wrongly."""
    recipe = read_recipe(path)
    if recipe is None or not isinstance(recipe.get("region"), str):
        return None
    count = size[0] * size[1]
    wanted = -(-count // 8)
    try:
        packed = base64.b64decode(recipe["region"], validate=True)
        data = zlib.decompressobj().decompress(packed, wanted + 1)  # no more, whatever the file claims
    except (ValueError, zlib.error):
        return None
    if len(data) != wanted:
        return None
    return np.unpackbits(np.frombuffer(data, np.uint8), count=count).astype(bool).reshape(size)


def _digest_pixels(chunks: list[Chunk]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        if chunk.kind in (b"IHDR", b"IDAT"):
            digest.update(chunk.data)
    return digest.hexdigest()[:16]
