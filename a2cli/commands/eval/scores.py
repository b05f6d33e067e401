"""The scores of an evaluation on stdout, and what is wrong with them on stderr."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from a2cli.commands.console import Console
from a2cli.commands.table import print_table
from a2cli.files import show_name

if TYPE_CHECKING:
    from a2cli.evaluation.results import Results, Row
    from a2cli.evaluation.scoring.outcome import Outcome

SHOWN = 3  # failures that are told in full


def print_scores(results: Results, measured: Sequence[Row] = ()) -> None:
    """On a terminal a table for each protocol, methods side by side; into a pipe one line a value.

    After them the differences to the method that the settings name, of `measured`.
    """
    from a2cli.evaluation.report.markdown import format_score, list_keys, mark, tell_against
    from a2cli.evaluation.scoring.against import list_against

    keys = list_keys(results)
    if not sys.stdout.isatty():
        rows: list[tuple[str, ...]] = [("protocol", "method", "metric", "mean", "se", "n")]
        for part in results.parts:
            for key, score in ((key, part.scores[key]) for key in keys if key in part.scores):
                numbers = ("" if x is None else f"{x:.8g}" for x in (score.mean, score.se))
                rows.append((part.protocol, part.method, key, *numbers, str(score.n)))
        for one in list_against(results, measured):
            found = one.difference
            numbers = ("" if x is None else f"{x:.8g}" for x in (found.mean, found.se))
            rows.append((one.protocol, f"{one.method} minus {one.other}", one.key, *numbers, str(found.n)))
        print_table("", rows)
        return
    against = list(list_against(results, measured))
    for protocol in results.protocols:
        parts = {part.method: part for part in results.parts if part.protocol == protocol}
        lines = [
            (mark(key), *(format_score(part.scores.get(key)) for part in parts.values())) for key in keys
        ]
        counts = ("n", *(f"{p.n}" if p.n == p.expected else f"{p.n} of {p.expected}" for p in parts.values()))
        print_table(protocol, [("metric", *parts), *lines, counts])
        own = [one for one in against if one.protocol == protocol]
        methods = dict.fromkeys(one.method for one in own)
        cells = {(one.key, one.method): tell_against(one) for one in own}
        told = [
            (mark(key), *(cells.get((key, method), "") for method in methods))
            for key in dict.fromkeys(one.key for one in own)
        ]
        if told:
            print_table(f"{protocol}, minus {own[0].other}", [("metric", *methods), *told])


def tell(outcome: Outcome, out: str | None, console: Console) -> None:
    """Say what is missing, what failed, what makes the gate doubtful, and where the files are."""
    from a2cli.evaluation.scoring.outcome import list_missing

    missing = outcome.results.missing if outcome.is_measured else {}  # else they are told in any case
    for line in list_missing({name: why for name, why in missing.items() if name not in outcome.lacking}):
        console.warn(line)
    for line in outcome.warned:
        console.warn(line)
    failures = outcome.failures
    for failure in failures[:SHOWN]:
        place = "/".join(filter(None, (failure.method, failure.protocol, failure.id)))
        where = f"{show_name(place)}: " if place else ""
        console.warn(f"{where}{show_name(failure.detail or failure.reason)}")
    if failures:
        where = f", all in {show_name(out)}/failures.jsonl" if out else ""
        console.warn(f"{len(failures)} failed{where}")
    if out:
        console.note(f"a2: results in {show_name(out)}")
