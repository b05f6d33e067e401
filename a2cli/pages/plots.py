"""Charts as inline SVG: lines over steps and heat maps, in the colours of `STYLE`; no script, no library.

Every chart says in `<title>` and `<desc>` what it shows. Lines are told apart by colours that stay apart for
colour-blind people, and by their dashes; heat is one hue of rising strength with its figure written into it.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from a2cli.files import show_name

MOST_POINTS = 600  # a series is drawn with
FEWEST_SMOOTHED = 30  # points; shorter series are drawn as they are, with dots
READINGS = 96  # columns of a chart that tell their values
COLOURS = 4  # then they come again
FIGURE_WIDTH = 30  # px a cell of a heat map must have to hold its figure
INVERSE_FROM = 0.735  # strength of heat from which a figure stands in the inverse ink

STYLE = """
:root { --ink: #14191f; --soft: #55606b; --rule: #d5dbe1; --ground: #fff; --tint: #eef2f6;
  --heat: #084a8c; --figure: #000; --inverse: #fff;
  --s0: #0072b2; --s1: #db4900; --s2: #4c000d; --s3: #9124ff; }
@media screen and (prefers-color-scheme: dark) {
  :root { --ink: #e8edf2; --soft: #a3aeb9; --rule: #343c45; --ground: #15191e; --tint: #1f252c;
    --heat: #4f9fd8; --figure: #fff; --inverse: #000;
    --s0: #56b4e9; --s1: #ffaa00; --s2: #f2ffb3; --s3: #d92662; } }
svg { display: block; max-width: 100%; height: auto; font: 12px system-ui, sans-serif;
  font-variant-numeric: tabular-nums; print-color-adjust: exact; }
svg text { fill: var(--soft); } svg .middle { text-anchor: middle; } svg .end { text-anchor: end; }
svg .name { fill: var(--ink); font-size: 13.5px; font-weight: 600; }
svg .value { fill: var(--ink); font-weight: 600; }
svg .figure { fill: var(--figure); pointer-events: none; }
svg .inverse { fill: var(--inverse); pointer-events: none; }
svg .grid { stroke: var(--rule); } svg .band { fill: var(--tint); }
svg .border { stroke: var(--soft); stroke-dasharray: 2 3; }
svg .line { fill: none; stroke-linejoin: round; stroke-linecap: round; stroke-width: 2; }
svg .s0 { stroke: var(--s0); } svg .s1 { stroke: var(--s1); stroke-dasharray: 7 5; }
svg .s2 { stroke: var(--s2); stroke-dasharray: 1 5; } svg .s3 { stroke: var(--s3); stroke-dasharray: 9 5 1 5; }
svg .raw { stroke-width: 1.1; stroke-dasharray: none; opacity: .4; }
svg .dots { stroke-width: 6; stroke-dasharray: none; }
svg .hit { fill: var(--ink); fill-opacity: 0; } svg .hit:hover { fill-opacity: .1; }
svg .heat { fill: var(--heat); stroke: var(--rule); stroke-width: .5; }
"""


@dataclass(frozen=True)
class Series:
    """One line: x rising, y of the same length; NaN in y leaves a gap."""

    name: str
    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Band:
    """A shaded span of the x axis."""

    start: float
    end: float
    label: str


def escape_text(value: object) -> str:
    """A value as text of HTML or XML, quotes and unprintable characters included."""
    return html.escape(show_name(str(value)))


def show_number(value: float, digits: int = 3) -> str:
    """A figure as people write it: 12,000, 0.0123, 5e-5; a dash for what is no number."""
    if not math.isfinite(value):
        return "–"
    text = f"{value:.{digits}g}"
    if 1000 <= abs(value) < 1e7:
        text = f"{value:,.0f}"
    elif value and not 1e-4 <= abs(value) < 1e7:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        text = f"{float(mantissa):g}e{int(exponent)}"
    return text.replace("-", "−", 1) if value < 0 else text


def show_percent(share: float) -> str:
    """A share in per cent without the sign; what is there but rounds to nothing is <1."""
    if not math.isfinite(share):
        return "–"
    return "<1" if 0 < share < 0.005 else f"{100 * share:.0f}"


def smooth(values: np.ndarray) -> np.ndarray:
    """Exponential moving average, bias-corrected, with a half-life of 1 % of the values (at least one).

    NaN stays NaN and does not count.
    """
    decay = 0.5 ** (1 / get_half_life(values.size))
    result = np.full(values.size, np.nan)
    total = weight = 0.0
    for i, value in enumerate(values.tolist()):
        if math.isfinite(value):
            total, weight = decay * total + (1 - decay) * value, decay * weight + (1 - decay)
            result[i] = total / weight
    return result


def get_half_life(count: int) -> float:
    """Of the moving average over so many values, in values."""
    return max(1.0, 0.01 * count)


def decimate(x: np.ndarray, y: np.ndarray, most: int = MOST_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """At most `most` (>= 8) of the points; both ends, every extreme and all gaps that can be seen are kept."""
    if x.size <= most:
        return x, y
    kept = {0, x.size - 1}
    for part in np.array_split(np.arange(x.size), (most - 2) // 3):
        finite = part[np.isfinite(y[part])]
        if finite.size:
            kept |= {int(finite[y[finite].argmin()]), int(finite[y[finite].argmax()])}
        if finite.size < part.size:
            kept.add(int(part[~np.isfinite(y[part])][0]))
    chosen = sorted(kept)
    return x[chosen], y[chosen]


def get_ticks(low: float, high: float, most: int, *, whole: bool = False) -> list[float]:
    """Round numbers in [low, high], `most` at most: multiples of 1, 2 or 5 times a power of ten."""
    raw = max((high - low) / most, 1e-300)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    if whole:
        step = max(1.0, step)
    return [i * step for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def get_log_ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers in [low, high] for logarithms: 1, 2 and 5 below two decades, then powers of ten, `most` at most."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    if high < 100 * low:
        return [factor * 10.0**k for k in powers for factor in (1, 2, 5) if low <= factor * 10.0**k <= high]
    inside = [10.0**k for k in powers if low <= 10.0**k <= high]
    return inside[:: math.ceil(len(inside) / most)]


@dataclass(frozen=True)
class _Frame:
    """The plot's edges in px and the values there; y may stand for logarithms."""

    left: float
    right: float
    top: float
    bottom: float
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    log: bool

    def place_x(self, x: np.ndarray) -> np.ndarray:
        low, high = self.x_range
        return self.left + (np.asarray(x, float) - low) / (high - low) * (self.right - self.left)

    def place_y(self, y: np.ndarray) -> np.ndarray:
        low, high = np.log10(self.y_range) if self.log else self.y_range
        values = np.log10(y) if self.log else np.asarray(y, float)
        return self.bottom - (values - low) / (high - low) * (self.bottom - self.top)


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str,
    x_end: float = 0,
    bands: Sequence[Band] = (),
    log: bool = False,
    smoothed: bool = True,
    size: tuple[int, int] = (960, 300),
) -> str:
    """Draw lines over steps, from 0 to the last one or `x_end`: an `<svg>` of `size` (width, height) px.

    log: a logarithmic axis where every value is positive and they span more than a decade. smoothed: the moving
    average is the strong line and the values a faint one (from `FEWEST_SMOOTHED` values on).
    """
    drawn = [line for line in series if np.isfinite(line.y).any()]
    if not drawn:
        return wrap_chart(size, title, "No values.", [draw_label("", 8, 48, "no values")], "line-chart")
    strong = [
        smooth(line.y) if smoothed and np.isfinite(line.y).sum() >= FEWEST_SMOOTHED else line.y
        for line in drawn
    ]
    frame = _fit_frame(drawn, x_end, log, size)
    parts = [*_draw_bands(frame, bands), *_draw_axes(frame, x_label)]
    for i, (line, values) in enumerate(zip(drawn, strong, strict=True)):
        if values is not line.y:
            parts.append(_draw_path(frame, line.x, line.y, f"line raw s{i % COLOURS}"))
        parts.append(_draw_path(frame, line.x, values, f"line s{i % COLOURS}"))
        if np.isfinite(line.y).sum() < FEWEST_SMOOTHED:
            parts.append(_draw_path(frame, line.x, line.y, f"line dots s{i % COLOURS}", dots=True))
    parts += _draw_legend(frame, drawn, strong, title)
    parts += _draw_readings(frame, drawn, strong, x_label)
    scale = ", logarithmic scale" if frame.log else ""
    words = f"Lines over {x_label}{scale}. " + " ".join(map(_describe, drawn, strong))
    return wrap_chart(size, title + (" (log scale)" if frame.log else ""), words, parts, "line-chart")


def heat_map(
    rows: Sequence[str],
    columns: Sequence[str],
    values: np.ndarray,
    *,
    title: str,
    x_label: str,
    cell: tuple[int, int] = (72, 28),
) -> str:
    """Draw shares in [0, 1], shape (rows, columns), as an `<svg>`: the stronger, the more; NaN stays blank.

    cell: width and height in px; from `FIGURE_WIDTH` on per cent are written into it. Hovering tells them always.
    """
    names = [name if len(name) <= 30 else name[:29] + "…" for name in rows]
    (width, height), top = cell, 52
    left = 14 + 7.1 * max(map(len, names), default=0)
    parts = [draw_label("", left, 32, x_label)]
    every = math.ceil(15 / height)
    parts += [
        draw_label("end", left - 6, top + (i + 0.5) * height + 4, names[i])
        for i in range(0, len(names), every)
    ]
    every = math.ceil((7.5 * max(map(len, columns), default=1) + 4) / width)
    parts += [
        draw_label("middle", left + (k + 0.5) * width, top - 5, columns[k])
        for k in range(0, len(columns), every)
    ]
    for i, row in enumerate(rows):
        for k, column in enumerate(columns):
            corner = (left + k * width, top + i * height)
            parts.append(_draw_cell(corner, cell, float(values[i][k]), f"{row}, {column}"))
    words = f"{len(rows)} rows, {len(columns)} columns. "
    if width >= FIGURE_WIDTH:
        words += " ".join(
            f"{row}: {', '.join(map(show_percent, line))}." for row, line in zip(rows, values, strict=True)
        )
    right = max(left + len(columns) * width + 1, 8.2 * len(title) + 8)
    return wrap_chart((math.ceil(right), top + len(rows) * height + 1), title, words, parts, "heat-map")


def draw_scale() -> str:
    """The colours of `heat_map` from 0 to 100 %, for maps without figures."""
    boxes = "".join(
        f'<rect class="heat" x="{34 + 12 * i}" y="2" width="12" height="12" fill-opacity="{i / 10}"/>'
        for i in range(11)
    )
    return (
        '<svg class="scale" viewBox="0 0 220 18" width="220" height="18" role="img" aria-label="Scale of shares">'
        f'<title>Scale of shares</title>{boxes}<text x="2" y="13">0 %</text><text x="174" y="13">100 %</text></svg>'
    )


def wrap_chart(size: tuple[float, float], title: str, words: str, parts: Sequence[str], kind: str) -> str:
    """The `<svg>` of class `kind` and `size` (width, height) px around a chart; `words` say what it shows."""
    name = escape_text(title)
    return (
        f'<svg class="{kind}" viewBox="0 0 {size[0]} {size[1]}" width="{size[0]}" height="{size[1]}" role="img"'
        f' aria-label="{name}"><title>{name}</title><desc>{escape_text(words)}</desc>'
        f'<text class="name" x="2" y="14">{name}</text>' + "".join(parts) + "</svg>"
    )


def draw_label(kind: str, x: float, y: float, text: object) -> str:
    """Text of a chart whose baseline starts, ends (`kind` "end") or has its middle ("middle") at x."""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape_text(text)}</text>'


def _fit_frame(drawn: Sequence[Series], x_end: float, log: bool, size: tuple[int, int]) -> _Frame:
    y = np.concatenate([line.y[np.isfinite(line.y)] for line in drawn])
    low, high = float(y.min()), float(y.max())
    log = log and low > 0 and high > 10 * low
    if log:
        margin = (high / low) ** 0.05
        low, high = low / margin, high * margin
    else:
        margin = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
        low, high = (0.0 if 0 <= low < 0.4 * high else low - margin), high + margin
    x_range = (
        min(0.0, *(line.x.min() for line in drawn)),
        max(1.0, x_end, *(line.x.max() for line in drawn)),
    )
    return _Frame(58, size[0] - 58, 40, size[1] - 38, x_range, (low, high), log)


def _draw_bands(frame: _Frame, bands: Sequence[Band]) -> list[str]:
    parts, top, height = [], frame.top, frame.bottom - frame.top
    for i, band in enumerate(bands):
        x, end = frame.place_x(np.clip([band.start, band.end], *frame.x_range)).tolist()
        if i % 2 == 0:
            parts.append(
                f'<rect class="band" x="{x:.1f}" y="{top}" width="{end - x:.1f}" height="{height}"/>'
            )
        if i:
            parts.append(f'<path class="border" d="M{x:.1f} {top}v{height}"/>')
        if end - x > 7 * len(band.label) + 8:
            parts.append(draw_label("middle", (x + end) / 2, top - 6, band.label))
    return parts


def _draw_axes(frame: _Frame, x_label: str) -> list[str]:
    most = max(2, int((frame.bottom - frame.top) // 38))
    levels = (get_log_ticks if frame.log else get_ticks)(*frame.y_range, most)
    parts = [draw_label("middle", (frame.left + frame.right) / 2, frame.bottom + 34, x_label)]
    for value, y in zip(levels, frame.place_y(np.array(levels)), strict=True):
        parts.append(f'<path class="grid" d="M{frame.left} {y:.1f}H{frame.right}"/>')
        parts.append(draw_label("end", frame.left - 7, y + 4, show_number(value, 5)))
    steps = get_ticks(*frame.x_range, max(2, int((frame.right - frame.left) // 90)), whole=True)
    for value, x in zip(steps, frame.place_x(np.array(steps)), strict=True):
        parts.append(f'<path class="grid" d="M{x:.1f} {frame.bottom}v5"/>')
        parts.append(draw_label("middle", x, frame.bottom + 18, show_number(value, 6)))
    return parts


def _draw_path(frame: _Frame, x: np.ndarray, y: np.ndarray, kind: str, *, dots: bool = False) -> str:
    """A line that is lifted at every gap; a point between two gaps, and every one of `dots`, is a dot."""
    x, y = decimate(x, y)
    finite = np.isfinite(y)
    across, up = frame.place_x(x), frame.place_y(np.where(finite, y, frame.y_range[0]))
    words = []
    for i in np.flatnonzero(finite):
        lifted = dots or i == 0 or not finite[i - 1]
        words.append(f"{'M' if lifted else 'L'}{across[i]:.1f} {up[i]:.1f}")
        if lifted and (dots or i + 1 == x.size or not finite[i + 1]):
            words.append("h0")
    return f'<path class="{kind}" d="{"".join(words)}"/>'


def _draw_legend(
    frame: _Frame, lines: Sequence[Series], strong: Sequence[np.ndarray], title: str
) -> list[str]:
    """The last value at the end of a single line; of several the names beside the title."""
    if len(lines) == 1:
        last = strong[0][np.isfinite(strong[0])][-1]
        return [
            draw_label("value", frame.right + 6, float(frame.place_y(last)) + 4, show_number(float(last)))
        ]
    parts, x = [], 24 + 8.2 * len(title)
    for i, line in enumerate(lines):
        parts += [
            f'<path class="line s{i % COLOURS}" d="M{x:.0f} 10h22"/>',
            draw_label("", x + 28, 14, line.name),
        ]
        x += 46 + 7 * len(line.name)
    return parts


def _draw_readings(
    frame: _Frame, lines: Sequence[Series], strong: Sequence[np.ndarray], x_label: str
) -> list[str]:
    """Invisible columns that tell, under the pointer, the values there."""
    steps = np.unique(np.concatenate([line.x for line in lines]))
    edges = np.linspace(*frame.x_range, READINGS + 1)
    bounds = np.searchsorted(steps, [*edges[:-1], np.inf])
    width, parts = (frame.right - frame.left) / READINGS, []
    for k in np.flatnonzero(np.diff(bounds)):
        at = steps[(bounds[k] + bounds[k + 1]) // 2]
        words = [f"{x_label} {show_number(float(at), 9)}"]
        for line, values in zip(lines, strong, strict=True):
            for i in np.flatnonzero((line.x == at) & np.isfinite(line.y)):
                average = f" (smoothed {show_number(float(values[i]))})" if values is not line.y else ""
                words.append(f"{line.name} {show_number(float(line.y[i]))}{average}")
        parts.append(
            f'<rect class="hit" x="{frame.left + k * width:.1f}" y="{frame.top}" width="{width:.1f}"'
            f' height="{frame.bottom - frame.top}"><title>{escape_text(": ".join(words))}</title></rect>'
        )
    return parts


def _draw_cell(corner: tuple[float, float], cell: tuple[int, int], value: float, name: str) -> str:
    (x, y), (width, height) = corner, cell
    strength = min(max(value, 0.0), 1.0) if math.isfinite(value) else 0.0
    drawn = (
        f'<rect class="heat" x="{x:.1f}" y="{y:.1f}" width="{width}" height="{height}"'
        f' fill-opacity="{strength:.2f}"><title>{escape_text(f"{name}: {show_percent(value)} %")}</title></rect>'
    )
    kind = f"middle {'inverse' if strength >= INVERSE_FROM else 'figure'}"
    return drawn + (
        draw_label(kind, x + width / 2, y + height / 2 + 4, show_percent(value))
        if width >= FIGURE_WIDTH
        else ""
    )


def _describe(line: Series, strong: np.ndarray) -> str:
    values, ends = line.y[np.isfinite(line.y)], strong[np.isfinite(strong)]
    return (
        f"{line.name}: {values.size} values between {show_number(float(values.min()))} and"
        f" {show_number(float(values.max()))}, at the end {show_number(float(ends[-1]))}"
        f"{' smoothed' if strong is not line.y else ''}."
    )
