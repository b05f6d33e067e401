"""Methods set side by side before a judge: whose edit of the same record is better."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from a2cli.evaluation.records.candidates import EditFile, Place, list_candidates
from a2cli.evaluation.records.cases import CaseEntry, CaseFailure
from a2cli.evaluation.records.protocols import Protocol
from a2cli.metrics.shots import Shot

if TYPE_CHECKING:
    from a2cli.evaluation.judge.opening import Judge

Show = Callable[[str, int, int], None]


def compare_methods(
    judge: Judge,
    against: str,
    methods: Sequence[str],
    entries: Sequence[CaseEntry],
    protocols: Sequence[Protocol],
    edits: Mapping[Place, EditFile | CaseFailure],
    *,
    batch_size: int = 16,
    show: Show | None = None,
) -> dict[str, dict[str, Any]]:
    """Each other method against `against`, under each protocol: wins, losses and ties of the records both edited.

    By "METHOD against METHOD" and protocol; a win is the first one's.
    """
    from a2cli.evaluation.judge.bias import summarise

    found: dict[str, dict[str, Any]] = {}
    rivals = [method for method in methods if method != against]
    total, done = len(rivals) * len(protocols) * len(entries), 0
    for method in rivals:
        name = f"{method} against {against}"
        for protocol in protocols:
            candidates = list_candidates(entries, [method, against], [protocol], edits)
            preferences = []
            while batch := list(islice(candidates, 2 * batch_size)):  # by turns the one's and the other's
                pairs = [(a.shot, b.shot) for a, b in zip(batch[::2], batch[1::2], strict=True)]
                both: list[tuple[Shot, Shot]] = [(a, b) for a, b in pairs if a is not None and b is not None]
                if both:
                    preferences += judge.compare([a for a, _ in both], [b for _, b in both])
                done += len(pairs)
                if show:
                    show("judging pairs", done, total)
            found.setdefault(name, {})[protocol.name] = summarise(preferences)
    return found
