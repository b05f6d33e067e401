"""One folder an object, in it pictures of it from several sides, as MVImgNet and CO3D have them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from a2cli.building.config import InputConfig
from a2cli.building.readers.about import About
from a2cli.building.readers.parts import Part, build_chunks
from a2cli.building.readers.rejects import Unfit, build_reject
from a2cli.building.readers.sidecars import (
    MASKS,
    get_pictures,
    load_about,
    load_json,
    load_part,
    skip_masks,
)
from a2cli.building.readers.walk import Folder, read_below, walk
from a2cli.building.records import Input, Reject
from a2cli.files import show_name

IMAGES = "images"  # the pictures of an object may lie in a folder of this name below its own, masks beside it
ABOUT = "about.json"


def list_views(root: Path, config: InputConfig) -> Iterator[Input | Reject]:
    """Every folder with pictures as an item, or as several of `config.views` views each.

    An object's folder holds the pictures itself or in `images`; then what else lies in it (depths, point clouds) is
    passed over. Masks lie in `masks` or beside the pictures; `about.json` tells of the object.
    """
    for folder in walk(root, lambda folder: [] if _read_images(folder, root) else skip_masks(folder)):
        if isinstance(folder, Reject):
            yield folder
            continue
        below = _read_images(folder, root)
        pictures = below or folder
        masks = [*read_below(pictures, root, MASKS), *(read_below(folder, root, MASKS) if below else ())]
        if get_pictures(pictures):
            id = folder.label or show_name(root.resolve().name)
            yield from _list_object(id, folder, pictures, masks, config)


def _read_images(folder: Folder, root: Path) -> Folder | None:
    return next((below for below in read_below(folder, root, IMAGES) if get_pictures(below)), None)


def _list_object(
    id: str, folder: Folder, pictures: Folder, masks: list[Folder], config: InputConfig
) -> Iterator[Input | Reject]:
    try:
        about = load_json(folder, ABOUT) if ABOUT in folder.names else About()
        if about.boxes:
            raise Unfit(
                "bad record", f"{folder.get_name(ABOUT)}: boxes", hint="give them in a picture's NAME.json"
            )
    except Unfit as error:
        yield build_reject(id, error)
        return
    parts: list[Part] = []
    for name in get_pictures(pictures):
        try:
            parts.append(load_part(pictures, name, masks, _load_boxes(pictures, name)))
        except Unfit as error:
            yield build_reject(f"{id}/{show_name(name)}", error)
    if parts:
        yield from build_chunks(id, parts, about, config, "views")


def _load_boxes(folder: Folder, name: str) -> About:
    """The boxes of one view; whatever else there is to say is said of the object."""
    about = load_about(folder, name)
    if about != About(boxes=about.boxes):
        raise Unfit(
            "bad record", f"{folder.get_name(name)}: its JSON file may hold boxes only", hint=f"use {ABOUT}"
        )
    return about
