"""What the tests of exports share: an adapter with opinions, pairs, a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from edits import make_pipeline
from pair_folders import make_pair, write_imagefolder
from tiny_flux import wake_experts
from torch import Tensor

from a2cli.config.export import ExportConfig
from a2cli.exporting.deltas import LowRank
from a2cli.exporting.samples import Sample
from a2cli.images.cutout import Cutout
from a2cli.mot import MotConfig, inject_mot, save_adapter

EXPERTS = MotConfig(num_experts=4, rank=2, alpha=3.0, router_hidden=8)


def save_experts(model: Path, folder: Path, config: MotConfig = EXPERTS) -> Path:
    backbone = make_pipeline(model).backbone
    generator = torch.Generator().manual_seed(5)
    handle = inject_mot(backbone.transformer, backbone.get_blocks(), config, generator=generator)
    wake_experts(handle, std=0.15)
    with torch.no_grad():
        for router in handle.routers.values():
            router.fc_in.weight.mul_(4)
    save_adapter(
        handle,
        folder,
        backbone="nano",
        base_id="nano",
        base_hash=backbone.base_hash,
        recipe={"steps": 3},
    )
    return folder


def save_pairs(folder: Path) -> Path:
    for split, count in (("train", 6), ("test", 3)):
        pairs = [make_pair(number, split, 64, 64) for number in range(count)]
        write_imagefolder(folder / split, pairs, split)
    return folder


def get_config(adapter: Path, base: Path, pairs: Path, out: Path, **changes: Any) -> ExportConfig:
    """An export to `out`, without a measure."""
    given: dict[str, Any] = {
        "adapter": str(adapter),
        "format": "diffusers",
        "out": str(out),
        "model": str(base),
        "data": str(pairs),
        "pairs": 3,
        "measure": 0,
        "dtype": "float32",
        "device": "cpu",
    }
    return ExportConfig(**given | changes)


def make_delta(rank: int, width: int, height: int, seed: int = 0) -> LowRank:
    """A random update of a linear with `width` inputs and `height` outputs."""
    generator = torch.Generator().manual_seed(seed)
    A = torch.randn(rank, width, generator=generator)
    return LowRank(A, torch.randn(height, rank, generator=generator))


def get_gates(blocks: list[str]) -> dict[str, Tensor]:
    """Gates of four experts that differ from block to block, also in how many are on."""
    rows = [[0.6, 0.0, 0.4, 0.0], [0.3, 0.2, 0.5, 0.0], [0.1, 0.9, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]]
    return {name: torch.tensor(rows[i % len(rows)]) for i, name in enumerate(blocks)}


def make_sample(side: int = 64) -> Sample:
    """An edit of a picture of slopes: a disc of it, upside down, into a square."""
    y, x = np.mgrid[:side, :side]
    photo = np.stack([x * 255 // side, y * 255 // side, (x + y) % 256], -1).astype(np.uint8)
    mask = np.zeros((side, side), np.float32)
    mask[side // 4 : side // 2, side // 4 : side // 2] = 1
    disc = ((x - side / 2) ** 2 + (y - side / 2) ** 2 < (side / 3) ** 2).astype(np.float32)
    return Sample(photo, mask, Cutout(photo[::-1].copy(), disc), "a red cup")
