"""Parquet shards through `datasets`: which are read for a split, as a stream in place or copied into Arrow files."""

from __future__ import annotations

import glob
import logging
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from a2cli.data.calls import calling
from a2cli.data.instructed import INSTRUCTED
from a2cli.data.layouts import Layout, get_split_error
from a2cli.data.rows import OPTIONAL, REQUIRED, check_columns, get_labels
from a2cli.data.shard_reader import count_rows, load_features, read_batches
from a2cli.errors import DataError
from a2cli.files import show_name

LARGE_COPY = 1 << 30  # bytes from which a copy is worth a word


@dataclass(frozen=True)
class ShardPlan:
    """The shards that hold the wanted records, `count` of them, and how `datasets` is told to read these alone."""

    files: tuple[Path, ...]
    count: int
    options: dict[str, Any] = field(default_factory=dict)


def plan_shards(layout: Layout, split: str, pairs: int | None) -> ShardPlan:
    """Look through shards for the first `pairs` records of a split; one narrow column of each is read.

    Raises `ConfigError` for a split that is not there, `DataError` naming the shard that lacks a column or is damaged.
    """
    first = layout.files[0]
    with calling(str(first)):
        features = load_features(first)
    by_column = "split" in features and not layout.named
    labels = get_labels(features).get("split", ())
    wanted = labels.index(split) if split in labels else split
    there: Counter[Any] = Counter()
    files: list[Path] = []
    held: list[list[str]] = []
    for file in layout.files:
        with calling(str(file)):
            columns = load_features(file)
            check_columns(columns, str(file))
            found = _count_values(file, "split") if by_column else Counter({wanted: count_rows(file)})
        there.update(found)
        if found[wanted]:
            files.append(file)
            held.append([name for name in INSTRUCTED if name in columns])
        if pairs and there[wanted] >= pairs:
            break
    if not there[wanted]:
        raise get_split_error(layout.where, split, {labels[s] if labels else str(s) for s in +there})
    _check_alike(files, held)
    known = [name for name in (*REQUIRED, *OPTIONAL, "split") if name in features]
    options: dict[str, Any] = {"columns": [*known, *held[0]]}
    if by_column:
        options["filters"] = [("split", "==", wanted)]
    return ShardPlan(tuple(files), min(there[wanted], pairs or there[wanted]), options)


def _check_alike(files: list[Path], held: list[list[str]]) -> None:
    """Raise `DataError` where some shards have columns for the photo from before an edit and others have not."""
    for file, names in zip(files, held, strict=True):
        if names != held[0]:
            several = f"{', '.join(names) or 'none'}, {files[0].name} has {', '.join(held[0]) or 'none'}"
            raise DataError(
                f"{show_name(str(file))}: of {', '.join(INSTRUCTED)} it has {several}",
                hint="a2 dataset convert writes shards alike",
            )


def stream_shards(files: tuple[Path, ...], **options: Any) -> Any:
    """Shards as a `datasets.IterableDataset`; `load_dataset` would do the same, but tell a server of it first."""
    from datasets import IterableDataset

    return IterableDataset.from_parquet(_name_files(files), split="train", **options)


def copy_shards(plan: ShardPlan, where: str) -> Any:
    """Shards as a `datasets.Dataset`, mapped from Arrow files that are written once.

    Raises `DataError` if these do not fit on the disk; a large copy is announced.
    """
    from datasets.packaged_modules.parquet.parquet import Parquet

    builder = Parquet(data_files={"train": _name_files(plan.files)}, **plan.options)
    cache = Path(builder.cache_dir)
    if not cache.exists():
        _check_room(plan.files, where, next(folder for folder in cache.absolute().parents if folder.exists()))
    builder.download_and_prepare()
    return builder.as_dataset(split="train")


def _count_values(file: Path, column: str) -> Counter[Any]:
    """How often a column holds each value; the bytes of the others are not read."""
    values: Counter[Any] = Counter()
    for batch in read_batches(file, [column], size=1000):
        values.update(batch.column(column).to_pylist())
    return values


def _name_files(files: tuple[Path, ...]) -> list[str]:
    """Files under the names `datasets` wants: absolute, and no character in them taken for a pattern."""
    return [glob.escape(str(file.absolute())) for file in files]


def _check_room(files: tuple[Path, ...], where: str, folder: Path) -> None:
    needed = sum(file.stat().st_size for file in files)
    hint = "data.streaming: true reads in place; HF_DATASETS_CACHE names another folder"
    if needed > shutil.disk_usage(folder).free:
        raise DataError(
            f"{show_name(where)}: no room for a copy of {needed / 1e9:.1f} GB in {folder}", hint=hint
        )
    if needed > LARGE_COPY:
        logging.getLogger("a2cli").warning(
            "%s: %.1f GB are copied once, to %s (%s)", show_name(where), needed / 1e9, folder, hint
        )
