"""Blocks and heads as they are written: "single_transformer_blocks.3" is a whole block, "...3:0,2" two of its heads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from a2cli.config.suggest import get_suggestion
from a2cli.errors import ConfigError

Choice = Mapping[str, Sequence[int] | None]  # the heads of each chosen block, None for all


def read_choice(entries: Sequence[str], counts: Mapping[str, int], where: str) -> Choice:
    """The blocks that `entries` name, in their order, and which of their heads; a block without numbers is all of them.

    `counts` tells how many heads each block of the model has, `where` begins a message. Raises ConfigError for a block
    or a head that is not there, and for one that is named twice.
    """
    choice: dict[str, tuple[int, ...] | None] = {}
    for entry in entries:
        name, colon, numbers = entry.partition(":")
        if name not in counts:
            raise ConfigError(f"{where}: there is no block {name!r}", hint=get_suggestion(name, counts))
        if name in choice:
            raise ConfigError(f"{where}: {name!r} is named twice", hint=f"its heads in one: {name}:0,1")
        choice[name] = _read_heads(numbers, counts[name], f"{where}: {entry!r}") if colon else None
    return choice


def show_choice(choice: Choice) -> tuple[str, ...]:
    """What `read_choice` reads."""
    return tuple(
        name if heads is None else f"{name}:{','.join(map(str, heads))}" for name, heads in choice.items()
    )


def _read_heads(text: str, count: int, what: str) -> tuple[int, ...] | None:
    if not re.fullmatch(r"[0-9]{1,6}(,[0-9]{1,6})*", text):
        raise ConfigError(f"{what} is no choice of heads", hint="such as NAME:0,2")
    heads = tuple(map(int, text.split(",")))
    if len(set(heads)) < len(heads):
        raise ConfigError(f"{what} names a head twice", hint="each once")
    if max(heads) >= count:
        raise ConfigError(f"{what}: there is no head {max(heads)}", hint=f"0 to {count - 1}")
    return None if len(heads) == count else heads
