"""What failed, in words: how many of what kind, and some edits by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from a2cli.evaluation.results import Row
from a2cli.pages.page import build_table
from a2cli.pages.plots import escape_text, show_number

SHOWN = 6  # edits that are named at once
MOST = 20  # and in the table behind them

FAILED_STYLE = """
.failed { margin: 0 0 14px; padding: 0; list-style: none; max-width: 100ch; overflow-wrap: anywhere; }
.failed li { margin: 0 0 8px; padding-left: 12px; border-left: 3px solid var(--fall); }
.failed b { font-weight: 600; } .failed i { margin-left: 8px; color: var(--soft); font-style: normal; }
.failed span { display: block; color: var(--soft); font-size: 14px; }
"""

Words = tuple[str, str]
"""Of one, and of more."""
_REASONS: dict[str, Words] = {
    "edit: no edit": ("edit is not there", "edits are not there"),
    "find: no edit": ("edit is not there", "edits are not there"),
    "find: several edits": ("edit is there more than once", "edits are there more than once"),
    "find: an edit that must not be opened": ("edit must not be opened", "edits must not be opened"),
    "find: made otherwise": ("edit was made with other settings", "edits were made with other settings"),
    "edit: DataError": ("edit could not be read", "edits could not be read"),
    "mask: DataError": ("edit has no mask left", "edits have no mask left"),
    "read: DataError": (
        "edit belongs to a record that could not be read",
        "edits belong to records that could not be read",
    ),
}
_STAGES: dict[str, Words] = {
    "read": ("record could not be read", "records could not be read"),
    "load": ("record could not be edited", "records could not be edited"),
    "edit": ("edit could not be made", "edits could not be made"),
    "write": ("edit could not be written", "edits could not be written"),
    "measure": ("edit could not be measured", "edits could not be measured"),
}
_PLAIN = ("cannot be read", "cannot be used", "cannot be edited")  # reasons that say no more than the stage


def tell_failures(failures: Mapping[str, int]) -> list[str]:
    """Counts by "stage: reason", as results.json has them, as ["2 edits could not be read", "1 edit is not there"].

    The most frequent first; kinds that read alike are counted together.
    """
    counts: Counter[Words] = Counter()
    for kind, count in failures.items():
        if count:
            counts[_get_words(kind)] += count
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [f"{show_number(count, 9)} {words[count != 1]}" for words, count in ranked]


def choose_failed(rows: Sequence[Row], count: int) -> list[Row]:
    """The first `count` edits without values; methods and masks take turns."""
    turns: Counter[tuple[str, str]] = Counter()
    keyed = []
    for place, row in enumerate(rows):
        if row.error:
            keyed.append((turns[row.method, row.protocol], place, row))
            turns[row.method, row.protocol] += 1
    return [row for _, _, row in sorted(keyed, key=lambda item: item[:2])[:count]]


def build_failed(failures: Mapping[str, int], rows: Sequence[Row]) -> str:
    """How many failed, some by name, more of them folded: HTML; "" where nothing did."""
    failed = [row for row in rows if row.error]
    told = tell_failures(failures)
    if not told and not failed:
        return ""
    words = f"{'; '.join(told)}. " if told else ""
    words += "Means leave them out; failures.jsonl, where the results were written, lists them all."
    named = choose_failed(rows, MOST)
    listed = "".join(
        f"<li><b>{escape_text(row.id)}</b><i>{escape_text(f'{row.method} · {row.protocol}')}</i>"
        f"<span>{escape_text(row.error)}</span></li>"
        for row in named[:SHOWN]
    )
    body = f'<p class="lead">{escape_text(words)}</p>' + (
        f'<ul class="failed">{listed}</ul>' if listed else ""
    )
    if len(failed) <= SHOWN:
        return body
    table = [[row.id, row.method, row.protocol, row.error] for row in named[SHOWN:]]
    if more := len(failed) - len(named):
        table.append([f"and {show_number(more, 9)} more", "", "", "samples.jsonl lists them"])
    head = ["record", "method", "masks", "why"]
    summary = f"{show_number(len(failed) - SHOWN, 9)} more"
    return (
        f'{body}<details class="facts"><summary>{summary}</summary>'
        f"{build_table(head, table, caption='Edits without values')}</details>"
    )


def _get_words(kind: str) -> Words:
    """What a kind is called, of one and of more."""
    if kind in _REASONS:
        return _REASONS[kind]
    stage, _, reason = kind.partition(": ")
    if stage not in _STAGES:
        return kind, kind
    if not reason or reason in _PLAIN:
        return _STAGES[stage]
    more = f" by {reason}" if stage == "measure" else f" ({reason})"
    one, many = _STAGES[stage]
    return one + more, many + more
