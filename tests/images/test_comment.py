"""EXIF's UserComment is written without moving what else the block holds."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import encode, make_exif, make_scene
from PIL import Image

from a2cli.images import open_photo
from a2cli.images.encode import encode_photo
from a2cli.images.exif import PREFIX, USER_COMMENT, set_comment
from a2cli.images.metadata import Metadata

TEXT = "ein schöner Becher\nSteps: 4, Sampler: Euler, Seed: 7"


def read(exif: bytes) -> Image.Exif:
    block = Image.Exif()
    block.load(exif)
    return block


def get_comment(exif: bytes) -> str:
    value = read(exif).get_ifd(0x8769)[USER_COMMENT]
    assert value[:8] == b"UNICODE\0"
    return str(value[8:], "utf-16-be")


def make_block(comment: bytes | None) -> bytes:
    block = Image.Exif()
    block[0x010F] = "Maker"
    block[0x8769] = {0x9003: "2020:02:02 02:02:02", 0x927C: b"maker note, absolute offsets inside"}
    if comment is not None:
        block[0x8769][USER_COMMENT] = comment
    return block.tobytes()


@pytest.mark.parametrize("exif", [None, make_exif(), make_block(None)], ids=["none", "plain", "maker note"])
def test_a_comment_is_added_and_nothing_moves(exif: bytes | None) -> None:
    done = set_comment(exif, TEXT)
    assert get_comment(done) == TEXT
    if exif is None:
        return
    before, after = read(exif), read(done)
    assert dict(before) | {0x8769: 0} == dict(after) | {0x8769: 0}
    inner = dict(after.get_ifd(0x8769))
    assert inner.pop(USER_COMMENT) and inner == dict(before.get_ifd(0x8769))
    changed = [i for i, (a, b) in enumerate(zip(exif, done, strict=False)) if a != b]
    assert len(changed) <= 4, "only where the directory lies has changed"


def test_a_block_without_an_inner_directory_gets_one() -> None:
    block = Image.Exif()
    block[0x010F], block[0x9999] = "Maker", "behind the pointer"
    done = set_comment(block.tobytes(), TEXT)
    assert (
        get_comment(done) == TEXT
        and read(done)[0x010F] == "Maker"
        and read(done)[0x9999] == "behind the pointer"
    )


def test_the_photographers_own_comment_stays() -> None:
    own = make_block(b"ASCII\0\0\0my holiday")
    assert set_comment(own, TEXT) == own
    for blank in (
        b"ASCII\0\0\0" + b" " * 20,
        bytes(28),
        b"UNICODE\0" + "Steps: 9, Seed: 1".encode("utf-16-le"),
    ):
        assert get_comment(set_comment(make_block(blank), TEXT)) == TEXT


@given(st.binary(max_size=200), st.sampled_from([b"II*\0", b"MM\0*", b""]))
@settings(max_examples=150, deadline=None)
def test_any_block_comes_back(tail: bytes, head: bytes) -> None:
    exif = PREFIX + head + tail
    assert set_comment(exif, TEXT).startswith(PREFIX)


def test_a_cyclic_block_is_left_alone() -> None:
    loop = PREFIX + b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 2)
    loop += struct.pack("<HHII", 0x8769, 4, 1, 8) * 2 + bytes(4)
    assert set_comment(loop, TEXT) == loop


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "AVIF"])
def test_pictures_carry_the_parameters(format: str) -> None:
    photo = open_photo(encode(make_scene(), "JPEG", exif=make_exif(6)))
    data = encode_photo(photo, photo.native, format, Metadata({"a2": "{}"}, parameters=TEXT))
    again = open_photo(data)
    assert again.exif is not None and get_comment(again.exif) == TEXT
    assert read(again.exif)[0x010F] == "Maker" and again.size == photo.size


def test_a_comment_too_long_for_a_jpeg_costs_itself_alone() -> None:
    photo = open_photo(encode(make_scene(), "JPEG", exif=make_exif()))
    data = encode_photo(photo, photo.native, "JPEG", Metadata({"a2": "{}"}, parameters="x" * 40_000))
    exif = open_photo(data).exif
    assert (
        exif is not None and read(exif)[0x010F] == "Maker" and USER_COMMENT not in read(exif).get_ifd(0x8769)
    )
