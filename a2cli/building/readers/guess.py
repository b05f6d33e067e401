"""What kind of source a path is, by what lies there."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from a2cli.building.readers.imagefolder import FILES, find_tables
from a2cli.building.readers.sidecars import get_pictures
from a2cli.building.readers.walk import PICTURES, VIDEOS, Folder, get_suffix, walk
from a2cli.building.readers.worn import find_sides
from a2cli.building.records import Kind
from a2cli.errors import DataError
from a2cli.files import show_name

LOOK = 200  # folders looked into
KINDS = (
    "name a folder of pictures or videos, .tar shards, metadata.jsonl or a .jsonl manifest; or set its kind"
)


def guess_kind(path: str | Path) -> Kind:
    """The kind of a source, by names alone.

    A file by its suffix. A folder: `imagefolder` by its table, `webdataset` by archives, `worn` by two folders of a
    known pair of names side by side, `videos`; pictures in it make `images`, and pictures only in folders below, two or
    more in each, `views`. Raises `DataError` for a path without any of these, or with both pictures and videos.
    """
    place = Path(path).expanduser()
    shown = show_name(str(path))
    if place.is_file():
        return _guess_by_file(place, shown)
    if not place.is_dir():
        if set(str(path)) & set("*?[") and get_suffix(str(path)) == ".tar":
            return "webdataset"
        raise DataError(
            f"{shown}: " + ("neither file nor folder" if place.exists() else "no such file or folder"),
            hint=KINDS,
        )
    if find_tables(place):
        return "imagefolder"
    folders = [folder for folder in islice(walk(place), LOOK) if isinstance(folder, Folder)]
    kinds = {kind for folder in folders for kind in _get_kinds(folder)}
    if any(find_sides(folder.folders) for folder in folders):
        return "worn"
    if kinds == {"images"}:
        counts = [count for folder in folders if (count := len(get_pictures(folder)))]
        return "images" if get_pictures(folders[0]) or min(counts) < 2 else "views"
    if len(kinds) == 1:
        return kinds.pop()
    if kinds:
        raise DataError(
            f"{shown}: holds {' and '.join(sorted(kinds))}", hint="set its kind, or name one folder of each"
        )
    raise DataError(f"{shown}: holds nothing a2 builds from", hint=KINDS)


def _guess_by_file(place: Path, shown: str) -> Kind:
    suffix = get_suffix(place.name)
    if place.name in FILES:
        return "imagefolder"
    if suffix == ".jsonl":
        return "manifest"
    if suffix == ".tar":
        return "webdataset"
    if suffix in VIDEOS:
        return "videos"
    if suffix in PICTURES:
        return "images"
    raise DataError(f"{shown}: not a file a2 builds from", hint=KINDS)


def _get_kinds(folder: Folder) -> set[Kind]:
    suffixes = {get_suffix(name) for name in folder.files}
    kinds: tuple[tuple[Kind, frozenset[str]], ...] = (
        ("webdataset", frozenset({".tar"})),
        ("videos", VIDEOS),
        ("images", PICTURES),
    )
    return {kind for kind, known in kinds if suffixes & known}
