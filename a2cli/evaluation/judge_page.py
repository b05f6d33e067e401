"""What a reader must know of a judge before its marks are believed: how much it answered, and what moved it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from a2cli.pages.page import build_table, build_tiles
from a2cli.pages.plots import escape_text, show_number

TOLD = ("model", "api", "answered", "from_cache", "asked", "calls", "retries", "cost", "failed")
TABLED = ("coverage", "expected", "position_bias", "compared")


def build_judge(judge: Mapping[str, Any]) -> str:
    """Tiles, coverage and the order's effect by metric, methods side by side, the rest of its report folded."""
    failed = judge.get("failed") or {}
    cost, calls = judge.get("cost"), judge.get("calls")
    answered = [judge.get(name) or 0 for name in ("answered", "from_cache")]
    reasons = ", ".join(f"{name} {count}" for name, count in failed.items())
    tiles = (
        ("Model", str(judge.get("model", "–")), str(judge.get("api", ""))),
        (
            "Answered",
            show_number(sum(answered), 9),
            f"of {judge.get('asked', '–')} asked, {answered[1]} kept from before",
        ),
        (
            "Calls",
            "–" if calls is None else show_number(calls, 9),
            f"{judge.get('retries', 0)} of them again",
        ),
        (
            "Cost",
            "–" if cost is None else show_number(cost, 4),
            "of this run" if cost is not None else "not known",
        ),
        ("Without an answer", show_number(sum(failed.values()), 9), reasons or "none"),
    )
    words = "Marks are a model's own. What it did not answer is missing, not zero."
    body = f'<p class="lead">{words}</p>{build_tiles(tiles)}{_build_metrics(judge)}{_build_compared(judge)}'
    rest = {name: value for name, value in judge.items() if name not in (*TOLD, *TABLED)}
    rows = [[name, value] for name, value in flatten(rest)]
    if not rows:
        return body
    table = build_table(["of the judge", "value"], rows, caption="Report")
    return f'{body}<details class="facts"><summary>{escape_text("The rest of its report")}</summary>{table}</details>'


def flatten(facts: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Every fact with the names above it: ("side_by_side / wins", "12")."""
    for name, value in facts.items():
        path = f"{above} / {name}" if above else str(name)
        if isinstance(value, Mapping):
            yield from flatten(value, path)
        elif isinstance(value, bool):
            yield path, "yes" if value else "no"
        elif isinstance(value, int | float):
            yield path, show_number(value, 4)
        elif isinstance(value, list | tuple):
            yield path, ", ".join(map(str, value))
        else:
            yield path, "–" if value is None else str(value)


def _build_metrics(judge: Mapping[str, Any]) -> str:
    coverage, moved = judge.get("coverage") or {}, judge.get("position_bias") or {}
    expected = judge.get("expected") or {}
    rows = []
    for name in dict.fromkeys([*coverage, *moved]):
        share, bias = coverage.get(name), moved.get(name) or {}
        mean, se = bias.get("mean"), bias.get("se")
        told = (
            "–" if mean is None else show_number(mean, 3) + ("" if se is None else f" ± {show_number(se, 2)}")
        )
        rows.append(
            [
                name,
                "–" if share is None else f"{100 * share:.1f} %",
                str(expected.get(name, "–")),
                told,
                str(bias.get("n", 0)),
            ]
        )
    if not rows:
        return ""
    head = ["metric", "has a mark", "of edits", "edit shown last minus first", "pairs"]
    return build_table(head, rows, caption="Coverage, and what the order of the pictures changes")


def _build_compared(judge: Mapping[str, Any]) -> str:
    rows = []
    for pair, by_protocol in (judge.get("compared") or {}).items():
        for protocol, found in by_protocol.items():
            counts = [str(found.get(name, "–")) for name in ("wins", "ties", "losses")]
            first = found.get("first_place") or {}
            moved, taken = found.get("inconsistent"), first.get("mean")
            shares = ["–" if share is None else f"{100 * share:.1f} %" for share in (moved, taken)]
            rows.append([pair, protocol, *counts, f"{found.get('judged')} of {found.get('asked')}", *shares])
    if not rows:
        return ""
    head = [
        "side by side",
        "masks",
        "wins",
        "ties",
        "losses",
        "judged",
        "other in other order",
        "first preferred",
    ]
    return build_table(head, rows, caption="Which edit is better, asked in both orders; a win holds in both")
