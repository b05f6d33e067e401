"""Photos whose colours tell where one looks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from a2cli.images.write import save_image

BLUE = 128


def make_map(path: Path, width: int, height: int) -> Path:
    """Red grows across, green down, blue stays."""
    rgb = np.full((height, width, 3), BLUE, dtype=np.uint8)
    rgb[..., 0] = ((np.arange(width) + 0.5) / width * 255).round()
    rgb[..., 1] = ((np.arange(height) + 0.5) / height * 255).round()[:, None]
    save_image(rgb, path)
    return path


def get_waves(x: np.ndarray, y: np.ndarray, length: float) -> np.ndarray:
    """(H, W, 3) in [0, 255] at places x (W,), y (H,) of a photo: waves of red across, of green down, one blue."""
    waves = np.full((len(y), len(x), 3), 220.0)
    waves[..., 0] = 128 + 100 * np.cos(2 * np.pi * x / length)
    waves[..., 1] = 128 + 100 * np.cos(2 * np.pi * y / length)[:, None]
    return waves


def make_waves(path: Path, width: int, height: int, length: float) -> Path:
    rgb = get_waves(np.arange(width) + 0.5, np.arange(height) + 0.5, length)
    save_image(rgb.round().astype(np.uint8), path)
    return path
