"""Finished edits in a folder, matched to their records by name.

An edit is DIR/NAME.png, or DIR/PROTOCOL/NAME.png (fine, rough, ...), of any picture's suffix. NAME is the record's id,
its stem, a name that its data set's own tools write (MagicBrush 100/100_inde_2, VITON-HD PERSON or PERSON_GARMENT,
GEdit-Bench TASK/LANGUAGE/KEY, Emu Edit idx), or the end of one of these after a "/" that no other record has.

A stem is the id with all but letters, digits, "_" and "-" written as %XX: "test/object/12" is test%2Fobject%2F12. It is
found as test/object/12.png and object/12.png too, and as 12.png where there is no garment/12. Names are compared in
Unicode's NFC. Two edits of one record are refused: which of them counts is not ours to say.
"""

from __future__ import annotations

import logging
import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from a2cli.building.readers.walk import PICTURES, Folder, get_suffix, walk
from a2cli.errors import ConfigError, DataError
from a2cli.evaluation.records.cases import CaseEntry, CaseFailure
from a2cli.files import show_name

STAGE = "find"
SHOWN = 3  # names that a warning tells


@dataclass(frozen=True)
class Predictions:
    """Edits by protocol and stem; `protocols` are those that the folder holds, in the order asked for.

    `failures` are the records of these protocols without an edit that can be taken, `extra` the pictures that belong
    to none, by their path in the folder.
    """

    protocols: tuple[str, ...]
    files: Mapping[tuple[str, str], Path]
    failures: tuple[CaseFailure, ...]
    extra: tuple[str, ...]


@dataclass(frozen=True)
class _Picture:
    """A picture: its path, and its name below its protocol's folder, whole; `problem` if it must not be opened."""

    path: Path
    name: str
    shown: str
    problem: str


def find_predictions(
    folder: str | Path, entries: Iterable[CaseEntry], protocols: Sequence[str]
) -> Predictions:
    """Match the pictures of a folder to records.

    Without folders called like protocols all edits count to the first of `protocols`. Folders that links lead to are
    not entered, links out of the folder are failures. Extra pictures and protocols without a folder are told in one
    warning each. Raises `DataError` for a folder that cannot be read and where not one picture belongs to a record,
    `ConfigError` for no protocol.
    """
    if not protocols:
        raise ConfigError("no protocol is named")
    entries = list(entries)
    root = Path(folder).expanduser()
    if not os.path.isdir(root):  # also of a name that no file can have
        raise DataError(f"{show_name(str(folder))}: no such folder", hint="name the folder of edits")
    pictures = _list_pictures(root, protocols)
    there = tuple(name for name in protocols if name in pictures)
    flat = not there
    if flat:
        there = (protocols[0],)
        pictures = {there[0]: pictures.get("", [])}
    _warn_of_protocols(root, protocols, there, flat)
    names = _get_names(entries)
    files: dict[tuple[str, str], Path] = {}
    failures: list[CaseFailure] = []
    extra = [picture.shown for picture in pictures.get("", [])]
    for protocol in there:
        found = _match(pictures[protocol], names)
        extra += [picture.shown for picture in found.pop("", [])]
        for entry in entries:
            outcome = _take(entry, found.get(entry.stem, []), protocol)
            if isinstance(outcome, CaseFailure):
                failures.append(outcome)
            else:
                files[protocol, entry.stem] = outcome
    if entries and len(extra) == sum(map(len, pictures.values())):
        raise _get_nothing_error(root, entries[0], extra)
    if extra:
        logging.getLogger("a2cli").warning(
            "%s: %d pictures belong to no record: %s", show_name(str(root)), len(extra), _list_few(extra)
        )
    return Predictions(there, files, tuple(failures), tuple(extra))


def _match(pictures: Iterable[_Picture], names: Mapping[str, str]) -> dict[str, list[_Picture]]:
    """Pictures by their record's stem, and under "" those of none."""
    found: dict[str, list[_Picture]] = defaultdict(list)
    for picture in pictures:
        found[_find_stem(picture.name, names)].append(picture)
    return found


def _list_pictures(root: Path, protocols: Sequence[str]) -> dict[str, list[_Picture]]:
    """The pictures of each protocol's folder, and under "" those of none."""
    found: dict[str, list[_Picture]] = {}
    for item in walk(root):
        if not isinstance(item, Folder):
            continue  # a link to a folder, or one that cannot be read
        parts = item.path.relative_to(root).parts
        protocol = parts[0] if parts and parts[0] in protocols else ""
        if protocol:
            parts = parts[1:]
            found.setdefault(protocol, [])
        for file in item.files:
            if get_suffix(file) in PICTURES:
                problem = str(item.bad[file]) if file in item.bad else ""
                name = "/".join((*parts, file))
                picture = _Picture(item.path / file, name, item.get_name(file), problem)
                found.setdefault(protocol, []).append(picture)
    return found


def _get_names(entries: Sequence[CaseEntry]) -> dict[str, str]:
    """The stem by every name that stands for one record alone; a stem goes before ids, these before other names."""
    levels = (
        lambda entry: {entry.stem},
        lambda entry: {entry.id},
        lambda entry: set(entry.aliases),
        lambda entry: {tail for name in (entry.id, *entry.aliases) for tail in _get_tails(name)},
    )
    names: dict[str, str] = {}
    for get in levels:
        wanted = [(_normalise(name), entry.stem) for entry in entries for name in get(entry)]
        owners = Counter(name for name, _ in set(wanted))
        taken = set(names)
        names |= {name: stem for name, stem in wanted if owners[name] == 1 and name not in taken}
    return names


def _get_tails(name: str) -> Iterator[str]:
    """The ends of a name after each "/"."""
    while "/" in name:
        name = name.partition("/")[2]
        yield name


def _find_stem(name: str, names: Mapping[str, str]) -> str:
    """The record's stem by a file's name, without its suffix or, where the id has one, with it; "" for none."""
    whole = _normalise(name)
    return names.get(whole[: len(whole) - len(get_suffix(whole))]) or names.get(whole, "")


def _take(entry: CaseEntry, pictures: list[_Picture], protocol: str) -> Path | CaseFailure:
    if not pictures:
        detail = f"record {show_name(entry.id)}: no edit of it (it would be {entry.stem}.png)"
        return CaseFailure(entry.id, STAGE, "no edit", detail, protocol=protocol)
    if len(pictures) > 1:
        detail = f"record {show_name(entry.id)}: several edits: {', '.join(p.shown for p in pictures)}"
        remedy = "move all but one of them out of the folder"
        return CaseFailure(entry.id, STAGE, "several edits", f"{detail} ({remedy})", protocol=protocol)
    if pictures[0].problem:
        return CaseFailure(
            entry.id, STAGE, "an edit that must not be opened", pictures[0].problem, protocol=protocol
        )
    return pictures[0].path


def _normalise(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _warn_of_protocols(root: Path, protocols: Sequence[str], there: tuple[str, ...], flat: bool) -> None:
    missing = [name for name in protocols if name not in there]
    if missing:
        text = f"no folder for each protocol, so all edits count as {there[0]}" if flat else "no folder"
        logging.getLogger("a2cli").warning(
            "%s: %s; not measured: %s", show_name(str(root)), text, ", ".join(missing)
        )


def _list_few(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _get_nothing_error(root: Path, entry: CaseEntry, extra: Sequence[str]) -> DataError:
    if not extra:
        return DataError(f"{show_name(str(root))}: no pictures", hint="name the folder of edits")
    return DataError(
        f"{show_name(str(root))}: none of its {len(extra)} pictures belongs to a record: {_list_few(extra)}",
        hint=f"edits are named after their records, such as {entry.stem}.png",
    )
