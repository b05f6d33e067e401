"""An edit's file: a PNG that says what it was made from, and by which one tells whether it is still that file."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from a2cli.images.png import END, SIGNATURE, Chunk, build_chunk, walk_chunks
from a2cli.images.write import build_photo, encode_png

KEYWORD = b"a2\0"
AT = len(SIGNATURE) + 25  # after the header


def encode_edit(rgb: np.ndarray, recipe: Mapping[str, Any]) -> bytes:
    """A PNG of (H, W, 3) uint8 with a recipe of JSON values and the digest of its pixels in a text chunk."""
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


def _digest_pixels(chunks: list[Chunk]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        if chunk.kind in (b"IHDR", b"IDAT"):
            digest.update(chunk.data)
    return digest.hexdigest()[:16]
