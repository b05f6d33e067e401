"""Every edit that should be there, with what it is to be measured against: cases opened one by one, in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from a2cli.errors import A2Error, DataError
from a2cli.evaluation.editing.recipes import read_region
from a2cli.evaluation.records.cases import Case, CaseEntry, CaseFailure
from a2cli.evaluation.records.protocols import Protocol
from a2cli.evaluation.records.tasks import build_shot, fit_edit
from a2cli.evaluation.results import Row
from a2cli.images.read import open_photo
from a2cli.metrics.shots import Shot

Place = tuple[str, str, str]
"""A method, a protocol and a case's id."""


@dataclass(frozen=True)
class EditFile:
    """A finished edit: its file, what is shown of its path, and the seconds that editing took where they are known."""

    path: Path
    shown: str
    seconds: float | None = None


@dataclass(frozen=True)
class Candidate:
    """One edit on its way: its row so far, and its shot; None where there is none, and `failure` says why."""

    row: Row
    shot: Shot | None = None
    failure: CaseFailure | None = None


def list_candidates(
    entries: Sequence[CaseEntry],
    methods: Sequence[str],
    protocols: Sequence[Protocol],
    edits: Mapping[Place, EditFile | CaseFailure],
) -> Iterator[Candidate]:
    """Cases in order, under each protocol, by each method.

    What cannot be read is a candidate with a failure. The source of a turn that starts from an edit is that edit. A
    case's pictures are shared by its candidates and gone with them. Where the edit that a turn starts from is not
    there, nothing is known of its source.
    """
    for entry in entries:
        try:
            case: Case | CaseFailure = entry.load()
        except A2Error as error:
            case = _fail(entry, "read", error)
        for protocol in protocols:
            mask = _get_mask(entry, case, protocol)
            for method in methods:
                place = method, protocol.name, entry.id
                missing = CaseFailure(entry.id, "edit", "no edit", "there is none")
                found = edits.get(place) or missing
                last = None
                if entry.before is not None:
                    last = edits.get((method, protocol.name, entry.before.id)) or missing
                yield _build(entry, place, case, mask, found, last)


def load_edit(file: EditFile) -> np.ndarray:
    """An edit's pixels, (H, W, 3) uint8. Raises `DataError` as `open_photo` does."""
    return open_photo(file.path, name=file.shown).rgb


def _get_mask(entry: CaseEntry, case: Case | CaseFailure, protocol: Protocol) -> np.ndarray | CaseFailure:
    if isinstance(case, CaseFailure):
        return case
    try:
        return protocol.apply(case.mask, case.id)
    except A2Error as error:
        return _fail(entry, "mask", error)


def _build(
    entry: CaseEntry,
    place: Place,
    case: Case | CaseFailure,
    mask: np.ndarray | CaseFailure,
    found: EditFile | CaseFailure,
    last: EditFile | CaseFailure | None,
) -> Candidate:
    method, protocol, _ = place
    row = Row(entry.id, entry.category, entry.subcategory, entry.group, method, protocol)
    for failure in (case, mask, found):
        if isinstance(failure, CaseFailure):
            return _give_up(row, failure)
    assert isinstance(case, Case) and isinstance(mask, np.ndarray) and isinstance(found, EditFile)
    row = replace(row, mask_share=float(mask.mean()), seconds=found.seconds, edited=found.shown)
    try:
        if isinstance(last, EditFile):
            case = _start_from(case, load_edit(last))
        edited = load_edit(found)
        shot = build_shot(case, mask, edited, read_region(found.path, edited.shape[:2]))
        if isinstance(last, CaseFailure):
            shot = replace(shot, source=None)
    except A2Error as error:
        return _give_up(row, _fail(entry, "edit", error))
    return Candidate(row, shot)


def _start_from(case: Case, source: np.ndarray) -> Case:
    source = fit_edit(case, source)
    if source.shape != case.source.shape:
        raise DataError(f"{case.id}: the edit of the turn before is of another size")
    return replace(case, source=source)


def _give_up(row: Row, failure: CaseFailure) -> Candidate:
    failure = replace(failure, method=row.method, protocol=row.protocol)
    return Candidate(replace(row, error=failure.detail or failure.reason), None, failure)


def _fail(entry: CaseEntry, stage: str, error: A2Error) -> CaseFailure:
    return CaseFailure(entry.id, stage, type(error).__name__, str(error))
