"""Every record of a data set once, in its order, over all splits, in place: for whoever checks, counts or copies."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from a2cli.data.calls import calling
from a2cli.data.instructed import INSTRUCTED, INSTRUCTION_TEXTS
from a2cli.data.layouts import (
    METADATA,
    SPLIT_WORDS,
    Layout,
    find_layout,
    get_named_split,
    get_split_error,
    list_shards,
)
from a2cli.data.metadata import read_metadata
from a2cli.data.records import Pair
from a2cli.data.rows import OPTIONAL, PROBLEM, REQUIRED, RowReader, check_columns, get_labels
from a2cli.data.shard_reader import load_features, read_batches
from a2cli.errors import ConfigError, DataError
from a2cli.files import show_name

BATCH = 16  # rows that are held in memory at a time
Row = Mapping[str, Any]
TEXTS = ("id", "split", "category", *OPTIONAL, *INSTRUCTION_TEXTS)
COLUMNS = (*REQUIRED, *OPTIONAL, *INSTRUCTED, "split")


@dataclass(frozen=True)
class Entry:
    """One record, undecoded: `number` is its place among those gone through, `where` the file it lies in.

    `row` holds the columns as `RowReader` takes them; a line that is no record, and a shard or the rest of one that
    cannot be read, has its fault in column `problem` and nothing else. `split` is what a run takes the record for: the
    split that names of files or folders tell, else the column's, "" where neither says one.
    """

    number: int
    where: str
    split: str
    row: Row
    reader: RowReader

    def read(self) -> Pair:
        """Decode and check the record. Raises `BadRecord` naming record, column and cause."""
        return self.reader.read(self.row)

    def get_text(self, column: str) -> str:
        """The text of a column, "" where the record has none."""
        return self.reader.get_text(self.row, column)


def browse(
    path: str, split: str | None = None, *, pictures: bool = True, files: Set[str] | None = None
) -> Iterator[Entry]:
    """Go through a data set on disk, one split of it or all: files by name, records as they lie there.

    Nothing is copied and only a few rows are in memory at a time; without `pictures` only texts are read, and with
    `files`, named as in `Entry.where`, no others are opened. A record that names no split counts to each. Raises
    `DataError` for a path without pairs and for a hub id, `ConfigError` for a split that is not there, at the latest
    when the end is reached.
    """
    parts = _find_parts(path, split)
    if parts[0].layout.kind == "hub":
        raise DataError(
            f"{show_name(path)}: no such file or folder, and what lies on a hub cannot be gone through",
            hint="download it first: hf download --repo-type dataset",
        )
    return _browse(parts, split, COLUMNS if pictures else TEXTS, files)


@dataclass(frozen=True)
class _Part:
    """Files that `find_layout` gave together; `split` is what names tell of all of them, None if nothing."""

    layout: Layout
    split: str | None

    def get_split(self, file: Path, said: str) -> str:
        """The split of a record that says `said` itself."""
        if self.split is not None or self.layout.kind != "parquet":
            return self.split or said
        root = _get_root(self.layout)
        return said or get_named_split(file.relative_to(root)) or ""

    def build_reader(self, file: Path, labels: Mapping[str, tuple[str, ...]]) -> RowReader:
        """Paths of an imagefolder and of shards stay in their folder; those of `datasets`' own tables are its own."""
        root = {"imagefolder": file.parent, "parquet": _get_root(self.layout)}.get(self.layout.kind)
        return RowReader(self.layout.where, root, labels)


def _get_root(layout: Layout) -> Path:
    where = Path(layout.where)
    return where if where.is_dir() else Path(os.path.commonpath([file.parent for file in layout.files]))


def _find_parts(path: str, split: str | None) -> list[_Part]:
    """What holds the records of the splits, each file once, by the files' names."""
    found: dict[Layout, _Part] = {}
    for name in _list_splits(Path(path).expanduser()) if split is None else [split]:
        try:
            layout = find_layout(path, name)
        except ConfigError:  # this split is not there
            if split is not None:
                raise
            continue
        word = get_named_split(Path(name)) if layout.kind == "parquet" else None
        found[layout] = _Part(layout, (word or name) if layout.named else None)
    if split is None and any(part.layout.kind == "parquet" and part.layout.named for part in found.values()):
        known = {file for layout in found for file in layout.files}
        if rest := tuple(
            file for file in list_shards(path) if file not in known
        ):  # no known split's name is theirs
            layout = Layout("parquet", next(iter(found)).where, rest)
            found[layout] = _Part(layout, None)
    return sorted(found.values(), key=lambda part: part.layout.files)


def _list_splits(place: Path) -> list[str]:
    """The splits that may lie in a place; `find_layout` says whether they do."""
    names = list(SPLIT_WORDS)
    with suppress(OSError, ValueError, KeyError, TypeError):
        if (place / "dataset_dict.json").is_file():
            names = [str(name) for name in json.loads((place / "dataset_dict.json").read_text())["splits"]]
        elif not (place / METADATA).is_file() and not (place / "state.json").is_file():
            names = sorted(file.parent.name for file in place.glob(f"*/{METADATA}")) or names
    return names


def _browse(
    parts: list[_Part], split: str | None, columns: tuple[str, ...], files: Set[str] | None
) -> Iterator[Entry]:
    number = 0
    there: set[str] = set()
    for part in parts:
        for file in part.layout.files:
            if files is not None and str(file) not in files:
                continue
            for row, reader in _read_file(part, file, columns):
                name = part.get_split(file, reader.get_text(row, "split"))
                if not row.get(PROBLEM):
                    there.add(name)
                if split is None or part.split is not None or name in (split, ""):
                    yield Entry(number, str(file), name, row, reader)
                    number += 1
    if split is not None and parts[0].split is None and there and not there & {split, ""}:
        raise get_split_error(parts[0].layout.where, split, there)


def _read_file(part: _Part, file: Path, columns: tuple[str, ...]) -> Iterator[tuple[Row, RowReader]]:
    """Rows of one file; what cannot be read is a last row that says why."""
    try:
        if part.layout.kind == "imagefolder":
            reader = part.build_reader(file, {})
            yield from ((row, reader) for row in _read_lines(file))
        else:
            yield from _read_table(part, file, columns)
    except DataError as error:
        yield {PROBLEM: error.message}, part.build_reader(file, {})


def _read_lines(file: Path) -> Iterator[Row]:
    columns = read_metadata(file)
    for values in zip(*columns.values(), strict=True):
        row = dict(zip(columns, values, strict=True))
        yield {PROBLEM: row[PROBLEM]} if row[PROBLEM] else row


def _read_table(part: _Part, file: Path, columns: tuple[str, ...]) -> Iterator[tuple[Row, RowReader]]:
    with calling(str(file)):
        features, batches = _open_batches(part.layout, file, columns)
        reader = part.build_reader(file, get_labels(features))
    number = 0
    while True:
        with calling(str(file)):
            batch = next(batches, None)
        if batch is None:
            return
        for place in range(batch.num_rows):
            try:
                yield batch.slice(place, 1).to_pylist()[0], reader
            except ValueError as error:  # text that is not UTF-8
                yield {PROBLEM: f"row {number + place}: {error}"}, reader
        number += batch.num_rows


def _open_batches(layout: Layout, file: Path, columns: tuple[str, ...]) -> tuple[Any, Iterator[Any]]:
    """The features of one shard or one saved split, and its rows in Arrow's batches, with the wanted columns."""
    if layout.kind == "saved":
        from datasets import load_from_disk

        rows = load_from_disk(str(file))
        check_columns(rows.column_names, str(file))
        rows = rows.select_columns([name for name in columns if name in rows.column_names])
        return rows.features, rows.with_format("arrow").iter(batch_size=BATCH)
    there = load_features(file)
    check_columns(there, str(file))
    return there, read_batches(file, [name for name in columns if name in there], size=BATCH)
