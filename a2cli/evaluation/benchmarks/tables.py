"""Rows of tables that hold no pairs: parquet shards, and Arrow files as `datasets` saves them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from a2cli.data.calls import calling
from a2cli.data.layouts import get_named_split, list_shards
from a2cli.data.rows import PROBLEM, RowReader, get_labels
from a2cli.data.shard_reader import load_features, read_batches
from a2cli.errors import DataError
from a2cli.evaluation.records.cases import CaseFailure
from a2cli.files import show_name

BATCH = 16  # rows that are held in memory at a time
Row = Mapping[str, Any]


def list_tables(path: str) -> list[Path]:
    """Parquet shards in a folder and below it, or a single one; where there are none Arrow files, likewise."""
    if shards := list_shards(path):
        return shards
    place = Path(path).expanduser()
    if place.is_file():
        return [place] if place.suffix == ".arrow" else []
    found = [file for file in place.rglob("*.arrow") if file.is_file() and not file.name.startswith("cache-")]
    return sorted(file for file in found if not _is_hidden(file.relative_to(place)))


def list_columns(file: Path) -> list[str]:
    """The names of a table's columns. Raises `DataError` naming a table that cannot be read."""
    with calling(str(file)):
        return list(load_features(file)) if file.suffix == ".parquet" else list(_open_arrow(file)[0])


def get_table_split(path: str, file: Path) -> str:
    """The split that a table's name, or its folder's below `path`, tells: train, validation, test, or ""."""
    place = Path(path).expanduser()
    inside = file.relative_to(place) if place.is_dir() else Path(file.name)
    return get_named_split(inside) or ""


def read_tables(
    path: str, needed: tuple[str, ...], pictures: tuple[str, ...] = ()
) -> Iterator[tuple[Path, Row, RowReader] | CaseFailure]:
    """The rows of all tables in order, with `needed` columns and what there is of `pictures`, undecoded.

    A table that is damaged, or lacks a needed column, is a failure; what stands before the damage is read. Raises
    `DataError` where there is no table.
    """
    files = list_tables(path)
    if not files:
        raise DataError(
            f"{show_name(path)}: neither parquet nor Arrow files", hint="name the downloaded folder"
        )
    for file in files:
        try:
            there = list_columns(file)
            if missing := [name for name in needed if name not in there]:
                raise DataError(
                    f"{show_name(str(file))}: no column {', '.join(missing)}",
                    hint="there are: " + ", ".join(there),
                )
            columns = [name for name in (*needed, *pictures) if name in there]
            yield from ((file, row, reader) for row, reader in _read_rows(file, columns))
        except DataError as error:
            yield CaseFailure(file.name, "read", "a table that cannot be read", str(error))


def _read_rows(file: Path, columns: list[str]) -> Iterator[tuple[Row, RowReader]]:
    with calling(str(file)):
        if file.suffix == ".parquet":
            features, batches = load_features(file), read_batches(file, columns, size=BATCH)
        else:
            features, batches = _open_arrow(file)
    reader = RowReader(str(file), file.parent, get_labels(features))
    number = 0
    while True:
        with calling(str(file)):
            batch = next(batches, None)
        if batch is None:
            return
        batch = batch.select(columns)
        for place in range(batch.num_rows):
            try:
                yield batch.slice(place, 1).to_pylist()[0], reader
            except ValueError as error:  # text that is not UTF-8
                yield {PROBLEM: f"row {number + place}: {error}"}, reader
        number += batch.num_rows


def _open_arrow(file: Path) -> tuple[Any, Iterator[Any]]:
    """The features of an Arrow file and its batches, mapped; `datasets` writes streams, others files."""
    import pyarrow
    from datasets import Features

    try:
        stream = pyarrow.ipc.open_stream(pyarrow.memory_map(str(file)))
        return Features.from_arrow_schema(stream.schema), iter(stream)
    except pyarrow.ArrowInvalid:
        whole = pyarrow.ipc.open_file(pyarrow.memory_map(str(file)))
        batches = (whole.get_batch(number) for number in range(whole.num_record_batches))
        return Features.from_arrow_schema(whole.schema), batches


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
