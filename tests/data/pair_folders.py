"""Pairs made by hand, and data sets of them in every layout."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from a2cli.data.folder import METADATA, write_pair
from a2cli.data.records import Pair
from a2cli.data.shards import write_parquet
from a2cli.data.source import PairSource

CATEGORIES = ("animals", "plants", "vehicles")


class Samples(Dataset[Pair]):
    """What a trainer gives a loader: sample numbers, here every third, as another process might."""

    def __init__(self, source: PairSource, numbers: range) -> None:
        self.source, self.numbers = source, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, place: int) -> Pair:
        return self.source.get_pair(self.numbers[place])


def make_pair(number: int, split: str = "train", height: int = 20, width: int = 28) -> Pair:
    """Noise with a box for a subject; the box is as wide as high, twice or half, by the number."""
    rng = np.random.default_rng(number)
    category = CATEGORIES[number % 3]
    box_height, box_width = ((6, 6), (6, 12), (12, 6))[number % 3]
    tar_mask = np.zeros((height, width), bool)
    tar_mask[2 : 2 + box_height, 3 : 3 + box_width] = True
    ref_mask = np.zeros((16, 18), bool)
    ref_mask[3:12, 4:11] = True
    return Pair(
        id=f"{split}-{number:03d}",
        category=category,
        subcategory=f"kind {number}",
        prompt=f"a photo of kind {number}",
        ref_rgb=rng.integers(0, 256, (16, 18, 3), np.uint8),
        ref_mask=ref_mask,
        tar_rgb=rng.integers(0, 256, (height, width, 3), np.uint8),
        tar_mask=tar_mask,
    )


def make_pairs(count: int, split: str = "train") -> list[Pair]:
    return [make_pair(number, split) for number in range(count)]


def write_imagefolder(folder: Path, pairs: list[Pair], split: str = "train") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [write_pair(folder, pair, split) for pair in pairs]
    with (folder / METADATA).open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return folder


def write_saved(folder: Path, pairs: list[Pair]) -> Path:
    """What `Dataset.save_to_disk` writes, from shards that lie beside."""
    from datasets import Dataset

    shards = folder.with_name(f"{folder.name}-shards")
    write_parquet(shards, pairs, split="train")
    Dataset.from_parquet(str(shards / "train-00000.parquet")).save_to_disk(str(folder))
    return folder


def write_layout(layout: str, folder: Path, pairs: list[Pair]) -> str:
    """A data set in one of the layouts; returns the path that names it."""
    if layout == "imagefolder":
        return str(write_imagefolder(folder, pairs))
    if layout == "saved":
        return str(write_saved(folder, pairs))
    shards = write_parquet(folder, pairs, split="train", shard_size=4)
    return {"parquet": str(folder), "glob": f"{folder}/train-*.parquet", "file": str(shards[0])}[layout]


def get_values(pair: Pair) -> dict[str, Any]:
    """All of a pair that a data set holds, arrays as bytes with their shape."""
    found = {}
    for field in fields(replace(pair, scene_rgb=None, light=None)):
        value = getattr(pair, field.name)
        found[field.name] = (value.shape, value.tobytes()) if isinstance(value, np.ndarray) else value
    return found


def is_same(one: Pair, other: Pair) -> bool:
    return get_values(one) == get_values(other)
