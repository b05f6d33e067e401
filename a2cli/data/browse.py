"""Every record of a data set once, in its order, over all splits, in place: for whoever checks, counts or copies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from a2cli.data.records import Pair
from a2cli.data.rows import RowReader


@dataclass(frozen=True)
class Entry:
    """One record, undecoded: `number` is its place in the data set, `where` the file it lies in, `split` its split.

    `row` holds the columns as `RowReader` takes them; a line that is no record has its fault in column `problem`.
    """

    number: int
    where: str
    split: str
    row: Mapping[str, Any]
    reader: RowReader

    def read(self) -> Pair:
        """Decode and check the record. Raises `BadRecord` naming record, column and cause."""
        return self.reader.read(self.row)


def browse(path: str, split: str | None = None) -> Iterator[Entry]:
    """Go through a data set, one split of it or all."""
    raise NotImplementedError
