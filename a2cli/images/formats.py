"""Two writers for what Pillow cannot write or would alter: 16-bit PNG, and TIFF of any of our modes."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image, TiffImagePlugin

from a2cli.images.exif import EXIF_IFD, GPS_IFD, PREFIX
from a2cli.images.photo import LAYOUTS

PNG_COLOUR_TYPES = {"I;16": 0, "RGB;16": 2, "LA;16": 4, "RGBA;16": 6}
TIFF_PHOTOMETRIC = {"L": 1, "RGB": 2, "CMYK": 5, "LAB": 8}
STRIP_BYTES = 2**18


def encode_png16(
    samples: np.ndarray, mode: str, icc_profile: bytes | None, exif: bytes | None, texts: dict[str, str]
) -> bytes:
    """A 16-bit PNG: filter Sub on every row, one deflate stream.

    samples (H, W[, C]) uint16 of a 16-bit mode; texts become iTXt chunks. Source: PNG third edition, 5, 9,
    11.
    """
    height, width = samples.shape[:2]
    rows = np.ascontiguousarray(samples, dtype=">u2").view(np.uint8).reshape(height, -1)
    pixel = rows.shape[1] // width  # bytes
    filtered = np.empty((height, rows.shape[1] + 1), dtype=np.uint8)
    filtered[:, 0] = 1  # Sub
    filtered[:, 1 : pixel + 1] = rows[:, :pixel]
    filtered[:, pixel + 1 :] = rows[:, pixel:] - rows[:, :-pixel]
    header = struct.pack(">IIBBBBB", width, height, 16, PNG_COLOUR_TYPES[mode], 0, 0, 0)
    chunks = [(b"IHDR", header)]
    if icc_profile is not None:
        chunks.append((b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc_profile)))
    if exif is not None:
        chunks.append((b"eXIf", exif.removeprefix(PREFIX)))
    for key, value in texts.items():
        chunks.append((b"iTXt", key.encode("latin-1") + b"\0\0\0\0\0" + value.encode()))
    chunks += [(b"IDAT", zlib.compress(filtered.tobytes(), 6)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def encode_tiff(
    samples: np.ndarray, mode: str, icc_profile: bytes | None, exif: bytes | None, xmp: bytes | None
) -> bytes:
    """A little-endian TIFF, deflated in strips, with unassociated alpha where the mode has one.

    samples (H, W[, C]) of a mode of LAYOUTS, or mode "1": (H, W) uint8 of 0 and 255, stored as bits. EXIF
    goes into the picture's own directory. Source: TIFF 6.0, sections 3-8, 18, 23; deflate: Adobe's
    supplement 2.
    """
    height, width = samples.shape[:2]
    channels = samples.shape[2] if samples.ndim == 3 else 1
    layout = LAYOUTS["L" if mode == "1" else mode]
    data = samples
    if mode == "1":
        data = np.packbits(samples > 0, axis=1)
    elif mode == "LAB":
        data = samples ^ np.array([0, 128, 128], dtype=np.uint8)  # a and b are signed in the file
    data = data.astype(data.dtype.newbyteorder("<"))
    rows = max(1, STRIP_BYTES // max(data[0].nbytes, 1))
    strips = [zlib.compress(data[top : top + rows].tobytes()) for top in range(0, height, rows)]

    tags = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
    if exif is not None:
        block = Image.Exif()
        block.load(exif)
        for tag, value in block.items():
            tags[tag] = dict(block.get_ifd(tag)) if tag in (EXIF_IFD, GPS_IFD) else value
    tags[256], tags[257] = width, height
    tags[258] = (1,) if mode == "1" else (data.dtype.itemsize * 8,) * channels
    tags[259] = 8  # deflate
    tags[262] = TIFF_PHOTOMETRIC[layout.pillow.removesuffix("A")]
    tags[277], tags[278], tags[284] = channels, rows, 1
    starts = np.cumsum([0] + [len(strip) for strip in strips[:-1]])
    tags[273] = tuple(int(start) for start in starts)  # save() adds the directory's length
    tags[279] = tuple(len(strip) for strip in strips)
    if layout.alpha:
        tags[338] = 2
    if icc_profile is not None:
        tags.tagtype[34675] = 7
        tags[34675] = icc_profile
    if xmp is not None:
        tags.tagtype[700] = 1
        tags[700] = xmp
    file = io.BytesIO()
    tags.save(file)
    return file.getvalue() + b"".join(strips)
