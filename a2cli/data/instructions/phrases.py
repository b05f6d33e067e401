"""Sentences that ask for an edit of one named thing, and the words of them that name it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

Task = Literal["replace", "remove", "recolour"]
TASKS: tuple[Task, ...] = get_args(Task)

_TEMPLATES: dict[Task, tuple[str, ...]] = {
    "replace": (
        "replace the {name} with {other}",
        "replace the {name}",
        "swap the {name} for {other}",
        "change the {name} into {other}",
        "turn the {name} into {other}",
        "put {other} in place of the {name}",
        "exchange the {name}",
    ),
    "remove": (
        "remove the {name}",
        "delete the {name}",
        "take the {name} away",
        "erase the {name}",
        "get rid of the {name}",
    ),
    "recolour": (
        "make the {name} {colour}",
        "recolour the {name} to {colour}",
        "change the colour of the {name} to {colour}",
        "paint the {name} {colour}",
        "turn the {name} {colour}",
    ),
}


@dataclass(frozen=True)
class Instruction:
    """`text` asks for an edit; `start` and `end` are where in it the words stand that name the thing."""

    text: str
    task: Task
    start: int
    end: int


def build_instruction(
    task: Task, name: str, rng: np.random.Generator, *, other: str = "", colour: str = ""
) -> Instruction:
    """Say it in one of several ways: `name` without article ("red cup"), `other` with one ("a bus")."""
    templates = _TEMPLATES[task]
    template = templates[int(rng.integers(len(templates)))]
    text = template.format(name="\0", other=other, colour=colour)
    start = text.index("\0")
    return Instruction(text.replace("\0", name), task, start, start + len(name))
