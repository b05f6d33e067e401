"""The frames of a clip nearest to wanted times, each with those a little before and after it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from a2cli.building.readers.containers import open_video
from a2cli.building.readers.decode import Decoder, Timed, convert, develop
from a2cli.building.readers.parts import Blob
from a2cli.building.readers.rejects import Unfit
from a2cli.building.readers.shots import find_cuts, find_longest, get_signature

SMALL = (48, 64)  # height and width of what is looked at for cuts


@dataclass(frozen=True)
class Shown:
    """A frame to keep: rgb (H, W, 3) uint8 upright; numbers and pictures of its neighbours."""

    number: int
    time: float
    rgb: np.ndarray
    neighbours: dict[int, np.ndarray]

    def keep(self, numbers: range) -> Shown:
        """The frame without the neighbours outside `numbers`."""
        return replace(self, neighbours={n: rgb for n, rgb in self.neighbours.items() if n in numbers})


@dataclass
class Sampler:
    """Keeps, of frames that come in order, those nearest to `times` and those about `gap` s before and after each.

    `times` ascend. A neighbour is never the frame itself. Frames of about 2 x `gap` s are held undeveloped at once.
    """

    times: Sequence[float]
    gap: float
    max_side: int
    aspect: float = 1.0
    shown: list[Shown] = field(default_factory=list)
    _held: deque[Timed] = field(default_factory=deque)
    _rgb: dict[int, np.ndarray] = field(default_factory=dict)
    _next: int = 0

    def add(self, frame: Timed) -> None:
        """Take the next frame in time."""
        self._held.append(frame)
        while self._next < len(self.times) and self._is_settled(self.times[self._next]):
            self._show(self.times[self._next])
        self._forget()

    def finish(self) -> list[Shown]:
        """The frames kept, once there are no more to come."""
        while self._next < len(self.times) and self._held:
            self._show(self.times[self._next])
        return self.shown

    def _is_settled(self, time: float) -> bool:
        newest = self._held[-1]
        if newest.time < time:
            return False
        chosen = self._get_nearest(time, self._held)
        return newest.number > chosen.number and newest.time >= chosen.time + self.gap

    def _show(self, time: float) -> None:
        self._next += 1
        chosen = self._get_nearest(time, self._held)
        if self.shown and self.shown[-1].number >= chosen.number:
            return  # fewer frames than times
        around = []
        before = [frame for frame in self._held if frame.number < chosen.number]
        after = [frame for frame in self._held if frame.number > chosen.number]
        if before:
            around.append(self._get_nearest(chosen.time - self.gap, before))
        if after:
            around.append(self._get_nearest(chosen.time + self.gap, after))
        rgb = self._develop(chosen)
        neighbours = {frame.number: self._develop(frame) for frame in around}
        self.shown.append(Shown(chosen.number, chosen.time, rgb, neighbours))

    def _forget(self) -> None:
        """Let go of frames that no wanted time can ask for any more."""
        if self._next >= len(self.times):
            self._held.clear()
            self._rgb.clear()
            return
        wanted = self.times[self._next]
        least = max((frame.time for frame in self._held if frame.time <= wanted), default=self._held[0].time)
        while len(self._held) > 2 and self._held[1].time <= least - self.gap:
            self._rgb.pop(self._held.popleft().number, None)

    @staticmethod
    def _get_nearest(time: float, frames: Sequence[Timed] | deque[Timed]) -> Timed:
        return min(frames, key=lambda frame: (abs(frame.time - time), frame.number))

    def _develop(self, frame: Timed) -> np.ndarray:
        if frame.number not in self._rgb:
            self._rgb[frame.number] = develop(frame.picture, self.aspect, self.max_side)
        return self._rgb[frame.number]


@dataclass
class Clip:
    """What was seen of a clip: all frames' times, sizes and signatures, and those kept."""

    times: list[float] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    signatures: list[np.ndarray] = field(default_factory=list)
    shown: list[Shown] = field(default_factory=list)
    damaged: int = 0

    def get_longest(self) -> tuple[int, int]:
        """The longest shot, by its first frame and the one after its last; a change of size is a cut too."""
        cuts = set(find_cuts(self.signatures))
        cuts.update(n for n in range(1, len(self.sizes)) if self.sizes[n] != self.sizes[n - 1])
        return find_longest(self.times, sorted(cuts))


def load_clip(
    blob: Blob, root: Path, span: tuple[float, float], *, count: int, gap: float, max_side: int
) -> tuple[list[Shown], dict[str, int]]:
    """At most `count` frames evenly spaced over `span` (start and stop in s), and what was left out, by reason.

    Neighbours lie about `gap` s away. Only frames of the longest shot are kept, so that no two of them show different
    scenes. Raises `Unfit` when fewer than two remain, and as `open_video` does.
    """
    seen = _watch(blob, root, span, count, gap, max_side, seeking=True) if span[0] > 0 else None
    seen = seen or _watch(blob, root, span, count, gap, max_side, seeking=False)
    assert seen is not None
    dropped = {"damaged frame": seen.damaged} if seen.damaged else {}
    kept: list[Shown] = []
    if seen.times:
        first, last = seen.get_longest()
        kept = [shown.keep(range(first, last)) for shown in seen.shown if first <= shown.number < last]
        if len(kept) < len(seen.shown):
            dropped["another shot"] = len(seen.shown) - len(kept)
    if len(kept) < 2:
        where = f"{blob.name}: {len(kept)} frames to be had from {span[0]:.2f} to {span[1]:.2f} s"
        whole = seen.times and not seen.damaged
        raise Unfit("too few frames" if whole else "damaged video", where, dropped=dropped)
    return kept, dropped


def _watch(
    blob: Blob, root: Path, span: tuple[float, float], count: int, gap: float, max_side: int, *, seeking: bool
) -> Clip | None:
    """See a clip through; None where `seeking` did not lead to its start."""
    start, stop = span
    seen = Clip()
    with open_video(blob, root) as (container, stream):
        times = [start + (stop - start) * (number + 0.5) / count for number in range(count)]
        sampler = Sampler(times, gap, max_side, float(stream.sample_aspect_ratio or 1))
        decoder = Decoder(container, stream, blob.name)
        for frame in decoder.read(start, stop, seeking=seeking):
            if seeking and not (decoder.first is not None and decoder.first <= start):
                return None
            seen.times.append(frame.time)
            seen.sizes.append((frame.picture.width, frame.picture.height))
            seen.signatures.append(get_signature(convert(frame.picture, SMALL[1], SMALL[0])))
            sampler.add(frame)
        if seeking and not seen.times:
            return None
        seen.shown, seen.damaged = sampler.finish(), decoder.damaged
    return seen
