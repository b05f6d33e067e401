"""The pictures of an item before they are opened, and how they travel in an `Input`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from a2cli.building.config import InputConfig
from a2cli.building.readers.about import About, Rect, fill_about
from a2cli.building.records import Input, Kind, Role


@dataclass(frozen=True)
class Blob:
    """Where bytes lie: a whole file, or the `size` bytes from `offset` of it. `name` is for messages."""

    path: str
    name: str
    offset: int | None = None
    size: int = 0


@dataclass(frozen=True)
class Part:
    """One picture, its mask and boxes where they are given, and which end of a pair it may be."""

    picture: Blob
    mask: Blob | None = None
    boxes: tuple[Rect, ...] = ()
    role: Role = ""


def build_input(id: str, parts: Sequence[Part], about: About, config: InputConfig, kind: Kind) -> Input:
    """An item of these pictures."""
    return build_any(
        id, [part.picture for part in parts], about, config, kind, {"parts": [asdict(p) for p in parts]}
    )


def build_any(
    id: str, files: Sequence[Blob], about: About, config: InputConfig, kind: Kind, more: dict[str, Any]
) -> Input:
    """An item, what is not said of it taken from its source's settings."""
    known = fill_about(about, config)
    return Input(
        id=id,
        kind=kind,
        group=known.group or id,
        paths=tuple(file.path for file in files),
        names=tuple(file.name for file in files),
        category=known.category,
        subcategory=known.subcategory,
        prompt=known.prompt,
        rights=known.rights,
        more=more,
    )


def build_chunks(
    id: str, parts: Sequence[Part], about: About, config: InputConfig, kind: Kind
) -> list[Input]:
    """Items of at most `config.views` pictures of one object: `id`, `id#2`, ...; they share its group.

    One picture left over joins the last of them.
    """
    starts = list(range(0, len(parts), config.views))
    if len(starts) > 1 and len(parts) - starts[-1] == 1:
        starts.pop()
    stops = [*starts[1:], len(parts)]
    about = about if about.group else About(**{**vars(about), "group": id})
    return [
        build_input(number_id(id, number), parts[start:stop], about, config, kind)
        for number, (start, stop) in enumerate(zip(starts, stops, strict=True), start=1)
    ]


def number_id(id: str, number: int) -> str:
    """The id of the first, second, ... clip or chunk: `id`, `id#2`, ..."""
    return id if number == 1 else f"{id}#{number}"


def get_parts(one: Input) -> list[Part]:
    """The pictures of an item, as `build_input` packed them; also after a way through JSON."""
    return [
        Part(
            picture=Blob(**part["picture"]),
            mask=Blob(**part["mask"]) if part["mask"] else None,
            boxes=tuple((x0, y0, x1, y1) for x0, y0, x1, y1 in part["boxes"]),
            role=part["role"],
        )
        for part in one.more["parts"]
    ]
