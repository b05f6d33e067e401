"""What a judging model does, wherever it runs: an ask in, words out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from a2cli.evaluation.judge.questions import Ask


@dataclass(frozen=True)
class Words:
    """A model's answer. `tokens` in and out, None where it does not say; `refused`: it declined, and why.

    `cut`: it ended because it had become too long.
    """

    text: str
    tokens: tuple[int, int] | None = None
    refused: str = ""
    cut: bool = False


class Model(Protocol):
    """`name` goes on record, `identity` is all that tells its answers from those of another model."""

    name: str
    identity: str

    def answer(self, ask: Ask, nudge: int) -> Words:
        """Ask once; `nudge` answers to the same ask could not be read. Raises `CallError` where there are no words."""
        ...
