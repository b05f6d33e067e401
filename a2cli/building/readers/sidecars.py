"""What lies beside a picture or video: its mask, and a JSON file that tells of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from a2cli.building.readers.about import MAX_BYTES, About, parse_about, parse_object
from a2cli.building.readers.parts import Blob, Part
from a2cli.building.readers.rejects import Unfit, get_cause
from a2cli.building.readers.walk import PICTURES, Folder, get_suffix
from a2cli.building.records import Role

MASKS = "masks"
MASK_END = ".mask.png"


def get_pictures(folder: Folder) -> list[str]:
    """The pictures of a folder, the masks beside them left out."""
    return [
        name for name in folder.files if get_suffix(name) in PICTURES and not name.lower().endswith(MASK_END)
    ]


def skip_masks(folder: Folder) -> list[str]:
    """The folders below, without `masks` where pictures lie beside it."""
    return [name for name in folder.folders if name != MASKS or not get_pictures(folder)]


def load_part(folder: Folder, name: str, masks: Sequence[Folder], about: About, role: Role = "") -> Part:
    """A picture of a folder and its mask: `NAME.mask.png` beside it, or NAME in one of the folders `masks`.

    There it may be of any format, PNG first. NAME is the picture's name with or, failing that, without its suffix.
    Raises `Unfit` where one of them is bad.
    """
    if name in folder.bad:
        raise folder.bad[name]
    stem = os.path.splitext(name)[0]
    places = [(folder, f"{name}{MASK_END}"), (folder, f"{stem}{MASK_END}")]
    ends = [".png", *sorted(PICTURES - {".png"})]
    places += [(other, f"{base}{end}") for other in masks for base in (name, stem) for end in ends]
    mask = None
    for place, file in places:
        if file in place.names:
            mask = get_blob(place, file)
            break
    return Part(get_blob(folder, name), mask, about.boxes, role)


def get_blob(folder: Folder, name: str) -> Blob:
    """A file of a folder. Raises `Unfit` for a bad one."""
    if name in folder.bad:
        raise folder.bad[name]
    return Blob(str(folder.path / name), folder.get_name(name))


def load_about(folder: Folder, name: str) -> About:
    """What `NAME.json` tells of a file of the folder, NAME being its name with or without suffix.

    Raises `Unfit` ("bad record") naming it.
    """
    for file in (f"{name}.json", f"{os.path.splitext(name)[0]}.json"):
        if file in folder.names:
            return load_json(folder, file)
    return About()


def load_json(folder: Folder, file: str) -> About:
    """What one JSON file of a folder tells; foreign keys are passed over."""
    blob = get_blob(folder, file)
    return parse_about(parse_object(load_small(blob), blob.name, nan=True), blob.name, strict=False)


def load_small(blob: Blob) -> bytes:
    """The bytes of a small text file. Raises `Unfit` ("bad record") for one over 1 MiB or that cannot be read."""
    size = blob.size if blob.offset is not None else MAX_BYTES + 1
    if blob.offset is not None and size > MAX_BYTES:
        raise Unfit("bad record", f"{blob.name}: larger than 1 MiB")
    try:
        if not stat.S_ISREG(os.stat(blob.path).st_mode):
            raise Unfit("not a regular file", f"{blob.name}: not a regular file")
        with open(blob.path, "rb") as file:
            file.seek(blob.offset or 0)
            data = file.read(size)
    except OSError as error:
        raise Unfit("bad record", f"{blob.name}: cannot be read: {get_cause(error)}") from error
    if len(data) > MAX_BYTES:
        raise Unfit("bad record", f"{blob.name}: larger than 1 MiB")
    return data
