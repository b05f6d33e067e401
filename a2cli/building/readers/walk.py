"""The files of a source, folder by folder in a fixed order; nothing outside its root is ever reached."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from a2cli.building.readers.rejects import Unfit, build_reject, get_cause
from a2cli.building.records import Reject
from a2cli.errors import DataError
from a2cli.files import show_name
from a2cli.images.read import URL

PICTURES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif"})
VIDEOS = frozenset({".mp4", ".mov", ".webm", ".mkv", ".avi", ".m4v"})
LITTER = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})
NUMBERED = re.compile(r"#\d+$")  # how the further clips and chunks of one id end


@dataclass(frozen=True)
class Folder:
    """One folder of a source.

    `path` is its place on disk, `label` its unique printable name relative to the root ("" for the root itself).
    `files` and `folders` are sorted names, hidden ones and litter left out; `bad` tells of some of the files why they
    must not be opened.
    """

    path: Path
    label: str
    files: tuple[str, ...]
    folders: tuple[str, ...]
    bad: dict[str, Unfit] = field(default_factory=dict)

    @cached_property
    def names(self) -> frozenset[str]:
        """The files, to look one up among many."""
        return frozenset(self.files)

    def get_name(self, file: str) -> str:
        """What messages and provenance call a file of this folder: printable, relative to the root."""
        return join_names(self.label, show_name(file))


def walk(
    root: Path, descend: Callable[[Folder], Iterable[str]] = lambda folder: folder.folders
) -> Iterator[Folder | Reject]:
    """Every folder from `root` down, a folder before those in it, these by name; `descend` picks which of them.

    Links to folders and folders that cannot be read are rejects. Raises `DataError` when it is the root itself.
    """
    waiting = [(root, "")]
    while waiting:
        path, label = waiting.pop()
        try:
            folder, links = _read_folder(path, root, label)
        except OSError as error:
            message = f"{label or show_name(str(root))}: cannot be read: {get_cause(error)}"
            if path == root:
                raise DataError(message, hint="check the path") from error
            yield build_reject(f"{label}/", Unfit("unreadable folder", message))
            continue
        yield folder
        yield from (build_reject(f"{folder.get_name(name)}/", error) for name, error in links.items())
        chosen = set(descend(folder))
        labels = get_ids(label, folder.folders, keep_suffix=True)
        waiting += [(path / name, labels[name]) for name in reversed(folder.folders) if name in chosen]


def read_below(folder: Folder, root: Path, name: str) -> list[Folder]:
    """The folder `name` in `folder`, in a list; an empty one if there is none that can be read."""
    if name not in folder.folders:
        return []
    label = get_ids(folder.label, folder.folders, keep_suffix=True)[name]
    try:
        return [_read_folder(folder.path / name, root, label)[0]]
    except OSError:
        return []


def _read_folder(path: Path, root: Path, label: str) -> tuple[Folder, dict[str, Unfit]]:
    """A folder, and those links in it that lead to folders."""
    files: list[str] = []
    folders: list[str] = []
    bad: dict[str, Unfit] = {}
    links: dict[str, Unfit] = {}
    with os.scandir(path) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith(".") or name in LITTER:
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(name)
                continue
            shown = join_names(label, show_name(name))
            if entry.is_symlink() and os.path.isdir(entry.path):
                links[name] = Unfit("link to a folder", f"{shown}: links to folders are not followed")
                continue
            files.append(name)
            if not entry.is_file(follow_symlinks=False):
                try:
                    check_file(entry.path, root, shown)
                except Unfit as error:
                    bad[name] = error
    return Folder(path, label, tuple(sorted(files)), tuple(sorted(folders)), bad), dict(sorted(links.items()))


def check_file(path: str, root: Path, shown: str) -> None:
    """Raise `Unfit` for what is no regular file, or lies outside `root` once links are followed."""
    try:
        real = os.path.realpath(path, strict=True)
        inside = Path(real).is_relative_to(os.path.realpath(root))
        regular = os.path.isfile(real)
    except FileNotFoundError as error:
        raise Unfit("no such file", f"{shown}: no such file", hint="check the path") from error
    except (OSError, ValueError) as error:
        raise Unfit("no such file", f"{shown}: cannot be opened: {get_cause(error)}") from error
    if not inside:
        raise Unfit(
            "outside the source", f"{shown}: leads outside {show_name(str(root))}", hint="copy it there"
        )
    if not regular:
        raise Unfit("not a regular file", f"{shown}: not a regular file", hint="name a file")


def find_file(root: Path, name: object) -> str:
    """The path of a file that a manifest or a table names, relative to `root`.

    Raises `Unfit` for addresses, absolute paths, `..`, what is missing, no regular file, or linked to from outside.
    """
    if not isinstance(name, str) or not name:
        raise Unfit("bad record", f"{name!r} is no file name")
    shown = show_name(name)
    if URL.match(name):
        raise Unfit(
            "outside the source", f"{shown}: addresses are not opened", hint="download the file first"
        )
    if os.path.isabs(name) or ".." in Path(name).parts:
        raise Unfit(
            "outside the source", f"{shown}: leads outside {show_name(str(root))}", hint="copy it there"
        )
    path = os.path.join(root, name)
    check_file(path, root, shown)
    return path


def join_names(*parts: str) -> str:
    """Names below one another, joined with "/"; empty ones left out."""
    return "/".join(part for part in parts if part)


def get_suffix(name: str) -> str:
    """The suffix of a file name in lower case, with its dot."""
    return os.path.splitext(name)[1].lower()


def keep_number_free(id: str) -> str:
    """An id that cannot be taken for that of a further clip or chunk."""
    return f"{id}~" if NUMBERED.search(id) else id


def get_ids(label: str, names: Iterable[str], *, keep_suffix: bool = False) -> dict[str, str]:
    """An id for each name in one folder: printable, unique, the same on every run.

    A file is called by its name without suffix (`a.jpg` -> `a`); by its whole name where one before it in the alphabet
    took that (`a.png` beside `a.jpg`), or where it would end like the id of a further clip (`a#2.jpg`).
    """
    ids: dict[str, str] = {}
    taken: set[str] = set()
    for name in sorted(names):
        whole = show_name(name)
        id = whole if keep_suffix else show_name(os.path.splitext(name)[0])
        while id in taken or NUMBERED.search(id):
            id = whole if id != whole and len(id) < len(whole) else id + "~"
        taken.add(id)
        ids[name] = join_names(label, id)
    return ids
