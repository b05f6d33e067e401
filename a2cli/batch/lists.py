"""Which photos a command line names: files, folders, patterns. Names alone are held, of any number of photos."""

from __future__ import annotations

import glob
import logging
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from a2cli.batch.job import Item, Refusal
from a2cli.config.edit import ADDRESS
from a2cli.engine.outputs import get_file_name
from a2cli.errors import ConfigError
from a2cli.files import show_name
from a2cli.images.encode import FORMAT_SUFFIXES

MAGIC = re.compile(r"[*?\[]")
MADE = re.compile(r"\.a2(-\d+)?\.png$", re.IGNORECASE)  # what an earlier run has put beside its photos
PICKED = re.compile(r"\.mask\.png$", re.IGNORECASE)  # what `--pick` has; a photo may be called so as well
log = logging.getLogger(__name__)


@dataclass
class Group:
    """Photos found by one word of the command line: `names` below the folder `root`, or as given where it is None."""

    root: str | None
    names: list[str]
    refused: list[Refusal] = field(default_factory=list)

    def list_items(self, *, holed: bool = False) -> Iterator[Item | Refusal]:
        """Its photos; `holed`: they are masks, each a photo with its region rubbed out."""
        yield from self.refused
        for name in self.names:
            path = self.get_path(name)
            inside = (get_file_name(name) if name != "-" else "stdin") if self.root is None else name
            yield Item(get_id(path), None if holed else path, inside, mask=path if holed else None)

    def get_path(self, name: str) -> str:
        """Where a photo lies."""
        return name if self.root in (None, ".") else os.path.join(self.root or "", name)


def get_id(path: str) -> str:
    """A path or address as an id: one spelling of each."""
    return path if ADDRESS.match(path) else os.path.normpath(path)


def is_pattern(name: str) -> bool:
    """Whether a name is a pattern: no file has it, and it has a wildcard."""
    return MAGIC.search(name) is not None and not os.path.lexists(name) and not ADDRESS.match(name)


def find_photos(names: Iterable[str], others: Iterable[str | None]) -> list[Group]:
    """Every photo that the words of a command line name, each once, in their order.

    Folders are searched to the bottom, hidden files, outputs `*.a2.png` and, beside their photo, picked masks
    `*.mask.png` left out, and so are the folders `others`: of masks, references and outputs. Raises `ConfigError` for a
    folder or a pattern without a picture.
    """
    skipped = {os.path.realpath(folder) for folder in others if folder and os.path.isdir(folder)}
    groups: list[Group] = []
    for name in names:
        if is_pattern(name):
            groups.append(_expand(name, skipped))
        elif os.path.isdir(name):
            groups.append(_search(name, skipped))
        else:
            groups.append(Group(None, [name]))
    if len(groups) > 1:
        _drop_repeated(groups)
    return groups


def _drop_repeated(groups: list[Group]) -> None:
    seen: set[str] = set()
    for group in groups:
        kept = []
        for name in group.names:
            id = get_id(group.get_path(name))
            if id not in seen:
                seen.add(id)
                kept.append(name)
        group.names = kept


def _search(root: str, skipped: set[str]) -> Group:
    group, made = Group(root, []), 0

    def refuse(error: OSError) -> None:
        where = str(error.filename)
        group.refused.append(Refusal(where, f"{show_name(where)}: cannot be read: {error.strerror}"))

    for folder, folders, files in os.walk(root, onerror=refuse):
        folders[:] = sorted(
            f for f in folders if f[0] != "." and os.path.realpath(os.path.join(folder, f)) not in skipped
        )
        below = os.path.relpath(folder, root)
        pictures = [f for f in files if is_picture(f)]
        photos = sorted(drop_made(pictures))
        made += len(pictures) - len(photos)
        group.names += photos if below == "." else [os.path.join(below, f) for f in photos]
    _tell_of_made(root, made)
    if not group.names and not group.refused:
        raise ConfigError(
            f"{show_name(root)}: no pictures in this folder",
            hint="name the folder with the photos"
            if not made
            else "all are outputs or masks of earlier runs",
        )
    return group


def drop_made(paths: list[str]) -> list[str]:
    """The paths without outputs of earlier runs, and without masks whose photo is among them."""
    paths = [path for path in paths if not MADE.search(path)]
    stems = {os.path.splitext(path)[0] for path in paths}
    return [path for path in paths if not PICKED.search(path) or PICKED.sub("", path) not in stems]


def is_picture(name: str) -> bool:
    """Whether a file name is a picture's and not hidden."""
    return name[0] != "." and os.path.splitext(name)[1].lower() in FORMAT_SUFFIXES


def _expand(pattern: str, skipped: set[str]) -> Group:
    """What a pattern matches, relative to the folder above its first wildcard."""
    parts = Path(pattern).parts
    fixed = next(i for i, part in enumerate(parts) if MAGIC.search(part))
    root = os.path.join(*parts[:fixed]) if fixed else "."
    start = os.path.realpath(root)
    aside = tuple(f"{folder}/" for folder in skipped if not f"{start}/".startswith(f"{folder}/"))

    @lru_cache(maxsize=4096)
    def is_aside(folder: str) -> bool:
        return f"{os.path.realpath(folder)}/".startswith(aside)

    found = [
        path
        for path in sorted(set(glob.glob(pattern, recursive=True)))
        if is_picture(os.path.basename(path)) and os.path.isfile(path)
    ]
    if aside:
        found = [path for path in found if not is_aside(os.path.dirname(path))]
    photos = found if MADE.search(pattern) or PICKED.search(pattern) else drop_made(found)
    _tell_of_made(pattern, len(found) - len(photos))
    if not photos:
        raise ConfigError(
            f"{show_name(pattern)}: no such file, and no picture matches",
            hint="check the path or the pattern",
        )
    inside = [os.path.relpath(path, root) for path in photos]
    if any(name.startswith("..") for name in inside):  # a pattern such as */../x.png
        return Group(None, photos)
    return Group(root, inside)


def _tell_of_made(where: str, count: int) -> None:
    if count:
        log.warning("%s: outputs and masks of earlier runs are left out: %d", show_name(where), count)
