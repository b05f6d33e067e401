"""Perceptual hashes: equal pictures under other sizes, codings and light have nearly equal ones."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import numpy as np

from a2cli.errors import ConfigError, DataError

BITS = 64
SWEEP = 64  # a look at every hash costs as much as one at so many times fewer, picked one by one


def get_hash(rgb: np.ndarray) -> int:
    """The 64-bit perceptual hash (DCT) of a picture, (H, W, 3) uint8.

    Raises `DataError` where the library is missing.
    """
    try:
        import imagehash
    except ImportError as error:
        raise DataError("imagehash is not installed", hint="pip install 'a2cli[dataset]'") from error
    from PIL import Image

    return int(str(imagehash.phash(Image.fromarray(rgb))), 16)


class HashIndex:
    """Hashes that can be asked for near ones; `distance` bits at most, exact.

    Two hashes that differ in at most d bits agree in one of d + 1 slices (pigeonhole), so only those that share a
    slice are compared; all at once where slices are so short that most do.
    """

    def __init__(self, distance: int) -> None:
        if not 0 <= distance < BITS // 2:
            raise ConfigError(f"a distance of {distance} bits", hint=f"0 to {BITS // 2 - 1}")
        self.distance = distance
        self._hashes = np.zeros(1024, np.uint64)  # the first `_count` are used
        self._count = 0
        edges = [BITS * i // (distance + 1) for i in range(distance + 2)]
        self._slices = [(low, (1 << (high - low)) - 1) for low, high in pairwise(edges)]
        self._buckets: list[dict[int, list[int]]] = [defaultdict(list) for _ in self._slices]

    def add(self, value: int) -> int:
        """Add a hash; returns its number, from 0."""
        number = self._count
        for (low, mask), bucket in zip(self._slices, self._buckets, strict=True):
            bucket[value >> low & mask].append(number)
        if number == len(self._hashes):
            self._hashes = np.append(self._hashes, np.zeros_like(self._hashes))
        self._hashes[number] = value
        self._count += 1
        return number

    def find(self, value: int) -> list[int]:
        """Numbers of the hashes at most `distance` bits away, rising."""
        shared = [
            bucket.get(value >> low & mask, ())
            for (low, mask), bucket in zip(self._slices, self._buckets, strict=True)
        ]
        numbers = None
        hashes = self._hashes[: self._count]
        if sum(map(len, shared)) * SWEEP < self._count:
            numbers = np.array(sorted(set().union(*shared)), int)
            hashes = hashes[numbers]
        near = np.flatnonzero(np.bitwise_count(hashes ^ np.uint64(value)) <= self.distance)
        return (near if numbers is None else numbers[near]).tolist()
