"""What can be wrong with one record: every check, each fault a value."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

import numpy as np

from a2cli.config.suggest import get_suggestion
from a2cli.curation.duplicates import Fingerprint, build_fingerprint, is_same_picture
from a2cli.curation.regions import find_wrong_region, is_drawn
from a2cli.data.browse import Entry
from a2cli.data.instructed import check_instruction, list_there
from a2cli.data.layouts import get_named_split
from a2cli.data.provenance import parse_provenance
from a2cli.data.records import BadRecord, Pair
from a2cli.data.rows import MEND, PROBLEM
from a2cli.data.taxonomy import CATEGORIES
from a2cli.errors import A2Error
from a2cli.files import show_name
from a2cli.images.read import open_photo
from a2cli.masks.read import read_mask

MIN_SIDE = 16  # px
MEND_FILE = "mend or remove the file"
KINDS = {
    "damaged file": "a shard or a list of records that cannot be read, or not to its end",
    "missing column": "a shard or a list of records without a column that records need",
    "wrong counts": "a shard without its file of counts, or not what it counts, or counts without their shard",
    "bad line": "a line that is no record",
    "no id": "a record without a name",
    "duplicate id": "a name that another record has",
    "no split": "a record that names no split where others do",
    "wrong split": "the column says another split than the file's name, or no word",
    "unknown category": "not one of the eight categories",
    "bad text": "a text that says NaN, None or null",
    "empty text": "a prompt that is there and blank",
    "unsafe path": "a picture's path that leaves the data set's folder",
    "bad picture": "a picture that cannot be opened and decoded",
    "small picture": f"a side below {MIN_SIDE} px",
    "bad mask": "a mask that cannot be opened, decoded or understood",
    "mask size": "a mask of another size than its picture",
    "soft mask": "a mask with values between 0 and 1",
    "empty mask": "a mask that marks nothing",
    "full mask": "a mask that marks everything",
    "picture size": "a photo from before an edit of another size than the photo after it",
    "no source": "a mask, a task or a keyword of a photo from before an edit that is not there",
    "no instruction": "a photo from before an edit, and no prompt that says what to do with it",
    "unknown task": "not a kind of edit that a2 knows",
    "wrong keyword": "a keyword that does not stand in the prompt",
    "wrong region": "a synthesised edit whose target mask is not where the photos before and after it differ",
    "pair does not differ": "reference and target, or the photos before and after an edit, are one picture",
    "duplicate": "a pair that another one of its split shows",
    "leak": "a group or a picture that another split has as well",
    "bad provenance": "provenance that is not a JSON object",
    "no licence": "provenance that names no licence",
}
WARNINGS = frozenset({"empty text", "bad provenance", "no licence"})
_NO_TEXT = re.compile(r"nan|none|null|<na>|undefined", re.IGNORECASE)
_PROBLEMS = (  # what `browse` says of rows that are none; the first that fits
    (r"no column ", "missing column"),
    (r"line \d+: the id .* stands twice", "duplicate id"),
    (r"(line|row) \d+: ", "bad line"),
    (r"", "damaged file"),
)
Severity = Literal["fault", "warning"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: its `kind` is a key of `KINDS`, `id` "" where it is a file's, `where` that file.

    A warning is worth a look; a fault makes the record, or a score measured on the data set, wrong.
    """

    kind: str
    severity: Severity
    id: str
    split: str
    where: str
    detail: str


def check_entry(entry: Entry, *, require_licence: bool = False) -> list[Fault]:
    """Every fault of one record, its pictures opened and decoded; nothing is raised for what it holds."""
    return inspect_entry(entry, require_licence=require_licence)[0]


def read_entry(entry: Entry) -> Pair:
    """Decode and check a record. Raises `BadRecord` naming it, the cause and the remedy, its file once."""
    if bad := get_row_error(entry):
        raise bad
    return entry.read()


def get_row_error(entry: Entry) -> BadRecord | None:
    """Why a row is no record, as one line about its file; None of one that is a record."""
    if not (problem := entry.row.get(PROBLEM)):
        return None
    fault = _explain(entry, str(problem))
    hint = MEND_FILE if fault.kind in ("damaged file", "missing column") else MEND
    return BadRecord(f"{show_name(entry.where)}: {fault.detail}", hint=hint)


def inspect_entry(
    entry: Entry, *, require_licence: bool = False, looks: bool = False
) -> tuple[list[Fault], Fingerprint | None]:
    """The faults of one record, and what tells it from others; None of a row that is no record.

    With `looks` the fingerprint has perceptual hashes. Raises `DataError` where the library for these is missing.
    """
    if problem := entry.row.get(PROBLEM):
        return [_explain(entry, str(problem))], None
    faults = [_build(entry, kind, detail) for kind, detail in _check_texts(entry)]
    strict = frozenset({"no licence"} if require_licence else ())
    faults += [_build(entry, kind, detail, strict) for kind, detail in _check_provenance(entry)]
    there = list_there(entry.row)
    prompt, task, keyword = (entry.get_text(name) for name in ("prompt", "task", "keyword"))
    misfits = check_instruction(prompt, task, keyword, there)
    faults += [_build(entry, kind, f"{column}: {cause}") for kind, column, cause in misfits]
    pictures = {}
    for view in ("ref", "tar", *(["src"] if "src_image" in there else [])):
        try:
            pictures[view] = _open_picture(entry, view)
            faults += [
                _build(entry, kind, detail) for kind, detail in _check_mask(entry, view, pictures[view])
            ]
        except _Bad as bad:
            faults.append(_build(entry, bad.kind, bad.detail))
    faults += [_build(entry, kind, detail) for kind, detail in _compare_views(entry, pictures, there)]
    provenance = parse_provenance(entry.get_text("provenance"))
    fingerprint = build_fingerprint(
        entry.get_text("id"), entry.split, entry.where, provenance.group, pictures, looks=looks
    )
    return faults, fingerprint


def _compare_views(
    entry: Entry, pictures: dict[str, np.ndarray], there: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    """What is wrong between the pictures that could be opened. An edit's reference may well be its target."""
    ref, tar, src = (pictures.get(view) for view in ("ref", "tar", "src"))
    if "src_image" not in there:
        if ref is not None and tar is not None and is_same_picture(ref, tar):
            yield "pair does not differ", "ref_image and tar_image are one picture"
        return
    if src is None or tar is None:
        return
    if src.shape != tar.shape:
        sizes = f"{src.shape[1]} x {src.shape[0]}, tar_image {tar.shape[1]} x {tar.shape[0]}"
        yield "picture size", f"src_image is {sizes}"
    elif np.array_equal(src, tar):
        yield "pair does not differ", "src_image and tar_image are one picture"
    elif is_drawn(entry) and (mask := _read_region(entry, tar)) is not None:
        cause = find_wrong_region(src, tar, mask)
        yield from [("wrong region", f"tar_mask: {cause}")] if cause else []


def _read_region(entry: Entry, tar: np.ndarray) -> np.ndarray | None:
    """The target's mask, (H, W) bool; None of one that is a fault of its own."""
    try:
        return read_mask(entry.reader.load_bytes(entry.row, "tar_mask"), tar.shape[:2], hole=True) >= 0.5
    except A2Error:
        return None


class _Bad(Exception):
    """A picture that ends the checks of its view."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind, self.detail = kind, detail


def _build(entry: Entry, kind: str, detail: str, strict: frozenset[str] = frozenset()) -> Fault:
    severity: Severity = "warning" if kind in WARNINGS - strict else "fault"
    return Fault(kind, severity, entry.get_text("id"), entry.split, entry.where, detail)


def _explain(entry: Entry, problem: str) -> Fault:
    """The fault of a row that is no record."""
    detail = problem.removeprefix(f"{show_name(entry.where)}: ")
    kind = next(kind for pattern, kind in _PROBLEMS if re.match(pattern, detail))
    twice = re.fullmatch(r"line \d+: the id (.*) stands twice", detail)
    return Fault(kind, "fault", twice[1] if twice else "", entry.split, entry.where, detail)


def _check_texts(entry: Entry) -> Iterator[tuple[str, str]]:
    name, category, split = (entry.get_text(column) for column in ("id", "category", "split"))
    if not name.strip():
        yield "no id", f"record {entry.number}"
    if category not in CATEGORIES:
        yield "unknown category", f"{category!r}: {get_suggestion(category, CATEGORIES)}"
    if split and get_split_word(split) != get_split_word(entry.split):
        yield "wrong split", f"the column says {split!r}, the file's name {entry.split!r}"
    elif split and not re.fullmatch(r"\w+", split):
        yield "wrong split", f"{split!r} cannot name a split"
    for column in ("id", "subcategory", "prompt", "provenance"):
        value, text = entry.row.get(column), entry.get_text(column)
        if value is None or (column == "id" and not text.strip()):
            continue
        if _NO_TEXT.fullmatch(text.strip()):
            yield "bad text", f"{column} is {text!r}"
        elif column == "prompt" and not text.strip():
            yield "empty text", f"{column} is blank"


def get_split_word(split: str) -> str:
    """One word for each of the ways to write a split: "val", "validation"."""
    return get_named_split(Path(split)) or split


def _check_provenance(entry: Entry) -> Iterator[tuple[str, str]]:
    text = entry.get_text("provenance").strip()
    if text and not _NO_TEXT.fullmatch(text):
        try:
            value = json.loads(text, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            yield "bad provenance", f"not JSON: {error}"
        else:
            if not isinstance(value, dict):
                yield "bad provenance", "not a JSON object"
    if not parse_provenance(text).rights.licence.strip():
        yield "no licence", "nobody says what may be done with it"


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _open_picture(entry: Entry, view: str) -> np.ndarray:
    """A view's picture, (H, W, 3) uint8. Raises `_Bad`."""
    column = f"{view}_image"
    try:
        rgb = open_photo(entry.reader.load_bytes(entry.row, column), name=column).rgb
    except A2Error as error:
        raise _Bad(_get_kind(error, "bad picture"), _get_detail(error, column)) from error
    if min(rgb.shape[:2]) < MIN_SIDE:
        raise _Bad("small picture", f"{column} is {rgb.shape[1]} x {rgb.shape[0]}")
    return rgb


def _check_mask(entry: Entry, view: str, rgb: np.ndarray) -> Iterator[tuple[str, str]]:
    column = f"{view}_mask"
    if view == "src" and column not in list_there(entry.row):
        return
    try:
        data = entry.reader.load_bytes(entry.row, column)
        height, width = open_photo(data, name=column).size
        if (height, width) != rgb.shape[:2]:
            sizes = f"{width} x {height}, {view}_image is {rgb.shape[1]} x {rgb.shape[0]}"
            yield "mask size", f"{column} is {sizes}"
            return
        mask = read_mask(data, (height, width), hole=view == "tar")
    except A2Error as error:
        yield _get_kind(error, "bad mask"), _get_detail(error, column)
        return
    soft = float(((mask > 0) & (mask < 1)).mean())
    if soft:
        yield "soft mask", f"{100 * soft:.2g} % of {column} lie between 0 and 1"
    if not (mask >= 0.5).any():
        yield "empty mask", f"{column} marks nothing"
    elif (mask >= 0.5).all():
        yield "full mask", f"{column} marks everything"


def _get_kind(error: A2Error, kind: str) -> str:
    return "unsafe path" if "lies outside" in error.message else kind


def _get_detail(error: A2Error, column: str) -> str:
    """The message from the column's name on: what comes before names the record, as the fault does."""
    start = error.message.find(f"{column}: ")
    return error.message[start:] if start >= 0 else f"{column}: {error.message}"
