"""CLIP, DINOv2 and DINO in miniature, as a folder of weights holds them, and shots to look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tiny_clip import build_clip
from tiny_models import build_dinov2, build_vit

from a2cli.metrics.shots import Shot

SIDE = 32  # of the pictures that tiny CLIP and DINO look at; DINOv2's is 28


def build_weights(folder: Path) -> Path:
    """A folder of weights with clip/, dinov2/ and dino/."""
    build_clip(folder / "clip")
    build_dinov2(folder / "dinov2")
    build_vit(folder / "dino")  # a classifier's: its head is not asked for, its pooler not there, as DINO's
    return folder


def make_picture(seed: int, size: tuple[int, int] = (40, 56)) -> np.ndarray:
    """Coarse random colours: (H, W, 3) uint8."""
    height, width = size
    cells = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return cells[np.arange(height)[:, None] * 6 // height, np.arange(width) * 8 // width]


def make_shot(seed: int, **changes: object) -> Shot:
    """A shot with everything: the mask is an L, the reference has a size and a mask of its own."""
    mask, ref_mask = np.zeros((40, 56), bool), np.zeros((30, 26), bool)
    mask[8:30, 10:40] = True
    mask[8:16, 24:40] = False
    ref_mask[4:26, 3:20] = True
    ref_mask[4:9, 3:9] = False
    known = {
        "id": f"shot{seed}",
        "edited": make_picture(seed),
        "mask": mask,
        "target": make_picture(seed + 100),
        "ref_rgb": make_picture(seed + 200, (30, 26)),
        "ref_mask": ref_mask,
        "prompt": f"a photo of a {('sofa', 'dog', 'dress', 'car')[seed % 4]}.",
    }
    return Shot(**{**known, **changes})  # type: ignore[arg-type]
