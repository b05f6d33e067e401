"""How many of each: lists of bars as HTML, whose figures stay text at any width, and histograms as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from a2cli.pages.plots import draw_label, escape_text, get_ticks, show_number, wrap_chart

LABELLED = 14  # bins of a histogram up to which each has its count written above

BAR_STYLE = """
.bars ul { list-style: none; margin: 0; padding: 0; } .bars figcaption { margin-bottom: 6px; }
.bars figcaption b { display: block; color: var(--ink); font-size: 13.5px; font-weight: 600; }
.bars.flat ul { display: grid; grid-template-columns: fit-content(46%) minmax(60px, 1fr) auto auto; column-gap: 10px; }
.bars li { min-width: 0; } .bars.flat .bar { grid-column: 1 / -1; grid-template-columns: subgrid; }
.bars.flat details, .bars.flat li:has(> details) { grid-column: 1 / -1; }
.bar { display: grid; grid-template-columns: minmax(64px, 11em) 1fr 4.4em 4em; gap: 0 10px; align-items: center;
  padding: 3px 0; font-size: 14px; line-height: 1.35; overflow-wrap: anywhere; }
.bar > :nth-child(n+3) { text-align: right; overflow-wrap: normal; }
.bar > :last-child { color: var(--soft); white-space: nowrap; }
.track { height: 14px; border-radius: 3px; background: var(--tint); print-color-adjust: exact; }
.track i { display: block; height: 100%; min-width: 2px; border-radius: 3px; background: var(--s0); }
.bars details { margin: 0; }
.bars details ul { margin: 2px 0 10px 7px; padding-left: 10px; border-left: 1px solid var(--rule); }
.bars details .track i { opacity: .72; } .bars details > summary .track i { opacity: 1; }
.bars summary.bar { list-style: none; } .bars summary.bar::-webkit-details-marker { display: none; }
.bars summary.bar > :first-child::before { content: "▸ "; color: var(--soft); }
.bars [open] > summary.bar > :first-child::before { content: "▾ "; }
.bars summary.bar:hover { background: var(--tint); }
svg .c0 { fill: var(--s0); } svg .c1 { fill: var(--s1); } svg .c2 { fill: var(--s2); } svg .c3 { fill: var(--s3); }
svg .column:hover { opacity: .75; } .histogram { width: 100%; }
svg .base { stroke: var(--soft); }
@media (max-width: 640px) { .bar { grid-template-columns: minmax(64px, 7.2em) 1fr 3.1em 3.6em; gap: 0 8px; } }
"""


@dataclass(frozen=True)
class Bar:
    """One of a list: how many, and of what parts, if it is made of such."""

    name: str
    count: int
    parts: tuple[Bar, ...] = ()


def bar_list(
    bars: Sequence[Bar], *, title: str, words: str = "", unit: str = "records", most: int = 24
) -> str:
    """Bars under each other in the order given, each with its count and its share of all: an HTML `<figure>`.

    A bar with parts unfolds. Beyond the first `most` they are folded. `words` say what is counted.
    """
    whole = sum(bar.count for bar in bars)
    longest = max((bar.count for bar in bars), default=0)
    lines = [_build_bar(bar, longest, whole) for bar in bars[:most]]
    if rest := bars[most:]:
        folded = "".join(_build_bar(bar, longest, whole) for bar in rest)
        counted = show_number(sum(bar.count for bar in rest), 9)
        lines.append(
            f"<li><details><summary>{len(rest)} more, {counted} {unit}</summary><ul>{folded}</ul></details></li>"
        )
    body = f"<ul>{''.join(lines)}</ul>" if bars else "<p>None.</p>"
    kind = "bars" if any(bar.parts for bar in bars) else "bars flat"
    head = f"<b>{escape_text(title)}</b>{escape_text(words)}"
    return f'<figure class="{kind}"><figcaption>{head}</figcaption>{body}</figure>'


def show_share(count: int, total: int) -> str:
    """A share of a whole in per cent without the sign, to a tenth: 12.5, 20, <0.1, and never 100 of less than all."""
    if not count or not total:
        return "0"
    tenths = round(1000 * count / total)
    if count < total:
        tenths = min(tenths, 999)
    return f"{tenths / 10:g}" if tenths else "<0.1"


def histogram(
    edges: Sequence[float],
    counts: Mapping[str, Sequence[int]],
    *,
    title: str,
    x_label: str,
    size: tuple[int, int] = (420, 230),
) -> str:
    """Draw how many values lie from edge to edge, by the name of what was counted, as an `<svg>` of `size` px.

    counts: one for each of the edges, which rise; `counts[i]` lie in [edges[i], edges[i + 1]), the last from the last
    edge on. All bins are drawn equally wide, empty ones at both ends left out; each tells its range and count under
    the pointer. At most `COLOURS` names.
    """
    table = np.array(list(counts.values()), int).reshape(len(counts), len(edges))
    used = np.flatnonzero(table.any(axis=0))
    if not used.size:
        return wrap_chart(size, title, "No values.", [draw_label("", 8, 48, "no values")], "histogram")
    first, table = int(used[0]), table[:, used[0] : used[-1] + 1]
    ranges = [_name_range(edges, first + i) for i in range(table.shape[1])]
    left, right, top, bottom = 46.0, size[0] - 10.0, 56.0, size[1] - 38.0
    step = (right - left) / table.shape[1]
    parts = _draw_levels(int(table.max()), (left, right, top, bottom))
    for (k, i), count in np.ndenumerate(table):
        if count:
            width = (0.86 * step) / len(counts)
            x = left + (i + 0.07) * step + k * width
            words = f"{ranges[i]}: {list(counts)[k]} {show_number(int(count), 9)}"
            parts.append(_draw_column(x, width, bottom, count / table.max() * (bottom - top), k, words))
            if table.size <= LABELLED:
                y = bottom - count / table.max() * (bottom - top) - 4
                parts.append(draw_label("middle", x + width / 2, y, show_number(int(count), 5)))
    parts.append(f'<path class="base" d="M{left} {bottom}H{right}"/>')
    places = [(left + i * step, edge) for i, edge in enumerate(edges[first : first + table.shape[1] + 1])]
    parts += _draw_edges(places, bottom)
    parts.append(draw_label("middle", (left + right) / 2, bottom + 34, x_label))
    words = " ".join(
        f"{name}: "
        + ", ".join(f"{span}: {show_number(int(n), 9)}" for span, n in zip(ranges, row, strict=True) if n)
        + "."
        for name, row in zip(counts, table, strict=True)
    )
    return wrap_chart(
        size, title, f"Counts by {x_label}. {words}", parts + _draw_names(list(counts)), "histogram"
    )


def _build_bar(bar: Bar, longest: int, total: int) -> str:
    width = 100 * bar.count / longest if longest else 0
    share = show_share(bar.count, total)
    cells = (
        f'<span>{escape_text(bar.name)}</span><span class="track" aria-hidden="true"><i style="width:{width:.2f}%"></i>'
        f"</span><span>{show_number(bar.count, 9)}</span><span>{share} %</span>"
    )
    if not bar.parts:
        return f'<li class="bar">{cells}</li>'
    inner = max(part.count for part in bar.parts)
    parts = "".join(_build_bar(part, inner, total) for part in bar.parts)
    return f'<li><details><summary class="bar">{cells}</summary><ul>{parts}</ul></details></li>'


def _draw_levels(highest: int, edges: tuple[float, float, float, float]) -> list[str]:
    left, right, top, bottom = edges
    parts = []
    for level in get_ticks(0, highest, 4, whole=True):
        y = bottom - level / highest * (bottom - top)
        parts.append(f'<path class="grid" d="M{left} {y:.1f}H{right}"/>')
        parts.append(draw_label("end", left - 7, y + 4, show_number(level, 5)))
    return parts


def _draw_column(x: float, width: float, bottom: float, height: float, colour: int, words: str) -> str:
    height = max(1.5, height)
    return (
        f'<rect class="column c{colour}" x="{x:.1f}" y="{bottom - height:.1f}" width="{width:.1f}"'
        f' height="{height:.1f}"><title>{escape_text(words)}</title></rect>'
    )


def _draw_edges(places: Sequence[tuple[float, float]], bottom: float) -> list[str]:
    """Values below the edges, or below every second, third ... where there is no room for all."""
    texts = [show_number(value, 4) for _, value in places]
    room = 7.2 * max(map(len, texts)) + 6
    every = math.ceil(room * (len(places) - 1) / (places[-1][0] - places[0][0])) if len(places) > 1 else 1
    parts = []
    for (x, _), text in list(zip(places, texts, strict=True))[::every]:
        parts.append(f'<path class="base" d="M{x:.1f} {bottom}v5"/>')
        parts.append(draw_label("middle", x, bottom + 18, text))
    return parts


def _draw_names(names: Sequence[str]) -> list[str]:
    """Which colour is which, below the title; nothing for one name."""
    parts, x = [], 4.0
    for k, name in enumerate(names if len(names) > 1 else ()):
        parts.append(f'<rect class="column c{k}" x="{x:.0f}" y="24" width="11" height="11"/>')
        parts.append(draw_label("", x + 16, 34, name))
        x += 34 + 6.8 * len(name)
    return parts


def _name_range(edges: Sequence[float], i: int) -> str:
    if i + 1 == len(edges):
        return f"{show_number(edges[i], 4)} or more"
    return f"{show_number(edges[i], 4)} to {show_number(edges[i + 1], 4)}"
