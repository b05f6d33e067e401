"""Weights that are a function of each tensor's name and shape: a value measured with them checks every slot."""

from __future__ import annotations

import importlib.util
import math
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor


def find_published(name: str) -> Path:
    """The linear weights of "lpips_alex" and its like: torchmetrics brings them, byte for byte as published."""
    package = importlib.util.find_spec("torchmetrics")
    assert package is not None and package.origin is not None
    folder = Path(package.origin).parent / "functional" / "image" / "lpips_models"
    return folder / f"{name.removeprefix('lpips_')}.pth"


def make_tensor(name: str, shape: tuple[int, ...]) -> Tensor:
    """He-scaled for convolutions, near one for scales and variances, near zero for the rest."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith(("bn.weight", "running_var")):
        return torch.from_numpy(0.5 + rng.random(shape, dtype=np.float32))
    values = rng.standard_normal(shape, dtype=np.float32)
    scale = math.sqrt(2 / math.prod(shape[1:])) if len(shape) > 1 else 0.1
    return torch.from_numpy(values * np.float32(scale))


def make_tensors(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    return {name: make_tensor(name, shape) for name, shape in shapes.items()}


def read_published(name: str) -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(find_published(name), map_location="cpu", weights_only=True)
    return state


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(dict(tensors), path)
    return path


def make_pair(height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two pictures alike but for noise: smooth, coloured, (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 16 + seed
    base = np.stack([np.sin(x + y / 2), np.cos(y), np.sin(x * y / 8)], -1) * 90 + 128
    noisy = base + rng.normal(0, 30, base.shape)
    return base.clip(0, 255).astype(np.uint8), noisy.clip(0, 255).astype(np.uint8)
