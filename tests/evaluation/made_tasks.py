"""Tasks made by hand, models of random weights, and what the tests of methods share."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

for folder in ("backbones", "engine", "images"):
    sys.path.append(str(Path(__file__).parents[1] / folder))

from a2cli.evaluation.records.cases import Case, Task  # noqa: E402

HOLE = 127


def make_task(number: int = 0, *, height: int = 50, width: int = 70, **case: Any) -> Task:
    """A striped disc on white as reference; a slope with a hole of the same size at a place of its own."""
    rng = np.random.default_rng(number)
    rows, columns = np.mgrid[:height, :width]
    target = np.stack([columns * 2, rows * 3, 60 + columns], axis=2).astype(np.uint8)
    mask = (rows - height / 2) ** 2 + (columns - 25 - number % 20) ** 2 < 144
    ref_rows, ref_columns = np.mgrid[:40, :36]
    ref_mask = (ref_rows - 20) ** 2 + (ref_columns - 18) ** 2 < 200
    stripes = np.where(
        (ref_rows // 4 % 2 == 0)[..., None], rng.integers(0, 120, 3), rng.integers(120, 255, 3)
    )
    ref_rgb = np.where(ref_mask[..., None], stripes, 255).astype(np.uint8)
    source = target.copy()
    source[mask] = HOLE
    made = Case(
        id=f"case-{number}",
        category="animals",
        source=target,
        mask=mask,
        hole=True,
        target=target,
        ref_rgb=ref_rgb,
        ref_mask=ref_mask,
        prompt="a red cup",
    )
    return Task(replace(made, **case), "fine", mask, source, seed=number)
