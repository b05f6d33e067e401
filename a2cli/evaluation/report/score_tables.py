"""The tables of a report: every score with its error and the best of each column, and what looser masks cost."""

from __future__ import annotations

import math
from collections.abc import Sequence

from a2cli.evaluation.report.charts import Look
from a2cli.evaluation.report.markdown import FOLLOWS, choose_headline
from a2cli.evaluation.results import Part, Results, Row, Score
from a2cli.evaluation.scoring.compare import get_verdict
from a2cli.evaluation.scoring.stats import get_difference
from a2cli.metrics.table import MetricInfo, find_metric
from a2cli.pages.plots import escape_text

COSTS = 8  # values whose change from mask to mask is told
COLUMNS = 12  # of a table, at most

TABLE_STYLE = """
.scores { width: 100%; } .scores th, .scores td { padding: 3px 7px; vertical-align: baseline; }
.scores td { white-space: nowrap; }
.scores .over > * { padding-bottom: 0; border: 0; } .scores .over span { display: block; padding: 0 0 2px;
  border-bottom: 2px solid var(--rule); color: var(--soft); font-weight: 400; text-align: center; }
.scores thead th { vertical-align: bottom; color: var(--ink); font-weight: 600; }
.scores thead small { display: block; color: var(--soft); font-weight: 400; }
.scores th:first-child { position: sticky; left: 0; padding-left: 0; background: var(--ground); }
.scores tbody th { color: var(--ink); white-space: nowrap; } .scores tbody i { font-style: normal; color: var(--c); }
.scores .under th { padding: 14px 0 4px; color: var(--ink); font-size: 14px; font-weight: 600; }
.scores .under span { margin-left: 8px; color: var(--soft); font-weight: 400; }
.scores td small { display: block; color: var(--soft); font-size: 11.5px; line-height: 1.25; }
.scores .best { background: var(--tint); font-weight: 700; print-color-adjust: exact; }
.scores td small { font-weight: 400; } .scores tbody tr:last-child > * { border-bottom: 0; }
.scores .best::before { content: "● "; color: var(--s0); font-size: 9px; vertical-align: 2px; }
.scores .none { color: var(--soft); font-style: italic; } .scores .worse { color: var(--fall); font-weight: 600; }
.scores .better { color: var(--rise); font-weight: 600; }
:root { --rise: #00693f; --fall: #a8261c; }
@media print { .wide { overflow: visible; } .scores, .scores th { font-size: 8px; }
  .scores th, .scores td { padding: 2px 3px; } .scores thead small, .scores td small { font-size: 6.5px; }
  .scores .under th { padding-top: 8px; font-size: 10px; } .scores .best::before { font-size: 5px; } }
@media screen and (prefers-color-scheme: dark) { :root { --rise: #5fd6a0; --fall: #ff9a8d; } }
"""
GROUPS = (
    ("image", "Whole picture"),
    ("crop", "The mask's bounding box"),
    ("mask", "Masked pixels"),
    ("", "Subject, photo and border"),
    ("judge", "Judged"),
)


def build_scores(results: Results, look: Look, keys: Sequence[str]) -> str:
    """Methods under protocols down, values across by the part of the picture they are of, in few tables."""
    tables: list[list[tuple[str, list[str]]]] = [[]]
    for name, title in GROUPS:
        some = [key for key in keys if _get_group(key) == name]
        for first in range(0, len(some), COLUMNS):
            piece = title, some[first : first + COLUMNS]
            if sum(len(own) for _, own in tables[-1]) + len(piece[1]) > COLUMNS:
                tables.append([])
            tables[-1].append(piece)
    return "".join(_build_table(results, look, pieces) for pieces in tables if pieces)


def build_costs(results: Results, look: Look, keys: Sequence[str]) -> str:
    """What every protocol changes against the first, of the same records; "" for one protocol."""
    first, *others = results.protocols
    own = [key for key in keys if not find_metric(key).of_set]
    shown = choose_headline(own, COSTS)
    if not others or not shown:
        return ""
    places = {key: get_places([p.scores[key] for p in results.parts if key in p.scores]) for key in shown}
    body = ""
    for protocol in others:
        body += _build_under(f"{protocol} minus {first}", "", len(shown))
        for method in results.methods:
            pair = look.rows.get((method, first), ()), look.rows.get((method, protocol), ())
            cells = "".join(_build_change(pair, key, places[key]) for key in shown)
            body += f"<tr>{_name_method(method, look)}{cells}</tr>"
    caption = "Mean change of the same records; coloured where its 95 % interval leaves out zero"
    words = f'<p class="lead">{escape_text(FOLLOWS)}</p>' if any("@" in key for key in shown) else ""
    return words + _wrap(caption, [("", shown)], body)


def format_mean(mean: float, places: int) -> str:
    """A mean with so many decimals, a true minus sign, none before zero."""
    return f"{round(mean, places) + 0.0:,.{places}f}".replace("-", "−")


def get_places(scores: Sequence[Score]) -> int:
    """Decimals for a column: four digits of its largest mean, six decimals at most."""
    largest = max((abs(score.mean) for score in scores if score.mean is not None), default=0.0)
    if not largest or not math.isfinite(largest):
        return 0
    return min(6, max(0, 3 - math.floor(math.log10(largest))))


def _build_table(results: Results, look: Look, pieces: Sequence[tuple[str, list[str]]]) -> str:
    keys = [key for _, some in pieces for key in some]
    places = {key: get_places([p.scores[key] for p in results.parts if key in p.scores]) for key in keys}
    body = ""
    for protocol in results.protocols:
        parts = {method: look.parts.get((method, protocol)) for method in results.methods}
        body += _build_under(protocol, _count(list(parts.values())), len(keys))
        best = {key: _find_best(list(parts.values()), key, places[key]) for key in keys}
        for method, part in parts.items():
            cells = "".join(
                _build_cell(part.scores.get(key) if part else None, places[key], best[key]) for key in keys
            )
            body += f"<tr>{_name_method(method, look)}{cells}</tr>"
    return _wrap(
        "Means and standard errors"
        + (", the best of each column marked" if len(results.methods) > 1 else ""),
        pieces,
        body,
    )


def _wrap(caption: str, pieces: Sequence[tuple[str, Sequence[str]]], body: str) -> str:
    name = escape_text(caption)
    above = "".join(
        f'<th scope="colgroup" colspan="{len(keys)}"><span>{escape_text(title)}</span></th>'
        for title, keys in pieces
    )
    heads = "".join(_build_head(find_metric(key), key) for _, keys in pieces for key in keys)
    over = f'<tr class="over"><td></td>{above}</tr>' if any(title for title, _ in pieces) else ""
    return (
        f'<div class="wide" role="region" aria-label="{name}" tabindex="0"><table class="scores">'
        f'<caption>{name}</caption><thead>{over}<tr><th scope="col">method</th>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>\n"
    )


def _build_head(info: MetricInfo, key: str) -> str:
    arrow, words = ("↑", "higher is better") if info.higher_is_better else ("↓", "lower is better")
    return (
        f'<th scope="col" title="{escape_text(f"{info.definition}; {words}")}">{_break(key)}'
        f'&nbsp;<span aria-label="{words}">{arrow}</span><small>{escape_text(info.unit)}</small></th>'
    )


def _break(key: str) -> str:
    """A value's name that may go over two lines."""
    return escape_text(key).replace("_", "_<wbr>").replace("@", "<wbr>@")


def _build_under(name: str, remark: str, columns: int) -> str:
    return (
        f'<tr class="under"><th scope="rowgroup" colspan="{columns + 1}">{escape_text(name)}'
        f"<span>{escape_text(remark)}</span></th></tr>"
    )


def _name_method(method: str, look: Look) -> str:
    kind = look.kinds[method]
    return f'<th scope="row"><i class="{kind}" aria-hidden="true">■</i> {escape_text(method)}</th>'


def _build_cell(score: Score | None, places: int, best: str) -> str:
    if score is None or score.mean is None:
        return '<td class="none">missing</td>'
    mean = format_mean(score.mean, places)
    error = "" if score.se is None else f"<small>± {format_mean(score.se, places)}</small>"
    return f'<td title="n {score.n}"{" class=best" if mean == best else ""}>{mean}{error}</td>'


def _build_change(pair: tuple[Sequence[Row], Sequence[Row]], key: str, places: int) -> str:
    before, after = ({row.id: row.values[key] for row in rows if key in row.values} for rows in pair)
    found = get_difference(before, after, {row.id: row.group for row in pair[0]})
    if found is None:
        return '<td class="none">missing</td>'
    verdict = get_verdict(key, found.low, found.high)
    error = "" if found.se is None else f"<small>± {format_mean(found.se, places)}</small>"
    mean = format_mean(found.mean, places)
    sign = "+" if found.mean > 0 and mean != format_mean(0.0, places) else ""
    return f'<td class="{verdict}" title="n {found.n}, {verdict}">{sign}{mean}{error}</td>'


def _find_best(parts: Sequence[Part | None], key: str, places: int) -> str:
    """The best mean of a column as it is shown; "" where fewer than two methods have one or all are equal."""
    found = [part.scores[key].mean for part in parts if part and key in part.scores]
    means = [mean for mean in found if mean is not None]
    if len({format_mean(mean, places) for mean in means}) < 2:
        return ""
    return format_mean((max if find_metric(key).higher_is_better else min)(means), places)


def _count(parts: Sequence[Part | None]) -> str:
    """How many edits were measured, and of how many where some are missing."""
    counts = dict.fromkeys(
        f"n {part.n}" if part.n == part.expected else f"n {part.n} of {part.expected}"
        for part in parts
        if part is not None
    )
    return ", ".join(counts)


def _get_group(key: str) -> str:
    info = find_metric(key)
    if info.family == "judge":
        return "judge"
    return (key.partition("@")[2] or "image") if info.regions else ""
