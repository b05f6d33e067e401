"""The 'did you mean' of every message about an unknown word."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def get_suggestion(word: str, choices: Iterable[str]) -> str:
    """A hint naming the closest choice, else all of them; '' when there are none."""
    known = sorted(set(choices))
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(known)}" if known else ""
