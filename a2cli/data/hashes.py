"""Perceptual hashes: equal pictures under other sizes, codings and light have nearly equal ones."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import numpy as np

from a2cli.errors import ConfigError, DataError

BITS = 64


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
    slice are compared.
    """

    def __init__(self, distance: int) -> None:
        if not 0 <= distance < BITS // 2:
            raise ConfigError(f"a distance of {distance} bits", hint=f"0 to {BITS // 2 - 1}")
        self.distance = distance
        self.hashes: list[int] = []
        edges = [BITS * i // (distance + 1) for i in range(distance + 2)]
        self._slices = [(low, (1 << (high - low)) - 1) for low, high in pairwise(edges)]
        self._buckets: list[dict[int, list[int]]] = [defaultdict(list) for _ in self._slices]

    def add(self, value: int) -> int:
        """Add a hash; returns its number, from 0."""
        for (low, mask), bucket in zip(self._slices, self._buckets, strict=True):
            bucket[value >> low & mask].append(len(self.hashes))
        self.hashes.append(value)
        return len(self.hashes) - 1

    def find(self, value: int) -> list[int]:
        """Numbers of the hashes at most `distance` bits away, rising."""
        near = {
            number
            for (low, mask), bucket in zip(self._slices, self._buckets, strict=True)
            for number in bucket.get(value >> low & mask, ())
            if (self.hashes[number] ^ value).bit_count() <= self.distance
        }
        return sorted(near)
