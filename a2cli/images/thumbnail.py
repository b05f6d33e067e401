"""Small copies of pictures for pages: WebP bytes, a few kB each."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from a2cli.images.geometry import resize

QUALITY = 80


def encode_thumbnail(rgb: np.ndarray, side: int, *, quality: int = QUALITY) -> tuple[bytes, tuple[int, int]]:
    """Shrink (H, W, 3) uint8 so that neither side is longer than `side` px; returns WebP bytes and (height, width).

    A smaller picture keeps its size; neither side becomes shorter than 1 px.
    """
    height, width = rgb.shape[:2]
    scale = min(1.0, side / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    small = rgb if size == (height, width) else resize(rgb, size)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(small)).save(file, "WEBP", quality=quality, method=4)
    return file.getvalue(), size
