"""A folder of pictures, each an item: `cats/tom.jpg`, its mask and what is known of it beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from a2cli.building.config import InputConfig
from a2cli.building.readers.parts import build_input
from a2cli.building.readers.rejects import Unfit, build_reject
from a2cli.building.readers.sidecars import MASKS, get_pictures, load_about, load_part, skip_masks
from a2cli.building.readers.walk import Folder, get_ids, read_below, walk
from a2cli.building.records import Input, Reject


def list_images(root: Path, config: InputConfig, only: str | None = None) -> Iterator[Input | Reject]:
    """Every picture below `root`, or `only` that one in it, as an item of one view."""
    for folder in walk(root, skip_masks if only is None else lambda _: ()):
        if isinstance(folder, Reject):
            yield folder
            continue
        names = [name for name in get_pictures(folder) if only in (None, name)]
        masks = read_below(folder, root, MASKS) if names else []
        ids = get_ids(folder.label, names)
        for name in names:
            yield _list_one(ids[name], folder, name, masks, config)


def _list_one(id: str, folder: Folder, name: str, masks: list[Folder], config: InputConfig) -> Input | Reject:
    try:
        about = load_about(folder, name)
        return build_input(id, [load_part(folder, name, masks, about)], about, config, "images")
    except Unfit as error:
        return build_reject(id, error)
