"""Real files of every awkward kind, written by the libraries users write them with."""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageCms


def make_scene(height: int = 40, width: int = 56, seed: int = 0) -> np.ndarray:
    """(H, W, 3) uint8: smooth colours with some noise, no two sides alike."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    ramps = [x * 255 / max(width - 1, 1), y * 255 / max(height - 1, 1), (x + y) * 255 / (width + height)]
    noise = rng.normal(0, 6, (height, width, 3))
    return np.clip(np.stack(ramps, axis=-1) + noise, 0, 255).astype(np.uint8)


def encode(samples: np.ndarray | Image.Image, format: str, **options: Any) -> bytes:
    image = samples if isinstance(samples, Image.Image) else Image.fromarray(samples)
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def encode16(samples: np.ndarray, suffix: str = ".png") -> bytes:
    """16-bit samples, RGB(A) order, by OpenCV."""
    ordered = samples if samples.ndim == 2 else samples[..., [2, 1, 0, 3][: samples.shape[2]]]
    return cv2.imencode(suffix, np.ascontiguousarray(ordered))[1].tobytes()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def claim_png(width: int, height: int) -> bytes:
    """A PNG whose header claims a size that its few bytes do not hold."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(bytes(1000)))


def claim_webp(width: int, height: int) -> bytes:
    """A WebP header with a large canvas in front of a small picture."""
    body = encode(make_scene(8, 8), "WEBP", lossless=True)[12:]
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    extended = b"VP8X" + struct.pack("<I", 10) + bytes([0, 0, 0, 0]) + canvas
    return b"RIFF" + struct.pack("<I", 4 + len(extended) + len(body)) + b"WEBP" + extended + body


def claim_bmp(width: int, height: int) -> bytes:
    data = bytearray(encode(make_scene(8, 8), "BMP"))
    struct.pack_into("<ii", data, 18, width, height)
    return bytes(data)


def claim_gif(width: int, height: int) -> bytes:
    data = bytearray(encode(Image.fromarray(make_scene(8, 8)).convert("P"), "GIF"))
    struct.pack_into("<HH", data, 6, width, height)
    return bytes(data)


def claim_jpeg(width: int, height: int) -> bytes:
    data = bytearray(encode(make_scene(8, 8), "JPEG"))
    struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, height, width)
    return bytes(data)


def claim_tiff(width: int, height: int) -> bytes:
    data = bytearray(encode(make_scene(8, 8), "TIFF"))
    start = struct.unpack_from("<I", data, 4)[0]
    for entry in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", data, start)[0], 12):
        tag = struct.unpack_from("<H", data, entry)[0]
        if tag in (256, 257):
            struct.pack_into("<HHII", data, entry, tag, 4, 1, width if tag == 256 else height)
    return bytes(data)


def make_exif(orientation: int = 1, *, thumbnail: bytes = b"") -> bytes:
    """An EXIF block with a maker, a date in the Exif directory and perhaps a thumbnail."""
    block = Image.Exif()
    block[0x010F] = "Maker"
    block[0x0112] = orientation
    block[0x8769] = {0x9003: "2020:02:02 02:02:02"}
    data = bytearray(block.tobytes().removeprefix(b"Exif\x00\x00"))
    if thumbnail:
        order = "<" if data[:2] == b"II" else ">"
        start = struct.unpack_from(order + "I", data, 4)[0]
        following = start + 2 + 12 * struct.unpack_from(order + "H", data, start)[0]
        directory = len(data)
        struct.pack_into(order + "I", data, following, directory)
        entries = struct.pack(order + "HHII", 0x0201, 4, 1, directory + 30)
        entries += struct.pack(order + "HHII", 0x0202, 4, 1, len(thumbnail))
        data += struct.pack(order + "H", 2) + entries + bytes(4) + thumbnail
    return b"Exif\x00\x00" + bytes(data)


@cache  # a profile holds the second in which it was made
def get_profile(kind: str) -> bytes:
    """An ICC profile: 'srgb', or 'wide', a matrix profile whose red and green are swapped primaries of sRGB."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    if kind == "srgb":
        return profile
    data = bytearray(profile)
    places: dict[bytes, int] = {}
    for index in range(struct.unpack_from(">I", data, 128)[0]):
        at = 132 + 12 * index
        places[bytes(data[at : at + 4])] = at
    red, green = places[b"rXYZ"], places[b"gXYZ"]
    data[red + 4 : red + 12], data[green + 4 : green + 12] = (
        data[green + 4 : green + 12],
        data[red + 4 : red + 12],
    )
    return (
        bytes(data)
        .replace("sRGB".encode("utf-16-be"), "wide".encode("utf-16-be"))
        .replace(b"sRGB b", b"wide b")
    )
