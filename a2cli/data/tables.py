"""Data sets opened through `datasets`: as a table whose rows can be reached in any order, or as a stream.

Pictures stay undecoded. What lies here is read without any network; parquet is the one layout that `datasets` copies
(into Arrow files under HF_DATASETS_CACHE, byte for byte as large) before its rows can be reached in any order.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from a2cli.config.suggest import get_suggestion
from a2cli.data.calls import calling
from a2cli.data.layouts import KNOWN, Layout, find_layout, get_split_error
from a2cli.data.metadata import read_metadata
from a2cli.data.parquet import copy_shards, plan_shards, stream_shards
from a2cli.data.rows import PROBLEM, RowReader, check_columns, get_labels
from a2cli.errors import ConfigError, DataError
from a2cli.files import show_name

STREAM_SHARDS = 64  # pieces whose order is shuffled where a stream is made of a table


@dataclass(frozen=True)
class Table:
    """`rows` is a `datasets.Dataset` of the wanted split, `reader` turns its rows into pairs."""

    rows: Any
    reader: RowReader


@dataclass(frozen=True)
class Stream:
    """`rows` is a `datasets.IterableDataset`, `count` how many rows it has where that is known."""

    rows: Any
    reader: RowReader
    count: int | None


def open_table(path: str, split: str, pairs: int | None = None, hold_out: tuple[str, ...] = ()) -> Table:
    """Open a data set, the first `pairs` records of it but for the categories in `hold_out`.

    Raises `DataError` and `ConfigError` with a remedy.
    """
    layout = find_layout(path, split)
    with calling(layout.where, _get_hint(layout)):
        if layout.kind == "parquet":
            rows = copy_shards(plan_shards(layout, split, None if hold_out else pairs), layout.where)
        elif layout.kind == "imagefolder":
            rows = _keep_split(_load_imagefolder(layout), layout, split)
        elif layout.kind == "saved":
            rows = _keep_split(_load_saved(layout), layout, split)
        else:
            rows = _load_hub(layout, split, streaming=False)
        if not len(rows):
            raise DataError(f"{show_name(layout.where)}: no records", hint="check the data set")
        if hold_out:
            rows = _leave_out(rows, layout, hold_out)
        if pairs is not None and pairs < len(rows):
            rows = rows.select(range(pairs))
        return Table(_undecode(rows), _build_reader(layout, rows))


def open_stream(path: str, split: str, pairs: int | None = None) -> Stream:
    """Open a data set to be read from its start, in place. Raises as `open_table` does."""
    layout = find_layout(path, split)
    with calling(layout.where, _get_hint(layout)):
        if layout.kind in ("imagefolder", "saved"):
            table = open_table(path, split, pairs)
            size = len(table.rows)
            rows = table.rows.to_iterable_dataset(num_shards=min(size, STREAM_SHARDS))
            return Stream(rows, table.reader, size)
        if layout.kind == "parquet":
            plan = plan_shards(layout, split, pairs)
            rows, count = stream_shards(plan.files, **plan.options).reshard(), plan.count
        else:
            rows, count = _load_hub(layout, split, streaming=True), None
        rows = _undecode(rows)
        return Stream(rows if pairs is None else rows.take(pairs), _build_reader(layout, rows), count)


def _load_imagefolder(layout: Layout) -> Any:
    """The lines of a `metadata.jsonl`, in memory: the pictures stay where they are."""
    from datasets import Dataset, Features, Value

    columns = read_metadata(layout.files[0])
    return Dataset.from_dict(columns, features=Features({name: Value("string") for name in columns}))


def _load_saved(layout: Layout) -> Any:
    """A saved data set's own Arrow files, mapped."""
    from datasets import load_from_disk

    rows = load_from_disk(str(layout.files[0]))
    check_columns(rows.column_names, layout.where)
    return rows


def _load_hub(layout: Layout, split: str, *, streaming: bool) -> Any:
    from datasets import load_dataset

    rows = load_dataset(layout.where, split=split, streaming=streaming)
    if rows.column_names:  # a stream need not know them
        check_columns(rows.column_names, layout.where)
    return rows


def _keep_split(rows: Any, layout: Layout, split: str) -> Any:
    """The rows whose column `split` says so, and those of which nothing is known but what is wrong with them."""
    if layout.named or "split" not in rows.column_names:
        return rows
    labels = get_labels(rows.features).get("split")
    splits = [labels[s] if labels and s is not None else s for s in rows["split"][:]]
    there = {str(name) for name in splits if name is not None}
    problems = rows[PROBLEM][:] if PROBLEM in rows.column_names else [None] * len(rows)
    kept = [
        number for number, name in enumerate(splits) if name == split or (problems[number] and name is None)
    ]
    if there and split not in there:
        raise get_split_error(layout.where, split, there)
    return rows if not there or len(kept) == len(rows) else rows.select(kept)


def _leave_out(rows: Any, layout: Layout, hold_out: tuple[str, ...]) -> Any:
    """The rows of other categories. Raises `ConfigError` for one that no row has, and when no row is left."""
    labels = get_labels(rows.features).get("category")
    categories = [labels[c] if labels and c is not None else c for c in rows["category"][:]]
    there = {name for name in categories if name}
    for name in hold_out:
        if name not in there:
            raise ConfigError(
                f"{show_name(layout.where)}: hold_out: no record is of the category {name!r}",
                hint=get_suggestion(name, there),
            )
    kept = [number for number, name in enumerate(categories) if name not in hold_out]
    if not there - set(hold_out):
        raise ConfigError(f"{show_name(layout.where)}: hold_out: no category is left", hint="keep one")
    return rows.select(kept)


def _undecode(rows: Any) -> Any:
    from datasets import Image

    for name, feature in (rows.features or {}).items():
        if isinstance(feature, Image):
            rows = rows.cast_column(name, Image(decode=False))
    return rows


def _build_reader(layout: Layout, rows: Any) -> RowReader:
    """Paths of an imagefolder and of shards stay in their folder; those of `datasets`' own tables are its own."""
    root = None
    if layout.kind == "imagefolder":
        root = layout.files[0].parent
    elif layout.kind == "parquet":
        root = Path(layout.where) if Path(layout.where).is_dir() else layout.files[0].parent
    return RowReader(layout.where, root, get_labels(rows.features or {}))


def _get_hint(layout: Layout) -> str:
    if layout.kind == "hub":
        return f"there is no such path here, so it was taken for a hub id; else name {KNOWN}"
    return "check the data set"
