"""One parquet shard read in place by pyarrow itself.

`datasets` hands Arrow's threads a Python file, and a reading that is given up may still call it while the interpreter
ends, which aborts the process. Here the threads have a file of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any


def load_features(file: Path) -> Any:
    """The columns of a shard as `datasets.Features`. Raises what pyarrow raises."""
    from datasets import Features

    with _open(file) as shard:
        return Features.from_arrow_schema(shard.schema_arrow)


def read_batches(file: Path, columns: Sequence[str] | None = None, *, size: int = 16) -> Iterator[Any]:
    """The rows of a shard in record batches of at most `size`, a group of rows after the other.

    Pictures are as they are stored. All groups before a damaged one are read. Raises what pyarrow raises.
    """
    with _open(file) as shard:
        for group in range(shard.num_row_groups):
            yield from shard.iter_batches(
                size, row_groups=[group], columns=None if columns is None else list(columns)
            )


def count_rows(file: Path) -> int:
    """How many rows a shard says it has. Raises what pyarrow raises."""
    with _open(file) as shard:
        rows: int = shard.metadata.num_rows
        return rows


def _open(file: Path) -> Any:
    from pyarrow import OSFile
    from pyarrow.parquet import ParquetFile

    return ParquetFile(OSFile(str(file)))
