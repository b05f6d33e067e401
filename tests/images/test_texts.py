"""Texts are read from every format, wherever another program has moved them."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from pictures import claim_png, encode, make_scene, png_chunk

from a2cli.errors import DataError
from a2cli.images import build_photo, save_photo
from a2cli.images.metadata import Metadata
from a2cli.images.texts import MAX_TEXT, read_texts

SCENE = make_scene()
PNG = encode(SCENE, "PNG")
END = PNG.index(b"IEND") - 4


def put(path: Path, *chunks: bytes, at: int = END) -> Path:
    path.write_bytes(PNG[:at] + b"".join(chunks) + PNG[at:])
    return path


def pack(key: bytes, text: bytes, *, packed: bool) -> bytes:
    return png_chunk(
        b"iTXt", key + b"\0" + bytes([packed, 0]) + b"de\0key\0" + (zlib.compress(text) if packed else text)
    )


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tiff", ".avif"])
def test_a_stored_text_comes_back(tmp_path: Path, suffix: str) -> None:
    text = '{"prompt": "a <cup> & \\u00e9"}'
    save_photo(build_photo(SCENE), SCENE, tmp_path / f"o{suffix}", metadata=Metadata({"a2": text}))
    assert read_texts(tmp_path / f"o{suffix}")["a2"] == text


def test_chunks_behind_the_pixels_packed_or_of_the_old_kind(tmp_path: Path) -> None:
    path = put(tmp_path / "a.png", pack(b"a2", "é".encode(), packed=True), png_chunk(b"tEXt", b"b\0\xe9"))
    assert read_texts(path) == {"a2": "é", "b": "é"}


def test_broken_chunks_are_passed_over(tmp_path: Path) -> None:
    damaged = bytearray(pack(b"x", b"damaged", packed=False))
    damaged[-1] ^= 1
    chunks = (
        bytes(damaged),
        png_chunk(b"iTXt", b"short"),
        png_chunk(b"iTXt", b"k\0\1\7\0\0" + zlib.compress(b"no such method")),
        png_chunk(b"iTXt", b"l\0\1\0\0\0not deflated"),
        pack(b"m", b"\xff\xfe", packed=False),
        pack(b"bomb", bytes(20 * MAX_TEXT), packed=True),
        pack(b"good", b"one", packed=False),
        pack(b"good", b"two", packed=False),
    )
    assert read_texts(put(tmp_path / "a.png", *chunks)) == {"good": "one"}


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"text")
    (tmp_path / "b.png").write_bytes(claim_png(100_000, 100_000))
    (tmp_path / "c.png").write_bytes(b"")
    for name, cause in (
        ("a.png", "not a picture"),
        ("b.png", "megapixels"),
        ("c.png", "empty"),
        ("d.png", "no such"),
    ):
        with pytest.raises(DataError, match=cause) as caught:
            read_texts(tmp_path / name)
        assert name in caught.value.message and "\n" not in caught.value.message
    with pytest.raises(DataError, match="regular"):
        read_texts(tmp_path)


def test_a_length_that_lies_ends_the_reading(tmp_path: Path) -> None:
    liar = struct.pack(">I", 0x7FFFFFFF) + b"iTXt"
    path = put(tmp_path / "a.png", pack(b"a2", b"one", packed=False), liar)
    assert read_texts(path) == {"a2": "one"}
