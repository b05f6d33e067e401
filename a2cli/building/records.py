"""What flows through the pipeline: an item with its views, or a reject that says why it left."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np

from a2cli.data.provenance import Rights

Kind = Literal["images", "views", "worn", "videos", "webdataset", "imagefolder", "manifest", "generated"]
Role = Literal["", "reference", "target"]


@dataclass(frozen=True)
class Input:
    """An item before it is opened: cheap to list, small to send to another process.

    `id` is unique in a build, `kind` names the reader, `paths` the files it opens (`names` what messages and
    provenance call them, relative to the source), `more` what the reader alone understands (JSON-like values).
    `group` names the object, person or video.
    """

    id: str
    kind: Kind
    group: str
    paths: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    category: str = ""
    subcategory: str = ""
    prompt: str = ""
    rights: Rights = field(default_factory=Rights)
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Box:
    """Pixels [x0, x1) x [y0, y1) of a view, float; `score` in [0, 1], `label` the detector's words."""

    x0: float
    y0: float
    x1: float
    y1: float
    score: float = 1.0
    label: str = ""


@dataclass(frozen=True)
class View:
    """One picture of an item's subject.

    `rgb` (H, W, 3) uint8 sRGB; `mask` (H, W) bool, 1 = subject, once known; `boxes` best first; `role` says which
    end of a pair the picture may be, "" for either. Frames of a video have their `time` in s and `neighbours`: the
    frames a little before and after, as (H, W, 3) uint8 of the same size; `motion` (h, w) float32 in [-1, 1], perhaps
    smaller, is 1 where something moves on its own, -1 where the ground is, 0 where it cannot be told. `given` tells
    that box or mask came with the data; `scores` what was measured.
    """

    name: str
    rgb: np.ndarray
    mask: np.ndarray | None = None
    boxes: tuple[Box, ...] = ()
    role: Role = ""
    time: float | None = None
    neighbours: tuple[np.ndarray, ...] = ()
    motion: np.ndarray | None = None
    given: bool = False
    scores: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Item:
    """One object, person or video on its way to a pair.

    `dropped` counts the views that a stage left behind, by reason; `tools` says what made what (stage -> name and
    version); `generated` what a generator was asked; `folder` is the name of its source's folder.
    """

    id: str
    group: str
    views: tuple[View, ...]
    category: str = ""
    subcategory: str = ""
    prompt: str = ""
    rights: Rights = field(default_factory=Rights)
    tools: dict[str, str] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    generated: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    folder: str = ""


@dataclass(frozen=True)
class Reject:
    """An item that left the pipeline.

    `reason` is one of few short phrases, to be counted ("no subject found"); `detail` names the file and what was
    measured. `failed` tells that something is broken, a file or a worker, rather than unsuitable.
    """

    id: str
    stage: str
    reason: str
    detail: str = ""
    dropped: dict[str, int] = field(default_factory=dict)
    failed: bool = False


class Stage(Protocol):
    """One step: an item in, the item with more known about it, or a reject, out.

    `name` is what counts and settings call it; `gpu` tells that it holds a model. A stage is built in the process
    that runs it, loads what it needs at its first item, and is a pure function of the item. It may raise `A2Error`,
    which becomes a reject.
    """

    name: str
    gpu: bool

    def __call__(self, item: Item) -> Item | Reject:
        """Take one item on."""
        ...


def drop_views(item: Item, kept: list[View], reasons: list[str]) -> Item:
    """The item with the `kept` views alone, and one more of each of the `reasons` counted."""
    dropped = dict(item.dropped)
    for reason in reasons:
        dropped[reason] = dropped.get(reason, 0) + 1
    return replace(item, views=tuple(kept), dropped=dropped)
