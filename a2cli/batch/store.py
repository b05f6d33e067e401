"""results.jsonl and failures.jsonl: added to by several processes at once, never lost, read with care.

results.jsonl    what was written: a row a picture, `out` relative to the folder the file lies in
failures.jsonl   what could not be done, and why: a row an item

An item's last word counts: what is done later is no failure any more, and the other way round.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from a2cli.batch.locks import Locks
from a2cli.errors import DataError
from a2cli.files import show_name, write_bytes

RESULTS, FAILURES = "results.jsonl", "failures.jsonl"
REFUSED = "refused"  # the kind of a row about an item that could not even be planned

Row = dict[str, Any]


@dataclass
class _Index:
    """Where in results.jsonl the latest rows of an item begin, as far as the file was read."""

    inode: int = -1
    read: int = 0
    places: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Word:
    """What was said of an item, when, in which file, from which byte on."""

    finished: float
    file: str
    place: int


class Store:
    """The records of a batch in one folder, which exists."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.locks = Locks(folder)
        self._index = _Index()

    def add_results(self, rows: Sequence[Row]) -> None:
        """Add the rows of one item, all or none: `id`, `image` from 0 on, `finished`. DataError on a full disk."""
        self._append(RESULTS, rows)

    def add_failure(self, row: Row) -> None:
        """Add one row: `id`, `finished`, and what went wrong. Raises `DataError` when the disk refuses."""
        self._append(FAILURES, [row])

    def find_results(self, id: str) -> list[Row]:
        """The latest rows of an item, one a picture, in order; none where there are none."""
        self._update_index()
        place = self._index.places.get(_get_key(id))
        rows: list[Row] = []
        if place is not None:
            for _, row, _ in _scan(self.folder / RESULTS, place):
                if row is None or row["id"] != id or row.get("image") != len(rows):
                    break
                rows.append(row)
        return rows

    def settle(self, *, manifest: str | None = None, refused: Collection[int] | None = None) -> None:
        """Leave every item its last word alone, and drop lines that a killed process tore.

        `refused` is for the end of a whole run: the lines of `manifest` it could not plan; what is said of others, by
        earlier runs, goes. Raises `DataError` when the disk refuses.
        """
        if not any((self.folder / name).exists() for name in (RESULTS, FAILURES)):
            return
        with self.locks.hold_records():
            last: dict[int, _Word] = {}
            for name in (RESULTS, FAILURES):
                for place, row, _ in _scan(self.folder / name):
                    if row is not None and row.get("image", 0) == 0:
                        _note(last, row, name, place)

            def is_kept(name: str, place: int, row: Row) -> bool:
                theirs = refused is not None and _is_line(row) and row.get("manifest") == manifest
                if theirs and row["line"] not in (refused or ()):
                    return False
                word = last.get(_get_row_key(row))
                return word is not None and word.file == name and place >= word.place

            for name in (RESULTS, FAILURES):
                self._rewrite(name, is_kept)

    def _rewrite(self, name: str, is_kept: Callable[[str, int, Row], bool]) -> None:
        path = self.folder / name

        def list_kept() -> Iterator[bytes]:
            for place, row, line in _scan(path):
                if row is not None and is_kept(name, place, row):
                    yield line

        size = sum(map(len, list_kept()))
        if not path.exists() or size == path.stat().st_size:
            return
        if size:
            write_bytes(list_kept(), path)
        else:
            path.unlink()

    def _append(self, name: str, rows: Sequence[Row]) -> None:
        path = self.folder / name
        data = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows).encode()
        try:
            with self.locks.hold_records():
                handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
                try:
                    size = os.fstat(handle).st_size
                    torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
                    data = b"\n" * torn + data
                    if os.write(handle, data) < len(data):
                        os.ftruncate(handle, size)
                        raise OSError(None, "no space left")
                finally:
                    os.close(handle)
        except OSError as error:
            raise DataError(
                f"{show_name(str(path))}: cannot be written: {error.strerror}",
                hint="check the folder and the free space, then --resume",
            ) from error

    def _update_index(self) -> None:
        """Read what was added since the last look; the whole file where another process rewrote it."""
        try:
            state = os.stat(self.folder / RESULTS)
        except FileNotFoundError:
            self._index = _Index()
            return
        if state.st_ino != self._index.inode or state.st_size < self._index.read:
            self._index = _Index(state.st_ino)
        if state.st_size > self._index.read:
            for place, row, line in _scan(self.folder / RESULTS, self._index.read):
                self._index.read = place + len(line)
                if row is not None and row.get("image") == 0:
                    self._index.places[_get_key(row["id"])] = place


def get_time(row: Row) -> float:
    """When a row was written, seconds since 1970; 0 where it does not say."""
    finished = row.get("finished")
    return float(finished) if isinstance(finished, int | float) else 0.0


def _note(last: dict[int, _Word], row: Row, name: str, place: int) -> None:
    time, key = get_time(row), _get_row_key(row)
    if key not in last or time >= last[key].finished:
        last[key] = _Word(time, name, place)


def _scan(path: Path, start: int = 0) -> Iterator[tuple[int, Row | None, bytes]]:
    """The place, the row (None: torn or foreign) and the bytes of every whole line from a byte on."""
    if not path.is_file():
        return
    place = start
    with open(path, "rb") as file:
        file.seek(start)
        for line in file:
            if not line.endswith(b"\n"):
                return
            yield place, _parse(line), line
            place += len(line)


def _parse(line: bytes) -> Row | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and isinstance(row.get("id"), str) else None


def _is_line(row: Row) -> bool:
    """Whether a row is of a manifest's line that is no item, whatever id it claims."""
    return row.get("kind") == REFUSED and isinstance(row.get("line"), int)


def _get_row_key(row: Row) -> int:
    return _get_key(f"{row.get('manifest')}\0{row['line']}" if _is_line(row) else row["id"])


def _get_key(id: str) -> int:
    digest = blake2b(id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest)
