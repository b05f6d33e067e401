"""Open a video someone else made: only from its own bytes, of a few formats, told by content."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from a2cli.building.readers.parts import Blob
from a2cli.building.readers.rejects import Unfit, get_cause
from a2cli.building.readers.walk import check_file
from a2cli.errors import DataError
from a2cli.types import MAX_PIXELS

ATOMS = frozenset(
    {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}
)  # a MOV or MP4 starts with one
LONGEST = 6 * 3600.0  # s; what claims to be longer is measured
BUFFER = 1 << 18


class Window(io.RawIOBase):
    """A part of an open file as a file of its own."""

    def __init__(self, file: BinaryIO, offset: int, size: int) -> None:
        super().__init__()
        self._file, self._offset, self._size, self._place = file, offset, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = max(start + offset, 0)
        return self._place

    def tell(self) -> int:
        return self._place

    def read(self, size: int = -1) -> bytes:
        left = max(self._size - self._place, 0)
        self._file.seek(self._offset + self._place)
        data = self._file.read(left if size < 0 else min(size, left))
        self._place += len(data)
        return data


def import_av() -> Any:
    """PyAV. Raises `DataError` where it is missing."""
    try:
        import av
    except ImportError as error:
        raise DataError("PyAV is not installed", hint="pip install 'a2cli[dataset]'") from error
    return av


@contextmanager
def open_video(blob: Blob, root: Path) -> Iterator[tuple[Any, Any]]:
    """PyAV's container and its video stream, decoded by one thread.

    FFmpeg gets bytes and the name of a demuxer, never a path: a play list cannot name other files. Raises `Unfit` for
    what is no video, damaged, without pictures, of a codec unknown here, or of too many pixels.
    """
    av = import_av()
    check_file(blob.path, root, blob.name)
    with open(blob.path, "rb") as whole:
        file = whole if blob.offset is None else cast(BinaryIO, Window(whole, blob.offset, blob.size))
        demuxer = _get_demuxer(file.read(16))
        file.seek(0)
        if demuxer is None:
            raise Unfit(
                "not a video", f"{blob.name}: not a video a2 reads", hint="use MP4, MOV, WebM, MKV or AVI"
            )
        try:
            container = av.open(file, "r", format=demuxer, metadata_errors="replace", buffer_size=BUFFER)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise get_damage(blob.name, error) from error
        with container:
            try:
                yield container, _get_stream(container, blob.name)
            except av.error.FFmpegError as error:  # a pixel format that cannot be converted, say
                raise get_damage(blob.name, error) from error


def _get_demuxer(head: bytes) -> str | None:
    if head[4:8] in ATOMS:
        return "mov"
    if head[:4] == b"\x1aE\xdf\xa3":
        return "matroska"
    return "avi" if head[:4] == b"RIFF" and head[8:12] == b"AVI " else None


def _get_stream(container: Any, name: str) -> Any:
    from av.stream import Disposition

    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        raise Unfit("not a video", f"{name}: holds no moving pictures")
    stream = streams[0]
    if stream.codec_context is None:
        raise Unfit("not a video", f"{name}: its codec is unknown here", hint="convert it to H.264")
    if stream.width * stream.height > MAX_PIXELS:
        raise Unfit(
            "not a video", f"{name}: frames of {stream.width} x {stream.height}", hint="scale it down"
        )
    stream.thread_type = "NONE"  # threads leave other bytes behind where a stream is damaged
    stream.codec_context.thread_count = 1
    return stream


def get_damage(name: str, error: Exception) -> Unfit:
    """The error for a video that FFmpeg stumbles over."""
    return Unfit("damaged video", f"{name}: cannot be decoded: {get_cause(error)}", hint="download it again")


def load_duration(blob: Blob, root: Path) -> float:
    """How long a video is, in s: as its header says, else by its packets; none is decoded.

    Raises `Unfit` as `open_video` does, and for a video without a packet.
    """
    with open_video(blob, root) as (container, stream):
        told = [
            float(length * base)
            for length, base in ((stream.duration, stream.time_base), (container.duration, 1e-6))
            if length
        ]
        if told and 0 < told[0] <= LONGEST:
            return told[0]
        return _measure(container, stream, blob.name)


def _measure(container: Any, stream: Any, name: str) -> float:
    av = import_av()
    rate = float(stream.average_rate or stream.guessed_rate or 25)
    first, last, count = float("inf"), 0.0, 0
    try:
        for packet in container.demux(stream):
            count += bool(packet.size)
            if packet.size and packet.pts is not None:
                time, base = float(packet.pts * packet.time_base), packet.time_base
                first, last = (
                    min(first, time),
                    max(last, time + float((packet.duration or 0) * base or 1 / rate)),
                )
    except av.error.FFmpegError:
        pass  # what comes before the damage may do
    if not count:
        raise Unfit("damaged video", f"{name}: holds no pictures", hint="download it again")
    return last - first if last > first else count / rate
