"""Data sets in a2's own columns: parquet shards, an imagefolder with `metadata.jsonl`, `Dataset.save_to_disk`.

Columns: id, split, category, ref_image, ref_mask, tar_image, tar_mask, and perhaps subcategory, prompt, provenance;
where records are edits that a sentence asks for also src_image, src_mask, task, keyword, each perhaps empty.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from a2cli.curation.faults import get_row_error
from a2cli.curation.layouts.records import (
    Found,
    Listed,
    Record,
    Texts,
    Written,
    build_failure,
    load_pictures,
)
from a2cli.data.browse import Entry, browse
from a2cli.data.instructed import list_there
from a2cli.data.shards import write_shard

SHARD_BYTES = 1 << 29  # of pictures, from which a shard is closed before it holds all its records


def read_ours(path: str, split: str | None) -> Iterator[Listed]:
    """List the records of a data set in place. Raises `DataError` and `ConfigError` as `browse` does."""
    for entry in browse(path, split):
        if error := get_row_error(entry):
            yield build_failure(error, entry.get_text("id"))
        else:
            yield _build_found(entry)


def _build_found(entry: Entry) -> Found:
    category, subcategory = entry.get_text("category"), entry.get_text("subcategory")
    prompt = entry.get_text("prompt")
    there = list_there(entry.row)
    # As `RowReader` fills it in, so that every layout says the same.
    if entry.row.get("prompt") is None and "src_image" not in there:
        prompt = f"a photo of {subcategory or category}"
    texts = Texts(
        id=entry.get_text("id"),
        split=entry.split or "train",
        category=category,
        subcategory=subcategory,
        prompt=prompt,
        provenance=entry.get_text("provenance"),
        task=entry.get_text("task"),
        keyword=entry.get_text("keyword"),
    )
    get = partial(entry.reader.load_bytes, entry.row)
    return Found(texts, partial(load_pictures, texts, entry.where, get, there))


WriteShard = Callable[[Path, int, str, list[Record]], Path]


class ShardWriter:
    """Records in shards of at most `size`, each written whole by `write`; one unfinished shard a split in memory."""

    def __init__(
        self, folder: Path, size: int, write: WriteShard, finish: Callable[[list[Path]], None] | None = None
    ) -> None:
        self._folder, self._size, self._write, self._finish = folder, size, write, finish
        self._paths: list[Path] = []
        self._open: dict[str, list[Record]] = {}
        self._done: Counter[str] = Counter()

    def add(self, record: Record) -> list[Written]:
        """Take a record; a shard that it fills is written."""
        records = self._open.setdefault(record.texts.split, [])
        records.append(record)
        full = len(records) >= self._size or _count_bytes(records) >= SHARD_BYTES
        return [self._flush(record.texts.split)] if full else []

    def close(self) -> list[Written]:
        """Write the shards that are not full; `finish` is told of all."""
        written = [self._flush(split) for split in sorted(self._open) if self._open[split]]
        if self._finish:
            self._finish(self._paths)
        return written

    def _flush(self, split: str) -> Written:
        records = self._open.pop(split)
        path = self._write(self._folder, self._done[split], split, records)
        self._done[split] += 1
        self._paths.append(path)
        return Written(path, split, len(records), Counter(record.texts.category for record in records))


def write_parquet_shard(folder: Path, number: int, split: str, records: list[Record]) -> Path:
    """Write `SPLIT-00000.parquet` and its counts, as `a2cli.data.shards` does."""
    return write_shard(folder, number, [record.to_row() for record in records], split)


def _count_bytes(records: list[Record]) -> int:
    return sum(len(picture.data) for record in records for picture in record.pictures.values())
