"""A garment or accessory and a photo of it worn, by name: `cloth/07.jpg` and `image/07.jpg`, as VITON-HD has them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from a2cli.building.config import InputConfig
from a2cli.building.readers.about import RIGHTS, TEXTS, About
from a2cli.building.readers.parts import Part, build_input
from a2cli.building.readers.rejects import Unfit, build_reject
from a2cli.building.readers.sidecars import MASKS, get_pictures, load_about, load_part
from a2cli.building.readers.walk import Folder, join_names, read_below, walk
from a2cli.building.records import Input, Reject, Role
from a2cli.data.provenance import Rights
from a2cli.files import show_name

FOLDERS = (("item", "worn"), ("cloth", "image"), ("product", "model"))
SIDES: tuple[Role, Role] = ("reference", "target")


def list_worn(root: Path, config: InputConfig) -> Iterator[Input | Reject]:
    """Every pair of pictures of one name, wherever below `root` two such folders lie side by side.

    The item's picture may only be the reference, the worn one only the target. A mask lies beside its picture, in
    `masks` below it or, as in VITON-HD, in a folder called like its own with `-mask`. Pictures without a partner are
    rejects.
    """
    for folder in walk(root, lambda folder: folder.folders if find_sides(folder.folders) is None else ()):
        if isinstance(folder, Reject):
            yield folder
            continue
        sides = find_sides(folder.folders)
        if sides is not None:
            yield from _list_pairs(folder, sides, root, config)


def find_sides(folders: tuple[str, ...]) -> tuple[str, str] | None:
    """The names of the two folders of items and worn photos among those of a folder."""
    return next((pair for pair in FOLDERS if set(pair) <= set(folders)), None)


def _list_pairs(
    folder: Folder, sides: tuple[str, str], root: Path, config: InputConfig
) -> Iterator[Input | Reject]:
    read = [read_below(folder, root, side) for side in sides]
    masks = [
        [m for place in here for m in read_below(place, root, MASKS)]
        + read_below(folder, root, f"{side}-mask")
        for here, side in zip(read, sides, strict=True)
    ]
    places = [here[0] if here else None for here in read]
    stems = [_get_stems(place) for place in places]
    for stem in sorted({*stems[0], *stems[1]}):
        id = join_names(folder.label, show_name(stem))
        names = [side.get(stem, []) for side in stems]
        try:
            yield _list_one(id, names, places, masks, sides, config)
        except Unfit as error:
            yield build_reject(id, error)


def _get_stems(place: Folder | None) -> dict[str, list[str]]:
    stems: dict[str, list[str]] = {}
    for name in get_pictures(place) if place else ():
        stems.setdefault(os.path.splitext(name)[0], []).append(name)
    return stems


def _list_one(
    id: str,
    names: list[list[str]],
    places: list[Folder | None],
    masks: list[list[Folder]],
    sides: tuple[str, str],
    config: InputConfig,
) -> Input:
    parts: list[Part] = []
    told: list[About] = []
    for here, place, around, side, role in zip(names, places, masks, sides, SIDES, strict=True):
        if not here or place is None:
            raise Unfit(
                "no partner", f"{id}: no picture of this name in {side}", hint="give both, or remove it"
            )
        if len(here) > 1:
            raise Unfit("bad record", f"{id}: {len(here)} pictures of this name in {side}", hint="keep one")
        told.append(load_about(place, here[0]))
        parts.append(load_part(place, here[0], around, told[-1], role))
    return build_input(id, parts, _join(id, *told), config, "worn")


def _join(id: str, item: About, worn: About) -> About:
    """What is said of either; where both say something, it must be the same."""
    joined: dict[str, Any] = {}
    for key in TEXTS:
        one, other = (getattr(a.rights if key in RIGHTS else a, key) for a in (item, worn))
        if one and other and one != other:
            raise Unfit("bad record", f"{id}: {key}: {one!r} of the item, {other!r} of the worn photo")
        joined[key] = one or other
    rights = Rights(**{key: joined.pop(key) for key in RIGHTS})
    return replace(item, **joined, rights=rights, boxes=())
