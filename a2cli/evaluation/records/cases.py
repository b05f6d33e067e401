"""One record to be edited and measured, and how records are listed before any picture is opened."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Case:
    """What a method may see and what it should make of it; pictures (H, W, 3) uint8 sRGB, masks (H, W) bool.

    `source` is the photo before the edit; with `hole` it is the target itself, and the pixels under the mask are taken
    out before a method sees it. `mask` is the exact mask of what is replaced. `target` is None where no true edit is
    known (GEdit, unpaired VITON-HD), the reference where there is none but the prompt. `prompt` says what the edit
    shows, `source_prompt` what the source does where that is known, `instruction` what is to be done where a data set
    words that apart. With `resize_edits` an edit of another size is brought to the photo's, as the data set's own
    script does. Of a photo that a sentence asks to edit, `task` is the kind of edit, `keyword` the words that name the
    thing, and `named` what can be seen of it before; `mask` is then all that changes.
    """

    id: str
    category: str
    source: np.ndarray
    mask: np.ndarray
    hole: bool
    target: np.ndarray | None = None
    ref_rgb: np.ndarray | None = None
    ref_mask: np.ndarray | None = None
    prompt: str = ""
    instruction: str = ""
    resize_edits: bool = False
    source_prompt: str = ""
    task: str = ""
    keyword: str = ""
    named: np.ndarray | None = None


@dataclass(frozen=True)
class CaseEntry:
    """A case not opened yet. `stem` is its file's name without ending, unique in its data set, as results are matched.

    `group` is what it shares with others that are not independent of it (session, object, video), "" for none; `turn`
    counts within a session from 1, `before` is the turn from whose edit this one starts, where it does so. `aliases`
    are other names of its edits, as its data set's own tools write them: paths without ending. `task` is that of its
    case, "" where there is none or nobody asked. `load` raises `DataError` naming record and cause.
    """

    id: str
    stem: str
    category: str
    subcategory: str
    prompt: str
    load: Callable[[], Case]
    group: str = ""
    turn: int = 1
    aliases: tuple[str, ...] = ()
    before: CaseEntry | None = None
    task: str = ""


def add_turns_before(entries: Iterable[CaseEntry]) -> list[CaseEntry]:
    """The entries and the turns that they start from, chosen or not: each once, after the one that it starts from."""
    found: dict[str, CaseEntry] = {}
    for entry in entries:
        chain: list[CaseEntry] = []
        turn: CaseEntry | None = entry
        while turn is not None:
            chain.append(turn)
            turn = turn.before
        for one in reversed(chain):
            found.setdefault(one.id, one)
    return list(found.values())


@dataclass(frozen=True)
class Task:
    """A case under one protocol's mask, as a method gets it: `source` has its hole (GREY) where the case asks so.

    `mask` is None where the protocol gives none. `seed` is a function of the run's seed and the case's id alone.
    """

    case: Case
    protocol: str
    mask: np.ndarray | None
    source: np.ndarray
    seed: int


@dataclass(frozen=True)
class CaseFailure:
    """A record, an edit or a value that could not be had; a row of failures.jsonl."""

    id: str
    stage: str
    reason: str
    detail: str
    method: str = ""
    protocol: str = ""
