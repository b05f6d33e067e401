"""What asking a judge came to: answers, failures, calls, tokens, money."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

from a2cli.evaluation.judge.model import Words


class Tally:
    """Counts of one run, from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._details: dict[str, str] = {}

    def add(self, name: str) -> None:
        """Count one of: asked, answered, from_cache, calls, retries."""
        with self._lock:
            self._counts[name] += 1

    def add_words(self, words: Words) -> None:
        """Count the tokens of a call that was answered, if they were told."""
        with self._lock:
            if words.tokens is None:
                self._counts["untold"] += 1
            else:
                self._counts["tokens_in"] += words.tokens[0]
                self._counts["tokens_out"] += words.tokens[1]

    def fail(self, reason: str, detail: str) -> None:
        """Count an ask without an answer; the first detail of each reason is kept."""
        with self._lock:
            self._failed[reason] += 1
            self._details.setdefault(reason, detail)

    def report(self, prices: tuple[float, float] | None) -> dict[str, Any]:
        """The counts. `tokens_untold` calls did not say theirs, and then there is no `cost`."""
        with self._lock:
            counts = {
                name: self._counts[name]
                for name in (
                    "asked",
                    "answered",
                    "from_cache",
                    "calls",
                    "retries",
                    "tokens_in",
                    "tokens_out",
                )
            }
            untold = self._counts["untold"]
            cost = None
            if prices is not None and not untold:
                cost = (counts["tokens_in"] * prices[0] + counts["tokens_out"] * prices[1]) / 1e6
            failed = dict(sorted(self._failed.items()))
            return {
                **counts,
                "tokens_untold": untold,
                "cost": cost,
                "failed": failed,
                "details": {reason: self._details[reason] for reason in failed},
            }
