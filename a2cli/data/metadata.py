"""The lines of an imagefolder's `metadata.jsonl` as rows; a line that is none becomes a row that says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from a2cli.data.instructed import INSTRUCTED, INSTRUCTION_TEXTS, SOURCE_PICTURES
from a2cli.data.rows import OPTIONAL, PICTURES, PROBLEM, check_columns
from a2cli.errors import DataError
from a2cli.files import show_name

SUFFIX = "_file_name"  # what `datasets` has in the names of columns that hold a picture's file
TEXTS = ("id", "split", "category", *OPTIONAL)


def read_metadata(file: Path) -> dict[str, list[str | None]]:
    """Read a `metadata.jsonl` into columns of text, None where a row has nothing.

    Pictures are file names; the columns `INSTRUCTED` are there where a row has them; the column `problem` tells what is
    wrong with a line, by its number. Raises `DataError` for a file that cannot be read, one without a usable line, and
    when a required key is in no line.
    """
    try:
        lines = file.read_text("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{show_name(str(file))}: cannot be read: {error}", hint="write UTF-8 text"
        ) from error
    rows: list[dict[str, str | None]] = []
    keys: dict[str, None] = {}
    ids: set[str | None] = set()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = _parse(line)
            keys.update(dict.fromkeys(value))
            row = _get_row(value, ids)
        except ValueError as error:
            row = {PROBLEM: f"line {number}: {error}"}
        rows.append(row)
    if not keys:
        cause = rows[0][PROBLEM] if rows else "no lines"
        raise DataError(f"{show_name(str(file))}: {cause}", hint="one JSON object a line, one line a pair")
    check_columns(keys, str(file), ("id", "category", *(name + SUFFIX for name in PICTURES)))
    more = [name for name in INSTRUCTED if any(row.get(name) is not None for row in rows)]
    return {name: [row.get(name) for row in rows] for name in (*TEXTS, *PICTURES, *more, PROBLEM)}


def _parse(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def _get_row(value: dict[str, Any], ids: set[str | None]) -> dict[str, str | None]:
    """One row's texts. Raises `ValueError` for an id already in `ids`, and for what is neither name nor text."""
    row = {name: _get_text(value.get(name)) for name in (*TEXTS, *INSTRUCTION_TEXTS)}
    for name in (*PICTURES, *SOURCE_PICTURES):
        row[name] = value.get(name + SUFFIX)
        if not isinstance(row[name], str | None):
            raise ValueError(f"{name}{SUFFIX} is not a file name")
    "".join(text for text in row.values() if text).encode()  # half a surrogate pair is no text
    if row["id"] in ids:
        raise ValueError(f"the id {row['id']} stands twice")
    ids.add(row["id"])
    return row


def _get_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)
