"""Rows of parquet shards that are not ours, pictures undecoded; a shard that cannot be read ends nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from a2cli.curation.layouts.records import Failure, build_failure
from a2cli.data.calls import calling
from a2cli.data.layouts import list_shards
from a2cli.data.rows import RowReader, get_labels
from a2cli.data.shard_reader import load_features, read_batches
from a2cli.errors import DataError

SHARD_SPLIT = re.compile(r"(train|validation|val|dev|test)[-._\d]")


def list_columns(file: Path) -> list[str]:
    """The names of a shard's columns. Raises `DataError` naming a shard that cannot be read."""
    with calling(str(file)):
        return list(load_features(file))


def read_rows(file: Path) -> Iterator[tuple[Mapping[str, Any], RowReader]]:
    """A shard's rows in order. Raises `DataError` naming the shard where it is damaged."""
    with calling(str(file)):
        reader = RowReader(str(file), file.parent, get_labels(load_features(file)))
        batches = read_batches(file)
    while True:
        with calling(str(file)):
            batch = next(batches, None)
        if batch is None:
            return
        for row in batch.to_pylist():
            yield row, reader


def browse_shards(
    path: str, needed: tuple[str, ...]
) -> Iterator[tuple[Mapping[str, Any], RowReader] | Failure]:
    """The rows of all shards; one that is damaged or lacks a needed column is a failure."""
    for file in list_shards(path):
        try:
            there = list_columns(file)
            if missing := [name for name in needed if name not in there]:
                raise DataError(
                    f"{file}: no column {', '.join(missing)}", hint="there are: " + ", ".join(there)
                )
            yield from read_rows(file)
        except DataError as error:
            yield build_failure(error, id=file.name)


def get_shard_split(file: str) -> str:
    """The split in a shard's name as its publisher writes it ("dev-00000-of-00004.parquet"), else "train"."""
    found = SHARD_SPLIT.match(Path(file).name)
    return found[1] if found else "train"
