"""Pairs as an imagefolder: `SPLIT/metadata.jsonl` and its pictures beside it, as `datasets` reads them.

Files are numbered, not called by id: `datasets` takes words such as "train" in a file's name for a split.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from a2cli.curation.layouts.records import Record, Written
from a2cli.data.metadata import SUFFIX
from a2cli.files import make_folder, write_bytes


class ImagefolderWriter:
    """Pictures as they come, each whole or absent; a split's `metadata.jsonl`, which makes it a data set, last."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows: dict[str, list[dict[str, str]]] = {}

    def add(self, record: Record) -> list[Written]:
        """Write a record's pictures."""
        split = record.texts.split
        rows = self._rows.setdefault(split, [])
        if not rows:
            make_folder(self._folder / split)
        row = record.get_texts()
        for name, picture in record.pictures.items():
            row[name + SUFFIX] = f"{len(rows):06d}.{name}{picture.suffix}"
            write_bytes(picture.data, self._folder / split / row[name + SUFFIX])
        rows.append(row)
        return []

    def close(self) -> list[Written]:
        """Write the lists of records."""
        return [self._write_metadata(split) for split in sorted(self._rows)]

    def _write_metadata(self, split: str) -> Written:
        path = self._folder / split / "metadata.jsonl"
        rows = self._rows[split]
        write_bytes("".join(json.dumps(row) + "\n" for row in rows).encode(), path)
        return Written(path, split, len(rows), Counter(row["category"] for row in rows))
