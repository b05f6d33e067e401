"""results.json, samples.jsonl and failures.jsonl: written in one step, read with care; never NaN in either."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, NoReturn

from a2cli.config.load import build
from a2cli.errors import ConfigError, DataError
from a2cli.evaluation.records.cases import CaseFailure
from a2cli.evaluation.results import FAILURES, FORMAT, RESULTS, SAMPLES, VERSION, Results, Row
from a2cli.files import show_name, write_bytes

MAKE = "a2 eval ... -o OUT writes one"
DAMAGED = "the file is damaged; evaluate again"
_TEXTS = ("id", "category", "subcategory", "group", "method", "protocol", "edited", "error")
_NUMBERS = ("mask_share", "seconds")


def format_results(results: Results, *, gallery: bool = True) -> str:
    """The text of results.json; without `gallery` its pictures are left out. Raises `ValueError` for NaN."""
    record = asdict(results if gallery else replace(results, gallery=()))
    return json.dumps(record, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def write_results(
    results: Results, rows: Iterable[Row], failures: Sequence[CaseFailure], folder: Path
) -> None:
    """Write the three files, results.json last. Raises `DataError` when the disk refuses."""
    write_bytes(_format_lines(rows), folder / SAMPLES)
    if failures:
        write_bytes(_format_lines(failures), folder / FAILURES)
    else:
        (folder / FAILURES).unlink(missing_ok=True)
    write_bytes(_encode(format_results(results)), folder / RESULTS)


def load_results(path: str | Path) -> Results:
    """Read results.json, or that of a folder.

    Raises `DataError` naming the file for one that is missing, damaged, of another kind or of a later version.
    """
    file = _find(Path(path), RESULTS)
    shown = show_name(str(file))
    record = parse_json(load_text(file, hint=MAKE), shown, hint=DAMAGED)
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise DataError(f"{shown}: not the results of an evaluation", hint=MAKE)
    if record.get("version") != VERSION:
        raise DataError(
            f"{shown}: version {record.get('version')!r}, this a2 reads {VERSION}",
            hint="use the a2 that wrote it, or evaluate again",
        )
    try:
        return build(Results, record, where=shown)
    except ConfigError as error:
        raise DataError(error.message, hint=DAMAGED) from error


def load_rows(path: str | Path) -> list[Row]:
    """Read samples.jsonl beside a results.json, or that of a folder. Raises `DataError` naming file and line."""
    file = _find(Path(path), SAMPLES)
    rows, seen = list[Row](), set[tuple[str, str, str]]()
    for number, line in enumerate(load_text(file, hint=MAKE).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{show_name(str(file))}, line {number}"
        row = _build_row(parse_json(line, where, hint=DAMAGED), where)
        key = row.id, row.method, row.protocol
        if key in seen:
            raise DataError(f"{where}: {show_name('/'.join(key))} stands there twice", hint="evaluate again")
        seen.add(key)
        rows.append(row)
    return rows


def _format_lines(items: Iterable[Row | CaseFailure]) -> bytes:
    return _encode(
        "".join(json.dumps(asdict(item), allow_nan=False, ensure_ascii=False) + "\n" for item in items)
    )


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")  # of a name that is no UTF-8: JSON's own escape


def _find(path: Path, name: str) -> Path:
    if path.is_dir():
        return path / name
    return path if path.name == name or name == RESULTS else path.with_name(name)


def load_text(file: Path, *, hint: str) -> str:
    """The text of a regular file. Raises `DataError` naming it, with the remedy `hint`."""
    shown = show_name(str(file))
    if not file.is_file():  # a pipe would be waited for
        raise DataError(f"{shown}: " + ("not a regular file" if file.exists() else "no such file"), hint=hint)
    try:
        return file.read_bytes().decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise DataError(f"{shown}: cannot be read: {reason}", hint=hint) from error


def parse_json(text: str, where: str, *, hint: str) -> Any:
    """The value of a JSON text; NaN and Infinity are no JSON. Raises `DataError` naming `where`."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: no JSON: {error}", hint=hint) from error


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _build_row(record: Any, where: str) -> Row:
    """A row of plain values, checked by hand: there are thousands of them."""
    names = {field.name for field in fields(Row)}
    if not isinstance(record, dict) or not {"id", "method", "protocol"} <= record.keys() <= names:
        raise DataError(f"{where}: not a row of an evaluation", hint=MAKE)
    values = record.get("values", {})
    fine = (
        all(isinstance(record.get(name, ""), str) for name in _TEXTS)
        and all(record.get(name) is None or _is_number(record[name]) for name in _NUMBERS)
        and isinstance(values, Mapping)
        and all(map(_is_number, values.values()))
    )
    if not fine:
        raise DataError(f"{where}: a value of the wrong type", hint="evaluate again")
    return Row(**{name: record.get(name, "") for name in _TEXTS} | record)


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]
