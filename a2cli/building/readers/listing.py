"""List a source's items without decoding them, and load one of them: the pipeline's first step."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from a2cli.building.config import InputConfig
from a2cli.building.readers.generated import list_generated
from a2cli.building.readers.guess import guess_kinds
from a2cli.building.readers.imagefolder import list_imagefolder
from a2cli.building.readers.images import list_images
from a2cli.building.readers.manifest import list_manifest
from a2cli.building.readers.parts import get_parts
from a2cli.building.readers.pictures import load_views
from a2cli.building.readers.rejects import Unfit, build_reject, get_cause
from a2cli.building.readers.videos import list_videos, load_video
from a2cli.building.readers.views import list_views
from a2cli.building.readers.webdataset import list_webdataset
from a2cli.building.readers.worn import list_worn
from a2cli.building.records import Input, Item, Kind, Reject, View
from a2cli.errors import DataError
from a2cli.files import show_name

FOLDERS, FILES = ("views", "worn"), ("manifest",)  # kinds that are never a file, never a folder

__all__ = ["guess_kinds", "list_inputs", "load_item"]


def list_inputs(config: InputConfig, start: int = 0) -> Iterator[Input | Reject]:
    """The items of a source in a fixed order, from number `start` on; what cannot be one is a reject in its place.

    Only names and small texts are read, and of videos their headers. Where the kind is not said, a folder's videos come
    first, then its pictures. Ids are unique within the source and the same on every run. Raises `DataError` for a path
    that is not what its kind asks for, cannot be read, or holds nothing.
    """
    return islice(_list_all(config), start, None)


def _list_all(config: InputConfig) -> Iterator[Input | Reject]:
    kinds = (config.kind,) if config.kind else guess_kinds(config.path)
    found = (one for kind in kinds for one in _list_kind(config, kind))
    empty = True
    for one in found if len(kinds) == 1 else _merge(found):
        empty = False
        yield one
    if empty:
        what = f"{show_name(config.path)}: holds nothing for kind {' or '.join(map(repr, kinds))}"
        raise DataError(
            what if config.path else "a generated source of 0 items", hint="check the path and the kind"
        )


def _merge(found: Iterable[Input | Reject]) -> Iterator[Input | Reject]:
    """What several readers find in one folder, under distinct ids; a folder below that none may enter is told once.

    A picture beside a video of its name keeps that video's group.
    """
    seen: set[str] = set()
    for one in found:
        id = one.id
        if id.endswith("/") and id in seen:
            continue
        while id in seen:
            id += "~"
        seen.add(id)
        yield replace(one, id=id)


def _list_kind(config: InputConfig, kind: Kind) -> Iterator[Input | Reject]:
    if kind == "generated":
        return list_generated(config)
    path, root = _get_path(config), get_source_root(config, kind)
    if kind == "webdataset":
        return list_webdataset(path, root, config)
    if not path.exists():
        raise DataError(f"{show_name(config.path)}: no such file or folder", hint="check the path")
    if kind in (FOLDERS if path.is_file() else FILES):
        raise DataError(
            f"{show_name(config.path)}: not what kind {kind!r} is read from", hint="check its kind"
        )
    only = os.path.basename(os.path.realpath(path)) if path.is_file() else None
    if kind == "images":
        return list_images(root, config, only)
    if kind == "videos":
        return list_videos(root, config, only)
    if kind == "views":
        return list_views(root, config)
    if kind == "worn":
        return list_worn(root, config)
    return list_imagefolder(path, config) if kind == "imagefolder" else list_manifest(path, config)


def get_source_root(config: InputConfig, kind: Kind) -> Path:
    """The folder that every file of a source must lie in, links followed."""
    path = _get_path(config)
    if path.is_dir():
        return path
    if kind in ("imagefolder", "manifest"):
        return path.parent  # where the names in it start, also if it is a link itself
    if path.exists():
        return Path(os.path.realpath(path)).parent
    while set(str(path)) & set("*?["):
        path = path.parent
    return path


def _get_path(config: InputConfig) -> Path:
    return Path(os.path.abspath(Path(config.path).expanduser()))


def load_item(one: Input, config: InputConfig) -> Item | Reject:
    """Open one item of the source that `config` tells of, and decode its pictures.

    Views that cannot be opened are left out and counted; the item is a reject when they leave fewer than the two that
    a pair needs, or when an end of a given pair is among them.
    """
    try:
        views, dropped = _load(one, config)
    except Unfit as error:
        return build_reject(one.id, error)
    except OSError as error:
        return build_reject(one.id, Unfit("unreadable file", f"{', '.join(one.names)}: {get_cause(error)}"))
    return Item(
        id=one.id,
        group=one.group,
        views=tuple(views),
        category=one.category,
        subcategory=one.subcategory,
        prompt=one.prompt,
        rights=one.rights,
        dropped=dropped,
        folder=get_source_root(config, one.kind).name if config.path else "",
    )


def _load(one: Input, config: InputConfig) -> tuple[list[View], dict[str, int]]:
    if one.kind == "generated":
        return [], {}
    root = get_source_root(config, one.kind)
    if "span" in one.more:
        return load_video(one, config, root)
    parts = get_parts(one)
    views, failed = load_views(parts, root, config.max_side)
    dropped = dict(Counter(error.reason for _, error in failed))
    fatal = [error for part, error in failed if part.role or len(views) < min(len(parts), 2)]
    if fatal:
        raise Unfit(
            fatal[0].reason, fatal[0].message, hint=fatal[0].hint, dropped=dropped if len(parts) > 1 else None
        )
    return views, dropped
