"""A build's work so far on disk: one part for so many inputs, complete or absent."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from a2cli.building.chain import Progress
from a2cli.building.encode import Candidate
from a2cli.building.records import Reject
from a2cli.building.select import Kept
from a2cli.data.browse import browse
from a2cli.data.shards import Row, encode_rows
from a2cli.errors import DataError
from a2cli.files import show_name, write_bytes


@dataclass(frozen=True)
class Part:
    """What became of the inputs of one part: pairs without their pictures, rejects, views left behind, seconds."""

    number: int
    inputs: int
    pairs: list[Kept]
    rejects: list[Reject]
    dropped: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


class PartStore:
    """The parts in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has(self, number: int) -> bool:
        """Whether a part is complete: its JSON is written last."""
        return self._get_path(number, "json").exists()

    def write(self, number: int, results: Iterable[Progress]) -> Part:
        """Write one part from the ends of its tasks. Raises `DataError` when the disk refuses."""
        rows: list[Row] = []
        pairs: list[Kept] = []
        rejects: list[Reject] = []
        dropped: Counter[str] = Counter()
        seconds: dict[str, float] = {}
        for progress in results:
            state = progress.state
            for name, value in progress.seconds.items():
                seconds[name] = seconds.get(name, 0.0) + value
            if isinstance(state, Reject):
                rejects.append(state)
            else:
                assert isinstance(state, Candidate)
                rows.append(state.row)
                pairs.append(_build_kept(state))
            dropped.update(state.dropped)
        if rows:
            path = self._get_path(number, "parquet")
            write_bytes(encode_rows(rows, str(path)), path)
        rounded = {name: round(value, 3) for name, value in seconds.items()}
        part = Part(number, len(pairs) + len(rejects), pairs, rejects, dict(dropped), rounded)
        write_bytes((json.dumps(asdict(part)) + "\n").encode(), self._get_path(number, "json"))
        return part

    def read(self, number: int) -> Part:
        """Read what became of a part. Raises `DataError` for a file that is damaged."""
        path = self._get_path(number, "json")
        try:
            value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            value["pairs"] = [Kept(**pair) for pair in value["pairs"]]
            value["rejects"] = [Reject(**reject) for reject in value["rejects"]]
            return Part(**value)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"{show_name(str(path))}: cannot be read: {error}", hint="remove it and run again"
            ) from error

    def read_rows(self, number: int, ids: set[str]) -> Iterator[Row]:
        """The rows of a part with one of `ids`, in order, pictures as they were written.

        Raises `DataError` where one cannot be read: none is left out in silence.
        """
        if not ids:
            return
        path, found = self._get_path(number, "parquet"), set()
        if path.exists():
            for entry in browse(str(path)):
                if entry.row.get("id") in ids:
                    found.add(entry.row["id"])
                    yield dict(entry.row)
        if found != ids:
            shown = show_name(str(path))
            raise DataError(
                f"{shown}: {len(ids - found)} of its pairs cannot be read",
                hint=f"remove it and {self._get_path(number, 'json').name}, and run again",
            )

    def _get_path(self, number: int, suffix: str) -> Path:
        return self.folder / f"part-{number:05d}.{suffix}"


def _build_kept(candidate: Candidate) -> Kept:
    row = candidate.row
    return Kept(
        row["id"],
        row["category"],
        row["subcategory"],
        candidate.ref_hash,
        candidate.tar_hash,
        candidate.score,
    )
