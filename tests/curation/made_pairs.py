"""Pairs drawn from numbers: pictures no two of which look alike, and a clean data set of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from a2cli.data.provenance import Provenance, Rights
from a2cli.data.records import Pair
from a2cli.data.shards import Row, build_row, encode_rows, write_parquet
from a2cli.data.taxonomy import CATEGORIES


def draw(number: int, height: int = 64, width: int = 80) -> np.ndarray:
    """A picture of soft patches, (height, width, 3) uint8."""
    cells = np.random.default_rng(number).integers(0, 256, (8, 10, 3), np.uint8)
    return cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)


def make_pair(number: int, split: str = "train", **changes: Any) -> Pair:
    """Pair `number`, whose pictures, id and group are its own."""
    seed = 2 * number + 10_000 * (split != "train")
    ref_mask, tar_mask = np.zeros((48, 48), bool), np.zeros((64, 80), bool)
    ref_mask[8:40, 10:30] = True
    tar_mask[10 : 20 + number % 16, 20:60] = True
    rights = Rights("a folder", "someone", "CC0-1.0")
    pair = Pair(
        id=f"{split}-{number:03d}",
        category=CATEGORIES[number % len(CATEGORIES)],
        subcategory=f"kind {number % 3}",
        prompt=f"a photo of kind {number % 3}",
        ref_rgb=draw(seed, 48, 48),
        ref_mask=ref_mask,
        tar_rgb=draw(seed + 1),
        tar_mask=tar_mask,
        provenance=Provenance(rights, group=f"{split} object {number}").to_text(),
    )
    return replace(pair, **changes)


def write_clean(folder: Path, train: int = 30, test: int = 10, shard_size: int = 8) -> Path:
    """Parquet shards of both splits without a fault."""
    write_parquet(folder, map(make_pair, range(train)), split="train", shard_size=shard_size)
    pairs = (make_pair(number, "test") for number in range(test))
    write_parquet(folder, pairs, split="test", shard_size=shard_size)
    return folder


def load_rows(shard: Path) -> list[Row]:
    """A shard's rows as `build_row` made them."""
    from datasets import Dataset, Image

    rows = Dataset.from_parquet(str(shard), keep_in_memory=True)
    for name, feature in rows.features.items():
        if isinstance(feature, Image):
            rows = rows.cast_column(name, Image(decode=False))
    return list(rows)


def change_shard(shard: Path, changes: dict[str, dict[str, Any]]) -> None:
    """Write other values into the columns of a shard's records, by id; bytes are a picture's file."""
    rows = load_rows(shard)
    assert set(changes) <= {row["id"] for row in rows}
    for row in rows:
        for column, value in changes.get(row["id"], {}).items():
            row[column] = {"bytes": value, "path": None} if isinstance(value, bytes) else value
    shard.write_bytes(encode_rows(rows))


def write_imagefolder(folder: Path, pairs: list[Pair], split: str | None = "train") -> Path:
    """The pictures as files and a `metadata.jsonl` that names them; without `split` no line says one."""
    folder.mkdir(parents=True)
    lines = []
    for pair in pairs:
        row = build_row(pair, split or "")
        line = {name: row[name] for name in ("id", "category", "subcategory", "prompt", "provenance")}
        for name in ("ref_image", "ref_mask", "tar_image", "tar_mask"):
            (folder / f"{pair.id}.{name}.png").write_bytes(row[name]["bytes"])
            line[f"{name}_file_name"] = f"{pair.id}.{name}.png"
        lines.append(line if split is None else {**line, "split": split})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def write_saved(folder: Path, splits: dict[str, list[Pair]]) -> Path:
    """What `DatasetDict.save_to_disk` writes."""
    from datasets import Dataset, DatasetDict

    shards = folder.with_name(f"{folder.name}-shards")
    for split, pairs in splits.items():
        write_parquet(shards, pairs, split=split)
    found = {split: Dataset.from_parquet(str(shards / f"{split}-00000.parquet")) for split in splits}
    DatasetDict(found).save_to_disk(str(folder))
    return folder
