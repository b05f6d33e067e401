"""Instruction pairs of coloured squares, made without a font, and a source of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from a2cli.data.records import Pair
from a2cli.data.source import PairSource

COLOURS = {"red": (220, 30, 30), "green": (30, 180, 40), "blue": (30, 40, 220)}


def make_instruction(index: int, *, size: int = 64, task: str = "replace", name: str = "box") -> Pair:
    """A photo with one coloured square called `name`, which gives way to another one, or to the ground."""
    rng = np.random.default_rng(index)
    colour, other = rng.permutation(list(COLOURS))[:2]
    ground = rng.integers(90, 170, (size, size, 3), dtype=np.uint8)
    side = size // 4 + index % 5
    top, left = (int(rng.integers(0, size - side)) for _ in range(2))
    mask = np.zeros((size, size), bool)
    mask[top : top + side, left : left + side] = True
    source, target = ground.copy(), ground.copy()
    source[mask] = COLOURS[colour]
    reference = np.full((size, size, 3), 255, np.uint8)
    inside = np.zeros((size, size), bool)
    inside[size // 4 : -size // 4, size // 4 : -size // 4] = True
    reference[inside] = COLOURS[other]
    if task != "remove":
        target[mask] = COLOURS[other]
    return Pair(
        id=f"pair-{index}",
        category="furniture",
        subcategory=name,
        prompt=f"{'remove' if task == 'remove' else 'replace'} the {colour} {name}",
        ref_rgb=target if task == "remove" else reference,
        ref_mask=mask if task == "remove" else inside,
        tar_rgb=target,
        tar_mask=mask,
        src_rgb=source,
        src_mask=mask,
        task=task,
        keyword=f"{colour} {name}",
    )


class PairList(PairSource):
    """The pairs of a list, again and again."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        super().__init__()
        self.pairs, self.count = pairs, len(pairs)

    def read(self, index: int) -> Pair:
        return self.pairs[index % len(self.pairs)]
