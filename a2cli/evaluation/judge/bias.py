"""Does the order in which pictures are shown change what a judge says?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Place = Literal["first", "second", "same"]


@dataclass(frozen=True)
class Preference:
    """Which of two edits of one record a judge prefers, asked in both orders.

    A win is one that holds in both; where the answers differ, it is a tie that is not `consistent`. None for both where
    one of the two answers is missing.
    """

    id: str
    winner: Literal["a", "b", "tie"] | None
    consistent: bool | None
    answers: tuple[Place | None, Place | None] = (None, None)
    """With a shown first, with b shown first."""


def decide(id: str, a_first: Place | None, b_first: Place | None) -> Preference:
    """The preference that two answers amount to."""
    if a_first is None or b_first is None:
        return Preference(id, None, None, (a_first, b_first))
    one = {"first": "a", "second": "b", "same": "tie"}[a_first]
    other = {"first": "b", "second": "a", "same": "tie"}[b_first]
    winner: Literal["a", "b", "tie"] = "tie"
    if one == other:
        winner = "a" if one == "a" else "b" if one == "b" else "tie"
    return Preference(id, winner, one == other, (a_first, b_first))


def get_mean(values: Sequence[float]) -> dict[str, float | int | None]:
    """Mean, its standard error (sample deviation / sqrt n) and n; None where there are too few values."""
    n = len(values)
    return {
        "mean": float(np.mean(values)) if n else None,
        "se": float(np.std(values, ddof=1) / np.sqrt(n)) if n > 1 else None,
        "n": n,
    }


def summarise(preferences: Sequence[Preference]) -> dict[str, object]:
    """Counts of side-by-side judgements, and how often the edit that was shown first was preferred.

    `first_place` is over pairs in which both answers name an edit: 0.5 for a judge whom order does not move, 1 for one
    that always takes the first.
    """
    judged = [p for p in preferences if p.winner is not None]
    named = [[a == "first" for a in p.answers] for p in judged if "same" not in p.answers]
    n = len(judged)
    return {
        "asked": len(preferences),
        "judged": n,
        "wins": sum(p.winner == "a" for p in judged),
        "losses": sum(p.winner == "b" for p in judged),
        "ties": sum(p.winner == "tie" for p in judged),
        "inconsistent": sum(not p.consistent for p in judged) / n if n else None,
        "first_place": get_mean([float(np.mean(pair)) for pair in named]),
    }
