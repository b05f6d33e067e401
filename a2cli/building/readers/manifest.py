"""A JSONL manifest: one object a line, which names an item's files relative to the manifest's own folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from a2cli.building.config import InputConfig
from a2cli.building.readers.about import MAX_BYTES, get_text, parse_about, parse_boxes, parse_object
from a2cli.building.readers.parts import Blob, Part, build_chunks, build_input
from a2cli.building.readers.rejects import Unfit, build_reject, get_cause
from a2cli.building.readers.videos import list_clips
from a2cli.building.readers.walk import find_file
from a2cli.building.records import Input, Reject, Role
from a2cli.errors import DataError
from a2cli.files import show_name
from a2cli.urls import is_url

FORMS = ("images", "image", "video", "reference", "target")
OTHERS = ("id", "masks", "mask", *FORMS)
BOM = b"\xef\xbb\xbf"


def list_manifest(file: Path, config: InputConfig) -> Iterator[Input | Reject]:
    """The items of a manifest, in its order; a bad line is a reject that names its number.

    A line names `image`, `images` (views of one object), `video`, or `reference` and `target`; beside them `masks`
    (null for none) and `boxes`, one entry a picture. Files must lie below the manifest's folder; with
    `config.allow_urls` a picture or mask may be an http(s) address.
    """
    seen: set[str] = set()
    shown = show_name(file.name)
    for number, line in read_lines(file):
        where = f"{shown}, line {number}"
        id = f"{shown}:{number}"
        try:
            if isinstance(line, Unfit):
                raise line
            value = parse_object(line, where)
            name = _get_id(value, where)
            if name in seen:
                raise Unfit(
                    "bad record", f"{where}: the id {name!r} stands twice", hint="give each line its own"
                )
            seen.add(name)
            id = name
            found = list(_list_line(name, value, where, file.parent, config))
            if taken := seen & {one.id for one in found} - {name}:
                raise Unfit(
                    "bad record",
                    f"{where}: the id {min(taken)!r} stands twice",
                    hint="rename the earlier one",
                )
        except Unfit as error:
            message = error.message if error.message.startswith(where) else f"{where}: {error.message}"
            yield build_reject(id, Unfit(error.reason, message, hint=error.hint))
            continue
        seen.update(one.id for one in found)
        yield from found


def read_lines(file: Path) -> Iterator[tuple[int, bytes | Unfit]]:
    """The lines that hold something, by number, without a byte order mark; never more than 1 MiB at once."""
    number = 0
    try:
        with open(file, "rb") as stream:
            while line := stream.readline(MAX_BYTES + 1):
                number += 1
                if len(line) > MAX_BYTES:
                    while line and not line.endswith(b"\n"):
                        line = stream.readline(MAX_BYTES)
                    yield number, Unfit("bad record", "longer than 1 MiB", hint="one object a line")
                    continue
                line = line.removeprefix(BOM) if number == 1 else line
                if line.strip():
                    yield number, line
    except OSError as error:
        raise DataError(
            f"{show_name(str(file))}: cannot be read: {get_cause(error)}", hint="check the path"
        ) from error


def _get_id(value: dict[str, Any], where: str) -> str:
    """The line's `id`, else the name of its first file without suffix."""
    if id := get_text(value, "id", where):
        return show_name(id)
    for form in FORMS:
        named = value.get(form)
        first = named[0] if isinstance(named, list) and named else named
        if isinstance(first, str) and first:
            return show_name(os.path.splitext(first)[0])
    raise Unfit(
        "bad record",
        f"{where}: names neither an id nor a file",
        hint="image, images, video, or reference and target",
    )


def _list_line(
    id: str, value: dict[str, Any], where: str, root: Path, config: InputConfig
) -> Iterator[Input | Reject]:
    told = {key: part for key, part in value.items() if key != "boxes"}
    about = parse_about(told, where, strict=True, others=(*OTHERS, "boxes"))
    forms = {form for form in FORMS if value.get(form) is not None}
    if forms == {"video"}:
        if any(value.get(key) is not None for key in ("mask", "masks", "boxes")):
            raise Unfit(
                "bad record", f"{where}: masks and boxes are for pictures", hint="leave them out for a video"
            )
        yield from list_clips(id, _get_blob(value["video"], root), about, config, "manifest", root)
        return
    roles: tuple[Role, ...] = ()
    if forms == {"reference", "target"}:
        names, roles = [value["reference"], value["target"]], ("reference", "target")
    elif forms == {"image"}:
        names = [value["image"]]
    elif forms == {"images"}:
        names = value["images"] if isinstance(value["images"], list) else [value["images"]]
    else:
        raise Unfit(
            "bad record",
            f"{where}: names {' and '.join(sorted(forms)) or 'no file'}",
            hint="image, images, video, or reference and target",
        )
    parts = _get_parts(names, roles or _get_free(len(names)), value, where, root, config.allow_urls)
    if roles:
        yield build_input(id, parts, about, config, "manifest")
    else:
        yield from build_chunks(id, parts, about, config, "manifest")


def _get_parts(
    names: list[Any], roles: tuple[Role, ...], value: dict[str, Any], where: str, root: Path, urls: bool
) -> list[Part]:
    if not names:
        raise Unfit("bad record", f"{where}: an empty list of images")
    masks = value.get("masks") if value.get("masks") is not None else value.get("mask")
    masks = [None] * len(names) if masks is None else masks if isinstance(masks, list) else [masks]
    boxes = value.get("boxes")
    boxes = (
        [None] * len(names) if boxes is None else [boxes] if "image" in value and _is_flat(boxes) else boxes
    )
    for key, there in (("masks", masks), ("boxes", boxes)):
        if not isinstance(there, list) or len(there) != len(names):
            raise Unfit("bad record", f"{where}: {key}: not one entry a picture", hint="null stands for none")
    return [
        Part(
            _get_blob(name, root, urls),
            None if mask is None else _get_blob(mask, root, urls),
            parse_boxes(box, where),
            role,
        )
        for name, mask, box, role in zip(names, masks, boxes, roles, strict=True)
    ]


def _get_free(count: int) -> tuple[Role, ...]:
    free: Role = ""
    return (free,) * count


def _is_flat(boxes: Any) -> bool:
    """Whether it is the list of one picture's boxes rather than one list a picture."""
    return isinstance(boxes, list) and all(
        isinstance(b, list) and all(not isinstance(n, list) for n in b) for b in boxes
    )


def _get_blob(name: object, root: Path, urls: bool = False) -> Blob:
    path = name if urls and isinstance(name, str) and is_url(name) else find_file(root, name)
    return Blob(path, show_name(str(name)))
