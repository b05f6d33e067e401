"""The charts of a report, a panel for each value: over the protocols, and by category under each of them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from a2cli.evaluation.report.markdown import FINE, FOLLOWS, SWEEP, choose_headline, mark
from a2cli.evaluation.results import Part, Results, Row, Score
from a2cli.evaluation.scoring.stats import get_quantile
from a2cli.metrics.table import find_metric
from a2cli.pages.estimates import (
    ESTIMATE_STYLE,
    SPAN,
    Estimate,
    Line,
    Place,
    bar_groups,
    draw_key,
    get_kinds,
    slope_chart,
)
from a2cli.pages.plots import escape_text

MOST_BYTES = 800_000  # of bars by category; panels beyond that have none
BARRED = 3  # protocols that have bars by category
MOST_CATEGORIES = 16  # those of most edits; a data set may name hundreds
TOLD = "95 % intervals (Student's t over records, or groups of records that belong together)."
UNTOLD = "1.96 standard errors either way: how many records stand alone is not known here."
_CHANGE = re.compile(r"(dilate|erode)-(\d+(?:\.\d+)?)(pct)?")

CHART_STYLE = (
    ESTIMATE_STYLE
    + """
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(400px, 100%), 1fr)); gap: 22px 36px;
  align-items: start; }
.pick { display: flex; flex-wrap: wrap; gap: 10px 24px; align-items: end; margin: 0 0 16px; }
.pick .key { margin: 0 0 6px; } .pick select { min-width: 14em; }
.panel > p { margin: 0 0 14px; color: var(--soft); font-size: 14px; max-width: 76ch; }
.panel h3 { margin: 0 0 2px; }
"""
)

CHART_SCRIPT = r"""
(() => {
  const pick = document.getElementById("metric");
  if (!pick) return;
  const panels = [...document.querySelectorAll(".panel")];
  const show = () => { for (const panel of panels) panel.hidden = panel.dataset.key !== pick.value; };
  pick.addEventListener("input", show);
  addEventListener("pageshow", show);
  pick.closest(".field").hidden = false;
  show();
})();
"""


@dataclass(frozen=True)
class Look:
    """How the methods are drawn, and what was measured of each under each protocol: scores, and rows with values."""

    kinds: dict[str, str]
    parts: dict[tuple[str, str], Part]
    rows: Mapping[tuple[str, str], Sequence[Row]]


def get_look(results: Results, rows: Sequence[Row]) -> Look:
    """Colours of the methods: baselines in greys. One method keeps its colour through the page."""
    kinds = get_kinds([bool(facts.get("baseline")) for facts in results.methods.values()])
    measured: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if not row.error:
            measured.setdefault((row.method, row.protocol), []).append(row)
    return Look(
        dict(zip(results.methods, kinds, strict=True)),
        {(part.method, part.protocol): part for part in results.parts},
        measured,
    )


def build_panels(results: Results, look: Look, keys: Sequence[str]) -> str:
    """The charts of every value, of which the page's script shows one at a time; "" where nothing can be drawn."""
    categories = _list_categories(results)
    if len(results.protocols) < 2 and len(categories) < 2:
        return ""
    panels, size = "", 0
    first = [*choose_headline(keys), *keys]
    full = set()
    for key in dict.fromkeys(first):  # the headline values have their bars before the others
        bars = _build_bars(results, look, key, categories)
        size += len(bars)
        if size > MOST_BYTES:
            break
        full.add(key)
    for key in keys:
        panels += _build_panel(results, look, key, categories if key in full else [], key in full)
    start = choose_headline(keys, 1)
    options = "".join(
        f'<option value="{escape_text(key)}"{" selected" if [key] == start else ""}>{escape_text(mark(key))}</option>'
        for key in keys
    )
    names = draw_key(_get_lines(results, look, lambda method: []))
    return (
        '<div class="pick"><div class="field" hidden><label for="metric">Measured by</label>'
        f'<select id="metric" autocomplete="off">{options}</select></div>{names}</div>{panels}'
    )


def place_protocols(names: Sequence[str]) -> list[Place]:
    """Where protocols stand: one after the other, or, of a sweep, by how much the mask was grown or eaten away.

    What is neither (a shift, a box) then stands to the right, with no line leading there.
    """
    steps = {name: _get_step(name) for name in names}
    known = {name: step for name, step in steps.items() if step is not None}
    if len(names) < SWEEP or len(known) < SWEEP - 1:
        return [Place(name, float(i)) for i, name in enumerate(names)]
    ranked = sorted(known, key=lambda name: known[name])
    gap = (known[ranked[-1]] - known[ranked[0]]) / len(ranked)
    places = [Place(name, known[name]) for name in ranked]
    rest = [name for name in names if name not in known]
    return places + [
        Place(name, known[ranked[-1]] + (i + 1) * gap, joined=False) for i, name in enumerate(rest)
    ]


def get_estimate(score: Score | None, rows: Sequence[Row], key: str) -> Estimate | None:
    """A score as a chart draws it, with its 95 % interval; None where there is none.

    The interval is Student's, as that of differences: of the groups, and items of no group, among `rows` that have a
    value; without rows 1.96 standard errors.
    """
    if score is None or score.mean is None or not math.isfinite(score.mean):
        return None
    if score.se is None or not math.isfinite(score.se):
        return Estimate(score.mean)
    apart = len({row.group or (row.id,) for row in rows if key in row.values})
    return Estimate(score.mean, score.se, get_quantile(apart - 1) if apart > 1 else SPAN)


def _build_panel(results: Results, look: Look, key: str, categories: Sequence[str], full: bool) -> str:
    info = find_metric(key)
    charts = _build_slope(results, look, key) if len(results.protocols) > 1 else ""
    charts += _build_bars(results, look, key, categories)
    better = "Higher is better." if info.higher_is_better else "Lower is better."
    words = f"{info.definition[0].upper()}{info.definition[1:]}. {better}"
    if not info.of_set:
        words += f" Whiskers: {TOLD if look.rows else UNTOLD}"
    if "@" in key and len(results.protocols) > 1:
        words += f" {FOLLOWS}"
    if not full:
        words += " Bars by category are left out: the page would be too large."
    return (
        f'<div class="panel" data-key="{escape_text(key)}"><h3>{escape_text(mark(key))}</h3>'
        f'<p>{escape_text(words)}</p><div class="charts">{charts}</div></div>\n'
    )


def _build_slope(results: Results, look: Look, key: str) -> str:
    places = place_protocols(list(results.protocols))

    def get_values(method: str) -> list[Estimate | None]:
        parts = [
            (look.parts.get(name), look.rows.get(name, ())) for name in ((method, p.name) for p in places)
        ]
        return [get_estimate(part.scores.get(key), rows, key) if part else None for part, rows in parts]

    title = "From mask to mask" if places[0].name == FINE else "By strength of the change"
    return slope_chart(places, _get_lines(results, look, get_values), title=title)


def _build_bars(results: Results, look: Look, key: str, categories: Sequence[str]) -> str:
    """A chart for each of the first protocols; none for one category and for values of all edits together."""
    if len(categories) < 2 or find_metric(key).of_set:
        return ""
    drawn: dict[str, list[Line]] = {}
    for protocol in list(results.protocols)[:BARRED]:

        def get_values(method: str, protocol: str = protocol) -> list[Estimate | None]:
            part = look.parts.get((method, protocol))
            found = part.per_category if part else {}
            own: dict[str, list[Row]] = {name: [] for name in categories}
            for row in look.rows.get((method, protocol), ()):
                own.get(row.category, []).append(row)
            return [get_estimate(found.get(name, {}).get(key), own[name], key) for name in categories]

        drawn[protocol] = _get_lines(results, look, get_values)
    known = [one for lines in drawn.values() for line in lines for one in line.values if one]
    span = (min(one.low for one in known), max(one.high for one in known)) if known else None
    names = [name or "no category" for name in categories]
    return "".join(
        bar_groups(names, lines, title=f"By category, {protocol}", span=span)
        for protocol, lines in drawn.items()
    )


def _get_lines(
    results: Results, look: Look, get_values: Callable[[str], list[Estimate | None]]
) -> list[Line]:
    return [
        Line(method, get_values(method), look.kinds[method], mark=i)
        for i, method in enumerate(results.methods)
    ]


def _list_categories(results: Results) -> list[str]:
    """Of the most edits first if there are too many, then by name."""
    counts: dict[str, int] = {}
    for part in results.parts:
        for name, scores in part.per_category.items():
            counts[name] = max(counts.get(name, 0), *(score.n for score in scores.values()), 0)
    most = sorted(counts, key=lambda name: (-counts[name], name))[:MOST_CATEGORIES]
    return sorted(most)


def _get_step(protocol: str) -> float | None:
    if protocol == FINE:
        return 0.0
    found = _CHANGE.fullmatch(protocol)
    if not found:
        return None
    return float(found[2]) * (-1 if found[1] == "erode" else 1)
