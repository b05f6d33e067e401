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


def guess_kinds(path: str | Path) -> tuple[Kind, ...]:
    """The kind of a source, by names alone; of a folder with videos and pictures two, `videos` first.

    A file by its suffix. A folder: `imagefolder` by its table, `webdataset` by archives, `worn` by two folders of a
    known pair of names side by side, `videos`; pictures in it make `images`, and pictures only in folders below, two or
    more in each and no video beside them, `views`. Raises `DataError` for a path without any of these, or with archives
    among pictures or videos.
    """
    place = Path(path).expanduser()
    shown = show_name(str(path))
    if place.is_file():
        return (_guess_by_file(place, shown),)
    if not place.is_dir():
        if set(str(path)) & set("*?[") and get_suffix(str(path)) == ".tar":
            return ("webdataset",)
        raise DataError(
            f"{shown}: " + ("neither file nor folder" if place.exists() else "no such file or folder"),
            hint=KINDS,
        )
    if find_tables(place):
        return ("imagefolder",)
    folders = [folder for folder in islice(walk(place), LOOK) if isinstance(folder, Folder)]
    kinds = {kind for folder in folders for kind in _get_kinds(folder)}
    if any(find_sides(folder.folders) for folder in folders):
        return ("worn",)
    if not kinds:
        raise DataError(f"{shown}: holds nothing a2 builds from", hint=KINDS)
    if "webdataset" in kinds and len(kinds) > 1:
        raise DataError(
            f"{shown}: holds {' and '.join(sorted(kinds))}", hint="set its kind, or name one folder of each"
        )
    pictures = (_guess_pictures(folders),) if "images" in kinds else ()
    return (*sorted(kinds - {"images"}), *pictures)


def _guess_pictures(folders: list[Folder]) -> Kind:
    """What the pictures of these folders are, the first of them being the source itself."""
    holding = [folder for folder in folders if get_pictures(folder)]
    alone = all(_get_kinds(folder) == {"images"} and len(get_pictures(folder)) > 1 for folder in holding)
    return "views" if alone and holding[0] is not folders[0] else "images"


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
    kinds: tuple[tuple[Kind, bool], ...] = (
        ("webdataset", ".tar" in suffixes),
        ("videos", bool(suffixes & VIDEOS)),
        ("images", bool(get_pictures(folder))),
    )
    return {kind for kind, there in kinds if there}
