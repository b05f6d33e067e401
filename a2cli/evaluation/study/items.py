"""What a study can show: records of which two or more methods have left an edit, opened when they are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from a2cli.config.suggest import get_suggestion
from a2cli.errors import ConfigError, DataError
from a2cli.evaluation.editing.edits import get_edit_path
from a2cli.evaluation.records.candidates import EditFile, Place, list_candidates
from a2cli.evaluation.records.cases import CaseEntry
from a2cli.evaluation.records.protocols import Protocol
from a2cli.evaluation.report.gallery import Views
from a2cli.files import show_name


@dataclass(frozen=True)
class StudyItem:
    """One record under one protocol; `load` opens its pictures and the edits of `methods`, or raises `DataError`.

    A photo whose pixels under the mask were taken out is shown as the methods saw it: what was there is the answer.
    """

    id: str
    category: str
    protocol: str
    methods: tuple[str, ...]
    load: Callable[[], Views]


def list_items(
    folder: Path, entries: Sequence[CaseEntry], protocols: Sequence[Protocol], methods: Sequence[str] = ()
) -> list[StudyItem]:
    """The records of which `folder` (OUT/edits, as `a2 eval` leaves it) has edits by two or more methods.

    Without `methods`, by those that have a folder there. Raises `ConfigError` for a method without one, `DataError`
    where no record has two edits.
    """
    there = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    for name in methods:
        if name not in there:
            raise ConfigError(
                f"{show_name(str(folder))}: no edits of {name!r}", hint=get_suggestion(name, there)
            )
    items = list(_list_all(folder, entries, protocols, tuple(methods) or tuple(there)))
    if not items:
        raise DataError(
            f"{show_name(str(folder))}: no record has edits of two methods",
            hint="edit the same records by two methods first: a2 eval --methods A,B --run -o OUT",
        )
    return items


def _list_all(
    folder: Path, entries: Sequence[CaseEntry], protocols: Sequence[Protocol], methods: Sequence[str]
) -> Iterator[StudyItem]:
    for entry in entries:
        for protocol in protocols:
            paths = {name: get_edit_path(folder, name, protocol.name, entry.stem) for name in methods}
            found = {name: path for name, path in paths.items() if path.is_file()}
            if len(found) > 1:
                load = _get_loader(entry, protocol, found)
                yield StudyItem(entry.id, entry.category, protocol.name, tuple(found), load)


def _get_loader(entry: CaseEntry, protocol: Protocol, paths: Mapping[str, Path]) -> Callable[[], Views]:
    def load() -> Views:
        edits: dict[Place, EditFile] = {
            (name, protocol.name, entry.id): EditFile(path, show_name(f"{name}/{protocol.name}/{path.name}"))
            for name, path in paths.items()
        }
        shots = {}
        for found in list_candidates([entry], list(paths), [protocol], edits):
            if found.shot is None:
                raise DataError(f"{show_name(entry.id)}: {found.row.error}")
            shots[found.row.method] = found.shot
        first = next(iter(shots.values()))
        photo = first.given
        if photo is None:
            raise DataError(f"{show_name(entry.id)}: the photo before the edit is not known")
        pictures = {name: shot.edited for name, shot in shots.items()}
        return Views(photo, first.mask, pictures, first.target, first.ref_rgb, first.request)

    return load
