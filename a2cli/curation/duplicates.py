"""Which records show the same: by their group, by equal pictures, by pictures that look alike."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from a2cli.data.hashes import HashIndex, get_hash

GRID = 16  # cells a side in which two pictures are compared
# Levels of 255 by which cells of one picture differ once it was coded anew: JPEG of quality 70 at 64 px, grey and a
# single colour. A subject of 0.5 % of the area that moves changes cells by half its contrast.
SAME_GREY, SAME_COLOUR = 6.0, 40.0
SAME_ASPECT = 0.02  # relative
FLAT_LEVELS = 2.0  # standard deviation of cells up to which a picture has nothing a hash could tell


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What tells a record from others, without its pictures.

    `ref`, `tar` and `src` are digests of the decoded pixels, b"" of a picture that is not there or cannot be used; the
    hashes are perceptual, None where they were not asked for and of pictures without any content.
    """

    id: str
    split: str
    where: str
    group: str = ""
    ref: bytes = b""
    tar: bytes = b""
    ref_hash: int | None = None
    tar_hash: int | None = None
    src: bytes = b""
    src_hash: int | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """Record `later` shows what record `first` shows: numbers in the order in which the records came."""

    kind: Literal["duplicate", "leak"]
    later: int
    first: int
    detail: str


def build_fingerprint(
    id: str, split: str, where: str, group: str, pictures: Mapping[str, np.ndarray | None], *, looks: bool
) -> Fingerprint:
    """The fingerprint of a record with the pictures "ref", "tar" and "src" that it has, (H, W, 3) uint8.

    With `looks` it has perceptual hashes. Raises `DataError` where the library for these is missing.
    """
    there = {view: rgb for view, rgb in pictures.items() if rgb is not None}
    digests = {view: get_digest(rgb) for view, rgb in there.items()}
    hashes = {view: get_look(rgb) for view, rgb in there.items()} if looks else {}
    return Fingerprint(
        id=id,
        split=split,
        where=where,
        group=group,
        ref=digests.get("ref", b""),
        tar=digests.get("tar", b""),
        src=digests.get("src", b""),
        ref_hash=hashes.get("ref"),
        tar_hash=hashes.get("tar"),
        src_hash=hashes.get("src"),
    )


def get_digest(rgb: np.ndarray) -> bytes:
    """16 bytes that pictures, (H, W, 3) uint8, share only if every pixel is equal (SHA-256)."""
    digest = hashlib.sha256(f"{rgb.shape[0]}x{rgb.shape[1]}:".encode())
    digest.update(np.ascontiguousarray(rgb).data)
    return digest.digest()[:16]


def get_look(rgb: np.ndarray) -> int | None:
    """The perceptual hash of a picture, None if it has no content. Raises `DataError` where the library is missing."""
    return None if _reduce(rgb).std(axis=(0, 1)).max() <= FLAT_LEVELS else get_hash(rgb)


def is_same_picture(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two pictures, (H, W, 3) uint8, are one but for size and coding: no cell of 16 x 16 differs visibly."""
    aspects = [rgb.shape[1] / rgb.shape[0] for rgb in (one, other)]
    if abs(aspects[0] / aspects[1] - 1) > SAME_ASPECT:
        return False
    difference = _reduce(one) - _reduce(other)
    grey = np.abs(difference.mean(axis=2)).max()
    return bool(grey <= SAME_GREY and np.abs(difference).max() <= SAME_COLOUR)


def _reduce(rgb: np.ndarray) -> np.ndarray:
    """Mean colours of a grid's cells, (16, 16, 3) float32."""
    return cv2.resize(rgb, (GRID, GRID), interpolation=cv2.INTER_AREA).astype(np.float32)


class LookIndex:
    """Perceptual hashes, each held once, that can be asked for alike ones: at most `distance` bits apart."""

    def __init__(self, distance: int) -> None:
        self._index = HashIndex(distance)
        self._numbers: dict[int, int] = {}

    def add(self, look: int) -> tuple[int, list[int]]:
        """The number of a hash, and those of all alike it so far, its own included."""
        alike = self._index.find(look)
        if look not in self._numbers:
            self._numbers[look] = self._index.add(look)
            alike.append(self._numbers[look])
        return self._numbers[look], alike


class _Seen:
    """Which record of each split was the first to have a key."""

    def __init__(self) -> None:
        self._first: dict[Hashable, dict[str, int]] = {}

    def add(self, key: Hashable, split: str, number: int) -> None:
        self._first.setdefault(key, {}).setdefault(split, number)

    def find_here(self, key: Hashable, split: str) -> int | None:
        return self._first.get(key, {}).get(split)

    def find_elsewhere(self, keys: Iterable[Hashable], split: str) -> int | None:
        """The first record of any other named split that has one of the keys."""
        there = (self._first.get(key, {}).items() for key in keys)
        return min(
            (n for items in there for name, n in items if split and name and name != split), default=None
        )


def find_matches(prints: Iterable[Fingerprint], distance: int | None) -> Iterator[Match]:
    """What comes twice: whole pairs within a split, and groups or pictures across splits.

    A duplicate has both its pictures in an earlier pair, either way round: one picture alone may come twice. A leak
    shares its group or any picture with a record of another split, at most one of each is told. With a `distance`,
    pictures whose perceptual hashes differ in at most so many bits count as equal.
    """
    finder = _Finder(distance)
    for number, one in enumerate(prints):
        yield from finder.find(number, one)


class _Finder:
    def __init__(self, distance: int | None) -> None:
        self.groups, self.pictures, self.looks, self.pairs, self.alike_pairs = (_Seen() for _ in range(5))
        self.index = None if distance is None else LookIndex(distance)

    def find(self, number: int, one: Fingerprint) -> Iterator[Match]:
        views = [("reference", one.ref), ("target", one.tar), ("source", one.src)]
        looks = [("reference", one.ref_hash), ("target", one.tar_hash), ("source", one.src_hash)]
        alike = {name: self._add_look(look) for name, look in looks}
        twin = self._find_twin(number, one, alike)
        if twin is not None:
            yield Match("duplicate", number, twin, "both pictures are those of")
        if one.group:
            first = self.groups.find_elsewhere([one.group], one.split)
            self.groups.add(one.group, one.split, number)
            if first is not None:
                yield Match("leak", number, first, f"its group {one.group!r} is that of")
        found = self._find_picture(number, one.split, views, alike)
        if found is not None:
            yield found

    def _add_look(self, look: int | None) -> tuple[int, list[int]]:
        """The number of a look, and of those alike; (-1, none) of a picture without."""
        return (-1, []) if look is None or self.index is None else self.index.add(look)

    def _find_twin(
        self, number: int, one: Fingerprint, alike: dict[str, tuple[int, list[int]]]
    ) -> int | None:
        if not one.ref or not one.tar:
            return None
        key = _get_key(one.ref, one.tar)
        found = self.pairs.find_here(key, one.split)
        self.pairs.add(key, one.split, number)
        (ref, refs), (tar, tars) = alike["reference"], alike["target"]
        if ref < 0 or tar < 0:
            return found
        keys = {_get_key(a, b) for a in refs for b in tars}
        near = [n for key in keys if (n := self.alike_pairs.find_here(key, one.split)) is not None]
        self.alike_pairs.add(_get_key(ref, tar), one.split, number)
        return found if found is not None else min(near, default=None)

    def _find_picture(
        self,
        number: int,
        split: str,
        views: list[tuple[str, bytes]],
        alike: dict[str, tuple[int, list[int]]],
    ) -> Match | None:
        """The first record of another split with one of the pictures: an equal one before one that is alike."""
        found = None
        for name, digest in views:
            first = self.pictures.find_elsewhere([digest], split) if digest else None
            if first is not None and found is None:
                found = Match("leak", number, first, f"its {name} is a picture of")
        for name, _ in views:
            first = self.looks.find_elsewhere(alike[name][1], split)
            if first is not None and found is None:
                found = Match("leak", number, first, f"its {name} looks like a picture of")
        for name, digest in views:
            if digest:
                self.pictures.add(digest, split, number)
            if alike[name][0] >= 0:
                self.looks.add(alike[name][0], split, number)
        return found


def _get_key(one: bytes | int, other: bytes | int) -> tuple[bytes | int, bytes | int]:
    """A pair's key, the same either way round."""
    return (one, other) if str(one) <= str(other) else (other, one)
