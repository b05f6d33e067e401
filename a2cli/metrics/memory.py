"""What networks saw in pictures seen before: targets and references recur with every method and every mask."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

import numpy as np


class FeatureMemory:
    """Features by the content they are of, the `size` used last."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._features: OrderedDict[bytes, np.ndarray] = OrderedDict()

    def __len__(self) -> int:
        return len(self._features)

    def find(self, key: bytes) -> np.ndarray | None:
        """The feature kept under a key, which thereby becomes the one used last."""
        if key in self._features:
            self._features.move_to_end(key)
        return self._features.get(key)

    def keep(self, key: bytes, feature: np.ndarray) -> None:
        """Keep a feature; the one used longest ago makes room."""
        self._features[key] = feature
        self._features.move_to_end(key)
        while len(self._features) > self._size:
            self._features.popitem(last=False)


def get_content_key(content: np.ndarray | str) -> bytes:
    """A digest of a picture's shape and bytes, or of a sentence."""
    if isinstance(content, str):
        return hashlib.sha256(b"text\0" + content.encode("utf-8", "surrogatepass")).digest()
    return hashlib.sha256(f"{content.shape}\0".encode() + np.ascontiguousarray(content).tobytes()).digest()
