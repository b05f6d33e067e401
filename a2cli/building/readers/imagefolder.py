"""A folder whose `metadata.jsonl` or `metadata.csv` names its pictures, as `datasets` has it."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from a2cli.building.config import InputConfig
from a2cli.building.readers.about import RIGHTS, About, get_text, parse_about, parse_object
from a2cli.building.readers.manifest import read_lines
from a2cli.building.readers.parts import Blob, Part, build_chunks, build_input
from a2cli.building.readers.rejects import Unfit, build_reject, get_cause
from a2cli.building.readers.walk import find_file, join_names, keep_number_free
from a2cli.building.records import Input, Reject, Role
from a2cli.data.provenance import Rights, parse_provenance
from a2cli.errors import DataError
from a2cli.files import show_name

FILES = ("metadata.jsonl", "metadata.csv")
SIDES: tuple[tuple[str, Role], ...] = (("ref", "reference"), ("tar", "target"))
PAIR = {"ref_image_file_name", "tar_image_file_name"}
FILE_COLUMNS = ("file_name", "mask_file_name", "ref_mask_file_name", "tar_mask_file_name", *sorted(PAIR))
OTHERS = ("id", "provenance", *FILE_COLUMNS)
Row = tuple[str, dict[str, Any] | Unfit]


@dataclass(frozen=True)
class Entry:
    """An item of a table: of one row, or of several of one group."""

    id: str
    parts: list[Part]
    about: About
    paired: bool = False
    grouped: bool = False


def find_tables(path: Path) -> list[Path]:
    """The tables of a folder, else of the folders in it; a table is its own."""
    if path.is_file():
        return [path]
    here = [path / name for name in FILES if (path / name).is_file()]
    if here:
        return here[:1]
    below = {table.parent: table for name in reversed(FILES) for table in sorted(path.glob(f"*/{name}"))}
    return sorted(below.values())


def list_imagefolder(path: Path, config: InputConfig) -> Iterator[Input | Reject]:
    """The items of the tables found: a row with a pair, a row with one picture, or all rows of one `group`.

    A pair's row has the columns that a2 itself writes. Pictures lie below the table's folder. Ids are the rows' own,
    for a group its name; else the picture's name without suffix.
    """
    root = path if path.is_dir() else path.parent
    seen: set[str] = set()
    for table in find_tables(path):
        below = os.path.relpath(table.parent, root)
        label = "" if below == "." else show_name(below)
        yield from _list_table(table, label, seen, config)


def _list_table(table: Path, label: str, seen: set[str], config: InputConfig) -> Iterator[Input | Reject]:
    """The items of one table, each where its first row stands; `seen` holds the ids of the rows before."""
    items: dict[str, Entry | Reject] = {}
    for where, row in _read_rows(table, label):
        try:
            if isinstance(row, Unfit):
                raise row
            entry = _parse_row(row, where, table.parent)
            id = keep_number_free(join_names(label, entry.id))
            _claim(
                id,
                join_names(label, show_name(get_text(row, "id", where))),
                where,
                entry,
                items.get(id),
                seen,
            )
        except Unfit as error:
            items[where] = build_reject(where, error)
            continue
        before = items.get(id)
        items[id] = (
            replace(before, parts=[*before.parts, *entry.parts]) if isinstance(before, Entry) else entry
        )
    for id, found in items.items():
        if isinstance(found, Reject):
            yield found
        elif found.paired:
            yield build_input(id, found.parts, found.about, config, "imagefolder")
        else:
            yield from build_chunks(id, found.parts, found.about, config, "imagefolder")


def _claim(
    id: str, own: str, where: str, entry: Entry, before: Entry | Reject | None, seen: set[str]
) -> None:
    """Raise `Unfit` for a row's id that stood before, and where a further row of a group contradicts its first."""
    if own and own in seen:
        raise Unfit("bad record", f"{where}: the id {own!r} stands twice", hint="give each row its own")
    grouped = isinstance(before, Entry) and before.grouped and entry.grouped
    if not grouped and id in seen:
        raise Unfit("bad record", f"{where}: the id {id!r} stands twice", hint="give each row its own")
    if isinstance(before, Entry) and replace(entry.about, prompt="", boxes=()) != replace(
        before.about, prompt="", boxes=()
    ):
        raise Unfit(
            "bad record", f"{where}: tells of its group otherwise than its first row", hint="make them agree"
        )
    seen.update({id, own} - {""})


def _parse_row(row: dict[str, Any], where: str, root: Path) -> Entry:
    told = {key: value for key, value in row.items() if value not in (None, "")}
    boxes = told.get("boxes")
    if isinstance(boxes, str):
        told["boxes"] = parse_object(f'{{"boxes": {boxes}}}', f"{where}: boxes")["boxes"]
    about = parse_about(told, where, strict=False, others=OTHERS)
    stated = parse_provenance(get_text(told, "provenance", where))
    rights = Rights(**{key: getattr(about.rights, key) or getattr(stated.rights, key) for key in RIGHTS})
    about = replace(about, rights=rights, group=about.group or stated.group)
    own = show_name(get_text(told, "id", where))
    files = {key: _get_blob(told[key], root) for key in FILE_COLUMNS if key in told}
    if set(files) >= PAIR:
        if about.boxes:
            raise Unfit("bad record", f"{where}: boxes, but two pictures", hint="leave them out of a pair")
        parts = [
            Part(files[f"{side}_image_file_name"], files.get(f"{side}_mask_file_name"), role=role)
            for side, role in SIDES
        ]
        return Entry(own or _get_stem(parts[0]), parts, about, paired=True)
    if PAIR & set(files) or "file_name" not in files:
        raise Unfit(
            "bad record",
            f"{where}: neither file_name nor both pictures of a pair",
            hint=" and ".join(sorted(PAIR)),
        )
    part = Part(files["file_name"], files.get("mask_file_name"), about.boxes)
    id = show_name(about.group) or own or _get_stem(part)
    return Entry(id, [part], about, grouped=bool(about.group))


def _get_stem(part: Part) -> str:
    return os.path.splitext(part.picture.name)[0]


def _get_blob(name: object, root: Path) -> Blob:
    return Blob(find_file(root, name), show_name(str(name)))


def _read_rows(table: Path, label: str) -> Iterator[Row]:
    """The rows with their places. Raises `DataError` for a table that cannot be read at all."""
    shown = join_names(label, table.name)
    if table.suffix != ".csv":
        for number, line in read_lines(table):
            where = f"{shown}, line {number}"
            try:
                if isinstance(line, Unfit):
                    raise Unfit(line.reason, f"{where}: {line.message}", hint=line.hint)
                yield where, parse_object(line, where, nan=True)
            except Unfit as error:
                yield where, error
        return
    try:
        with open(table, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            for row in reader:
                where = f"{shown}, line {reader.line_num}"
                wide = None in row or None in row.values()
                yield (
                    where,
                    Unfit("bad record", f"{where}: not as many cells as columns") if wide else dict(row),
                )
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(
            f"{show_name(str(table))}: cannot be read: {get_cause(error)}", hint="write UTF-8 text"
        ) from error
