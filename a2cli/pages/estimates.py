"""Means and their standard errors as inline SVG: bars by group, lines from one setting to the next.

Whiskers span 1.96 standard errors either way, or as many as an estimate says. Series are told apart by colour, mark and
order, baselines by greys; every figure is there as text, under the pointer and in `<desc>`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from a2cli.pages.plots import draw_label, escape_text, get_ticks, show_number, wrap_chart

SPAN = 1.96  # standard errors to either side: 95 % where many items stand behind them
STRONG, FAINT = 8, 5  # colours of series and of muted ones, then they come again
MARKS = (
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0",
    "M-3.6-3.6h7.2v7.2h-7.2z",
    "M0-4.8L4.6 3.6H-4.6z",
    "M0-5L5 0L0 5L-5 0z",
)
LETTER = 7.1  # px of a letter of 12 px, about

ESTIMATE_STYLE = """
:root { --e0: #0072b2; --e1: #c84a00; --e2: #00825a; --e3: #a3478a; --e4: #8a6d00; --e5: #5a3fc0; --e6: #8c1d2c;
  --e7: #007c8a; --m0: #5b6670; --m1: #8c97a1; --m2: #abb4bc; --m3: #747f89; --m4: #c3cad0; }
@media screen and (prefers-color-scheme: dark) { :root { --e0: #56b4e9; --e1: #ff9d5c; --e2: #3ecf9b; --e3: #e795cc;
  --e4: #e3c34a; --e5: #b3a2ff; --e6: #ff8b95; --e7: #58d3e0; --m0: #b4bec8; --m1: #8b959f; --m2: #69737d;
  --m3: #9fa9b3; --m4: #535c65; } }
.e0 { --c: var(--e0); } .e1 { --c: var(--e1); } .e2 { --c: var(--e2); } .e3 { --c: var(--e3); } .e4 { --c: var(--e4); }
.e5 { --c: var(--e5); } .e6 { --c: var(--e6); } .e7 { --c: var(--e7); } .m0 { --c: var(--m0); } .m1 { --c: var(--m1); }
.m2 { --c: var(--m2); } .m3 { --c: var(--m3); } .m4 { --c: var(--m4); }
svg .fill { fill: var(--c); } svg .course { fill: none; stroke: var(--c); stroke-width: 2; stroke-linejoin: round; }
svg .leader { fill: none; stroke: var(--rule); } svg .whisker { fill: none; stroke: var(--c); stroke-width: 1.4; }
svg .on { stroke: var(--ink); stroke-opacity: .75; stroke-width: 1.1; } svg .mark { stroke: var(--ground); }
svg .base { stroke: var(--soft); } svg .small { font-size: 10.5px; } svg .tag { fill: var(--ink); }
.estimates { width: 100%; max-width: 580px; }
.key { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 0 0 14px; padding: 0; list-style: none; font-size: 14px; }
.key li { display: flex; gap: 7px; align-items: center; } .key svg { flex: none; }
"""


@dataclass(frozen=True)
class Estimate:
    """A mean and its standard error, None where there is none; `reach` is how many of these a whisker spans."""

    mean: float
    error: float | None = None
    reach: float = SPAN

    @property
    def low(self) -> float:
        return self.mean - self.reach * (self.error or 0.0)

    @property
    def high(self) -> float:
        return self.mean + self.reach * (self.error or 0.0)


@dataclass(frozen=True)
class Line:
    """One series: an estimate, or None, for every group or place; `kind` is its colour's class, `mark` its shape."""

    name: str
    values: Sequence[Estimate | None]
    kind: str = "e0"
    mark: int = 0


@dataclass(frozen=True)
class Place:
    """Where a setting stands on the x axis, and whether a line leads there from the one before."""

    name: str
    x: float
    joined: bool = True


def get_kinds(muted: Sequence[bool]) -> list[str]:
    """The colours' classes of series, of which some are muted."""
    kinds, counts = [], {False: 0, True: 0}
    for one in muted:
        kinds.append(f"m{counts[one] % FAINT}" if one else f"e{counts[one] % STRONG}")
        counts[one] += 1
    return kinds


def draw_key(lines: Sequence[Line]) -> str:
    """Which colour and mark is which series: an HTML list."""
    listed = "".join(
        f'<li class="{line.kind}"><svg viewBox="-9 -6 18 12" width="18" height="12" aria-hidden="true">'
        f'<path class="course" d="M-9 0H9"/>{_draw_mark(line, 0, 0)}</svg>{escape_text(line.name)}</li>'
        for line in lines
    )
    return f'<ul class="key">{listed}</ul>'


def bar_groups(
    groups: Sequence[str],
    lines: Sequence[Line],
    *,
    title: str,
    width: int = 440,
    span: tuple[float, float] | None = None,
) -> str:
    """Bars from zero, lying, a group for each name, in it a bar for each series: an `<svg>` `width` px wide.

    What has no estimate is left blank. Beside each bar stands its mean. `span` is what the axis must hold at least, so
    that charts beside each other can be compared.
    """
    known = [one for line in lines for one in line.values if one]
    if not known:
        return _draw_nothing(title, width)
    names = [_cut(name, 18) for name in groups]
    left = 10 + LETTER * max(map(len, names), default=0)
    ends = [0.0, *(span or ()), *(one.low for one in known), *(one.high for one in known)]
    scale = _Scale(min(ends), max(ends), left, width - 50)
    largest = max(map(abs, ends))
    decimals = min(6, max(0, 2 - math.floor(math.log10(largest)))) if largest else 0
    thick = 12.0 if len(lines) <= 4 else 9.5
    step, top = thick * len(lines) + 10, 40.0
    bottom = top + step * len(groups)
    parts = _draw_grid(scale, top - 4, bottom, 4)
    for k, line in enumerate(lines):
        bars, whiskers = "", ""
        for i, one in enumerate(line.values):
            if one is None:
                continue
            y = top + i * step + k * thick
            x, middle = scale.place(one.mean), y + (thick - 2) / 2
            bars += f"M{scale.place(0):.1f} {y:.1f}H{x:.1f}v{thick - 2:g}H{scale.place(0):.1f}z"
            if one.error:
                whiskers += f"M{scale.place(one.low):.1f} {middle:.1f}H{scale.place(one.high):.1f}"
            told = f"{one.mean:,.{decimals}f}".replace("-", "−")
            parts.append(draw_label("small", scale.place(max(one.high, 0)) + 4, middle + 3.8, told))
        parts.append(f'<g class="{line.kind}"><path class="fill" d="{bars}"/>')
        parts.append(f'<path class="whisker on" d="{whiskers}"/></g>')
    parts.append(f'<path class="base" d="M{scale.place(0):.1f} {top - 4}V{bottom:.1f}"/>')
    for i, name in enumerate(names):
        words = _tell(groups[i], [(line.name, line.values[i]) for line in lines])
        y = top + i * step
        parts.append(draw_label("end", left - 8, y + (step - 10) / 2 + 3, name))
        parts.append(
            f'<rect class="hit" x="0" y="{y - 5:.1f}" width="{width}" height="{step:.1f}">'
            f"<title>{escape_text(words)}</title></rect>"
        )
    told = " ".join(
        _tell(group, [(line.name, line.values[i]) for line in lines]) for i, group in enumerate(groups)
    )
    return wrap_chart((width, round(bottom + 6)), title, told, parts, "estimates")


def slope_chart(
    places: Sequence[Place], lines: Sequence[Line], *, title: str, x_label: str = "", width: int = 440
) -> str:
    """A line for each series from place to place, named at its end: an `<svg>` `width` px wide, 300 high.

    The values' axis need not hold zero: differences are what is looked at.
    """
    known = [one for line in lines for one in line.values if one]
    if not known or not places:
        return _draw_nothing(title, width)
    right = 18 + LETTER * max(len(_cut(line.name, 18)) for line in lines)
    across = _Scale(min(p.x for p in places), max(p.x for p in places), 74, width - right - 16)
    low, high = min(one.low for one in known), max(one.high for one in known)
    margin = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    tilted = _is_tight(places, across)
    up = _Scale(low - margin, high + margin, 232 if tilted else 252, 30)
    parts = _draw_levels(up, 50, width - right, 5)
    for place in places:
        x = across.place(place.x)
        parts.append(f'<path class="grid" d="M{x:.1f} {up.start}v5"/>')
        parts.append(_draw_place(place.name, x, up.start + 19, tilted))
    if x_label:
        parts.append(draw_label("middle", (across.start + across.end) / 2, 296, x_label))
    parts += _draw_courses(places, lines, across, up)
    parts += _draw_ends(places, lines, across, up, width - right)
    for i, place in enumerate(places):
        words = _tell(place.name, [(line.name, line.values[i]) for line in lines])
        half = max(8.0, (across.end - across.start) / (2 * max(1, len(places) - 1)))
        x = across.place(place.x)
        parts.append(
            f'<rect class="hit" x="{x - half:.1f}" y="{up.end}" width="{2 * half:.1f}"'
            f' height="{up.start - up.end}"><title>{escape_text(words)}</title></rect>'
        )
    told = " ".join(
        _tell(place.name, [(line.name, line.values[i]) for line in lines]) for i, place in enumerate(places)
    )
    return wrap_chart((width, 300), title, told, parts, "estimates")


@dataclass(frozen=True)
class _Scale:
    """Values from `low` to `high` on pixels from `start` to `end`, which may fall."""

    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        span = self.high - self.low
        if not span:
            return (self.start + self.end) / 2
        return self.start + (value - self.low) / span * (self.end - self.start)


def _draw_grid(scale: _Scale, top: float, bottom: float, most: int) -> list[str]:
    parts = []
    for value in get_ticks(scale.low, scale.high, most):
        x = scale.place(value)
        parts.append(f'<path class="grid" d="M{x:.1f} {top}V{bottom:.1f}"/>')
        parts.append(draw_label("middle small", x, top - 5, show_number(value, 4)))
    return parts


def _draw_levels(up: _Scale, left: float, right: float, most: int) -> list[str]:
    parts = []
    for value in get_ticks(up.low, up.high, most):
        y = up.place(value)
        parts.append(f'<path class="grid" d="M{left} {y:.1f}H{right:.1f}"/>')
        parts.append(draw_label("end", left - 6, y + 4, show_number(value, 4)))
    return parts


def _draw_courses(places: Sequence[Place], lines: Sequence[Line], across: _Scale, up: _Scale) -> list[str]:
    """Lines, whiskers, marks; series stand a little apart so that no whisker hides another."""
    spots = sorted(across.place(place.x) for place in places)
    room = 0.3 * min((b - a for a, b in pairwise(spots)), default=90.0)
    parts = []
    for k, line in reversed(list(enumerate(lines))):
        aside = (k - (len(lines) - 1) / 2) * min(5.0, room / len(lines))
        course, whiskers, marks = "", "", ""
        for i, (place, one) in enumerate(zip(places, line.values, strict=True)):
            if one is None:
                continue
            x, y = across.place(place.x) + aside, up.place(one.mean)
            led = place.joined and i > 0 and line.values[i - 1] is not None
            course += f"{'L' if led else 'M'}{x:.1f} {y:.1f}"
            if one.error:
                whiskers += f"M{x:.1f} {up.place(one.low):.1f}V{up.place(one.high):.1f}"
            marks += _draw_mark(line, x, y)
        parts.append(
            f'<g class="{line.kind}"><path class="course" d="{course}"/>'
            f'<path class="whisker" d="{whiskers}"/>{marks}</g>'
        )
    return parts


def _draw_ends(
    places: Sequence[Place], lines: Sequence[Line], across: _Scale, up: _Scale, x: float
) -> list[str]:
    """Each series' name beside its last value, pushed apart where they would lie over each other."""
    ends = []
    for line in lines:
        last = next((i for i in reversed(range(len(places))) if line.values[i] is not None), None)
        if last is not None and (one := line.values[last]) is not None:
            ends.append((up.place(one.mean), line))
    ends.sort(key=lambda end: end[0])
    heights = [y for y, _ in ends]
    for i in range(1, len(heights)):
        heights[i] = max(heights[i], heights[i - 1] + 14)
    over = heights[-1] - up.start if heights else 0.0
    if over > 0:
        heights[-1] -= over
        for i in reversed(range(len(heights) - 1)):
            heights[i] = min(heights[i], heights[i + 1] - 14)
    parts = []
    for (y, line), height in zip(ends, heights, strict=True):
        parts.append(f'<path class="leader" d="M{across.end + 16:.1f} {y:.1f}L{x + 2:.1f} {height:.1f}"/>')
        parts.append(f'<g class="{line.kind}">{_draw_mark(line, x + 8, height)}</g>')
        parts.append(draw_label("tag", x + 16, height + 4, _cut(line.name, 18)))
    return parts


def _draw_mark(line: Line, x: float, y: float) -> str:
    return f'<path class="fill mark" transform="translate({x:.1f} {y:.1f})" d="{MARKS[line.mark % len(MARKS)]}"/>'


def _draw_place(name: str, x: float, y: float, tilted: bool) -> str:
    if not tilted:
        return draw_label("middle", x, y, name)
    return (
        f'<text class="end" transform="translate({x + 5:.1f} {y - 4:.1f}) rotate(-32)">'
        f"{escape_text(_cut(name, 14))}</text>"
    )


def _is_tight(places: Sequence[Place], across: _Scale) -> bool:
    spots = sorted((across.place(place.x), LETTER * len(place.name) / 2) for place in places)
    return any(b[0] - a[0] < a[1] + b[1] + 6 for a, b in pairwise(spots))


def _draw_nothing(title: str, width: int) -> str:
    return wrap_chart((width, 60), title, "No values.", [draw_label("", 8, 44, "no values")], "estimates")


def _tell(name: str, values: Sequence[tuple[str, Estimate | None]]) -> str:
    parts = [
        f"{series} {show_number(one.mean, 4)}" + (f" ± {show_number(one.error, 2)}" if one.error else "")
        for series, one in values
        if one is not None and math.isfinite(one.mean)
    ]
    return f"{name}: {', '.join(parts) or 'no values'}."


def _cut(name: str, most: int) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"
