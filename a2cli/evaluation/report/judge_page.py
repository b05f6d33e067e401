"""What a reader must know of a judge before its marks are believed: how much it answered, and what moved it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from a2cli.pages.page import build_table, build_tiles
from a2cli.pages.plots import escape_text, show_number

TOLD = ("model", "api", "answered", "from_cache", "asked", "calls", "retries", "cost", "failed")
TABLED = ("coverage", "expected", "position_bias", "compared")
MARKS = ("metric", "has a mark", "of edits", "edit shown last minus first", "pairs")
SIDES = (
    *("side by side", "masks", "wins", "ties", "losses", "judged"),
    *("other in other order", "first preferred"),
)


def build_judge(judge: Mapping[str, Any]) -> str:
    """Tiles, coverage and the order's effect by metric, methods side by side, the rest of its report folded."""
    words = "Marks are a model's own. What it did not answer is missing, not zero."
    body = f'<p class="lead">{words}</p>{build_tiles(tell_judge(judge))}'
    if marks := list_marks(judge):
        body += build_table(MARKS, marks, caption="Coverage, and what the order of the pictures changes")
    if sides := list_sides(judge):
        caption = "Which edit is better, asked in both orders; a win holds in both"
        body += build_table(SIDES, sides, caption=caption)
    rest = {name: value for name, value in judge.items() if name not in (*TOLD, *TABLED)}
    rows = [[name, value] for name, value in flatten(rest)]
    if not rows:
        return body
    table = build_table(["of the judge", "value"], rows, caption="Report")
    return f'{body}<details class="facts"><summary>{escape_text("The rest of its report")}</summary>{table}</details>'


def tell_judge(judge: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    """Who judged, what was answered, called, paid and left unanswered: name, value and remark each."""
    failed = judge.get("failed") or {}
    cost, calls = judge.get("cost"), judge.get("calls")
    answered = [judge.get(name) or 0 for name in ("answered", "from_cache")]
    reasons = ", ".join(f"{name} {count}" for name, count in failed.items())
    kept = f"of {judge.get('asked', '–')} asked, {answered[1]} kept from before"
    price = "–" if cost is None else show_number(cost, 4)
    return (
        ("Model", str(judge.get("model", "–")), str(judge.get("api", ""))),
        ("Answered", show_number(sum(answered), 9), kept),
        (
            "Calls",
            "–" if calls is None else show_number(calls, 9),
            f"{judge.get('retries', 0)} of them again",
        ),
        ("Cost", price, "not known" if cost is None else "of this run"),
        ("Without an answer", show_number(sum(failed.values()), 9), reasons or "none"),
    )


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


def list_marks(judge: Mapping[str, Any]) -> list[list[str]]:
    """Rows under MARKS: of every metric its coverage and what the order of the pictures changed."""
    coverage, moved = judge.get("coverage") or {}, judge.get("position_bias") or {}
    expected = judge.get("expected") or {}
    rows = []
    for name in dict.fromkeys([*coverage, *moved]):
        bias = moved.get(name) or {}
        mean, se = bias.get("mean"), bias.get("se")
        told = "–"
        if mean is not None:
            told = show_number(mean, 3) + ("" if se is None else f" ± {show_number(se, 2)}")
        counts = _show_share(coverage.get(name)), str(expected.get(name, "–"))
        rows.append([name, *counts, told, str(bias.get("n", 0))])
    return rows


def list_sides(judge: Mapping[str, Any]) -> list[list[str]]:
    """Rows under SIDES: of every pair of methods which edit was preferred, and how much their order did."""
    rows = []
    for pair, by_protocol in (judge.get("compared") or {}).items():
        for protocol, found in by_protocol.items():
            counts = [str(found.get(name, "–")) for name in ("wins", "ties", "losses")]
            first = found.get("first_place") or {}
            shares = [_show_share(share) for share in (found.get("inconsistent"), first.get("mean"))]
            rows.append([pair, protocol, *counts, f"{found.get('judged')} of {found.get('asked')}", *shares])
    return rows


def _show_share(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"
