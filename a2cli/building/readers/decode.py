"""Decode the video stream of an open container, and develop its frames into sRGB pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from a2cli.building.readers.containers import import_av
from a2cli.building.readers.pictures import fit_side
from a2cli.building.readers.rejects import Unfit
from a2cli.images.geometry import resize
from a2cli.types import MAX_PIXELS

UNSPECIFIED, PQ = 2, 16  # a colour matrix and a transfer curve as FFmpeg numbers them in frames
BT709, BT601 = 1, 5  # colour matrices as its scaler numbers them
HD = 720  # from this height on a stream that does not name its matrix has BT.709's
NEARLY = 1e-6  # s


@dataclass(frozen=True)
class Timed:
    """A decoded frame: its number in the clip, its time in s from the video's start, FFmpeg's picture."""

    number: int
    time: float
    picture: Any


class Decoder:
    """Reads one clip of an open video; `damaged` counts what could not be decoded, `first` is where it began, in s."""

    def __init__(self, container: Any, stream: Any, name: str) -> None:
        self.container, self.stream, self.name = container, stream, name
        self.damaged = 0
        self.first: float | None = None

    def read(self, start: float, stop: float, *, seeking: bool) -> Iterator[Timed]:
        """The frames from `start` to `stop`, in s; by `seeking` those long before are not decoded.

        Damaged frames are left out, and those that go back in time. Raises `Unfit` for HDR video that no screen shows
        as it is.
        """
        last, number = float("-inf"), 0
        for picture in self._decode(start if seeking else 0.0):
            time = self._get_time(picture, last)
            self.first = time if self.first is None else self.first
            if picture.color_trc == PQ:
                raise Unfit("HDR video", f"{self.name}: HDR (PQ) video", hint="convert it to SDR")
            if picture.is_corrupt or picture.width * picture.height > MAX_PIXELS:
                self.damaged += 1
                continue
            if time >= stop - NEARLY:
                return
            if time < start - NEARLY or time <= last:
                continue
            yield Timed(number, time, picture)
            last, number = time, number + 1

    def _decode(self, start: float) -> Iterator[Any]:
        av = import_av()
        if start > 0:
            try:
                place = int(start / self.stream.time_base) + (self.stream.start_time or 0)
                self.container.seek(place, stream=self.stream)
            except av.error.FFmpegError:
                return
        for packet in self._demux():
            try:
                yield from self.stream.decode(packet)
            except av.error.EOFError:
                return
            except av.error.FFmpegError:
                self.damaged += 1

    def _demux(self) -> Iterator[Any]:
        """The packets, the last of them empty: it makes the decoder give what it still holds."""
        try:
            yield from self.container.demux(self.stream)
        except import_av().error.FFmpegError:
            self.damaged += 1
            yield None

    def _get_time(self, picture: Any, last: float) -> float:
        if picture.pts is None:
            rate = float(self.stream.average_rate or self.stream.guessed_rate or 25)
            return max(last, -1 / rate) + 1 / rate
        return float((picture.pts - (self.stream.start_time or 0)) * picture.time_base)


def develop(picture: Any, aspect: float, max_side: int) -> np.ndarray:
    """FFmpeg's picture as rgb (H, W, 3) uint8: of square pixels, upright, at most `max_side` a side.

    `aspect` is a pixel's width over its height. Colours by the picture's own matrix and range; where it names no
    matrix, BT.709 from 720 lines on, else BT.601. Wide-gamut HLG is taken as it is.
    """
    rgb = convert(picture, picture.width, picture.height)
    height, width = rgb.shape[:2]
    if not 0.99 < aspect < 1.01:
        rgb = resize(
            rgb,
            (height, max(round(width * aspect), 1))
            if aspect > 1
            else (max(round(height / aspect), 1), width),
        )
    rgb, _ = fit_side(rgb, max_side)
    return np.ascontiguousarray(np.rot90(rgb, round(picture.rotation / 90) % 4))


def convert(picture: Any, width: int, height: int) -> np.ndarray:
    """FFmpeg's picture of whatever pixel format as rgb (height, width, 3) uint8."""
    from av.video.reformatter import Interpolation

    matrix = None
    if picture.colorspace == UNSPECIFIED:
        matrix = BT709 if picture.height >= HD else BT601
    exact = (
        Interpolation.ACCURATE_RND
        | Interpolation.BITEXACT
        | Interpolation.FULL_CHR_H_INT
        | Interpolation.FULL_CHR_H_INP
    )
    kind = Interpolation.BICUBIC if (width, height) == (picture.width, picture.height) else Interpolation.AREA
    same: np.ndarray = picture.reformat(
        width=width,
        height=height,
        format="rgb24",
        src_colorspace=matrix,
        interpolation=int(kind | exact),
        threads=1,
    ).to_ndarray()
    return same
