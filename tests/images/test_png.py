"""Damaged pixels of a PNG are noticed, whichever byte is wrong."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from a2cli.errors import DataError
from a2cli.images.png import END, build_chunk, has_damaged_pixels, walk_chunks
from a2cli.images.read import open_photo
from a2cli.images.write import build_photo, encode_png

PICTURE = np.random.default_rng(3).integers(0, 256, (24, 31, 3), np.uint8)
PNG = encode_png(build_photo(PICTURE), PICTURE)


def test_chunks_are_those_that_were_written() -> None:
    chunks = list(walk_chunks(io.BytesIO(PNG)))
    assert chunks[0].kind == b"IHDR" and chunks[-1].kind == END
    assert all(chunk.sound for chunk in chunks)
    assert PNG[:8] + b"".join(build_chunk(chunk.kind, chunk.data) for chunk in chunks) == PNG
    cut = list(walk_chunks(io.BytesIO(PNG[:-6])))
    assert cut == chunks[:-1]


def test_every_flipped_byte_of_the_pixels_is_refused(tmp_path: Path) -> None:
    """FAULTS 2: Pillow alone decodes such a file, to other pixels."""
    start = PNG.index(b"IDAT") + 4
    for place in range(start, len(PNG) - 12, 97):
        damaged = bytearray(PNG)
        damaged[place] ^= 0x10
        assert has_damaged_pixels(io.BytesIO(damaged))
        with pytest.raises(DataError, match="damaged"):
            open_photo(bytes(damaged), name="a.png")
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    assert np.array_equal(open_photo(path).rgb, PICTURE)


def test_what_follows_the_end_is_nobodys_matter() -> None:
    assert np.array_equal(open_photo(PNG + b"more", name="a.png").rgb, PICTURE)
