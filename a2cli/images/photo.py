"""A photo in memory: what a model looks at, beside the samples that must come out again unharmed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Layout:
    """How a mode stores its samples: colour channels, alpha, sample type, Pillow's mode of its 8-bit twin."""

    colours: int
    alpha: bool
    dtype: type
    pillow: str

    @property
    def top(self) -> int:
        """The largest sample value."""
        return int(np.iinfo(self.dtype).max)


LAYOUTS = {
    "L": Layout(1, False, np.uint8, "L"),
    "LA": Layout(1, True, np.uint8, "LA"),
    "RGB": Layout(3, False, np.uint8, "RGB"),
    "RGBA": Layout(3, True, np.uint8, "RGBA"),
    "CMYK": Layout(4, False, np.uint8, "CMYK"),
    "LAB": Layout(3, False, np.uint8, "LAB"),  # a and b stored with 128 as their zero
    "I;16": Layout(1, False, np.uint16, "L"),
    "LA;16": Layout(1, True, np.uint16, "LA"),
    "RGB;16": Layout(3, False, np.uint16, "RGB"),
    "RGBA;16": Layout(3, True, np.uint16, "RGBA"),
}


@dataclass(frozen=True)
class Photo:
    """A picture, upright. Its arrays may share memory: read them, copy them, do not write to them.

    rgb: (H, W, 3) uint8 in sRGB, as stored under transparent pixels (not flattened).
    alpha: (H, W) uint8, or None where the source has none.
    native: the source's own samples, (H, W) or (H, W, C), uint8 or uint16, laid out as LAYOUTS[mode] says;
    the
        ground truth of "not a bit changed". Palettes, 1-bit pictures and colour keys are expanded without
        loss.
    mode: a key of LAYOUTS. source_mode: Pillow's name of what the file held ("P", "1", ...).
    format: Pillow's name of the file format. name: for messages, may hold any character.
    icc_profile, exif, xmp: bytes or None; exif starts with b"Exif\\0\\0", says "upright" and has no thumbnail; xmp is
        the packet as it was found.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None
    native: np.ndarray
    mode: str
    format: str
    name: str
    source_mode: str
    icc_profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return int(self.rgb.shape[0]), int(self.rgb.shape[1])

    @property
    def layout(self) -> Layout:
        return LAYOUTS[self.mode]


def to_bytes8(samples: np.ndarray) -> np.ndarray:
    """uint16 samples rounded to uint8 (65535 -> 255); uint8 unchanged."""
    if samples.dtype == np.uint8:
        return samples
    return ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)
