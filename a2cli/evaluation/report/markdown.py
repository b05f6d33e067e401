"""results.md: the tables of an evaluation as a paper has them, out of results and rows alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from a2cli.evaluation.report.failed import tell_failures
from a2cli.evaluation.report.markdown_notes import (
    build_implementations,
    build_judge_notes,
    build_missing,
    escape_words,
    format_table,
)
from a2cli.evaluation.results import Part, Results, Row, Score
from a2cli.evaluation.scoring.against import Against, get_other, list_against
from a2cli.evaluation.scoring.gate import list_judged
from a2cli.evaluation.scoring.stats import get_difference
from a2cli.metrics.table import METRICS, find_metric

NONE = "–"
FINE, ROUGH = "fine", "rough"
COLUMNS = 12  # of numbers in a table; wider ones are divided
SWEEP = 4  # protocols from which they are rows, as in a robustness sweep
BY_CATEGORY = 3  # protocols that are told by category
HEADLINE = 5  # values that are told first, and by category
FOLLOWS = "@mask and @crop follow the mask that was given, so under another one they are of other pixels."
FIRST = (
    *("dino_i", "clip_i", "lpips_alex", "fid", "vlm", "vie_o"),
    *("changed_outside", "leak", "l1_inside", "region_iou"),
    *("psnr@mask", "ssim@mask", "l1@mask", "patches", "histogram", "seam"),
)


def build_markdown(results: Results, rows: Sequence[Row]) -> str:
    """The whole text: scores, fine to rough, categories, judge, what is missing, every value, how all was measured."""
    keys = list_keys(results)
    build_scores = _build_sweep if len(results.protocols) >= SWEEP else _build_scores
    first = choose_headline(keys)
    rest = [key for key in keys if key not in first]
    parts = [
        _build_head(results),
        "## Scores\n\n" + build_scores(results, first) if first else "",
        _build_against(results, rows, keys),
        _build_drop(results, rows, keys),
        _build_categories(results, keys),
        build_judge_notes(results),
        build_missing(results),
        "## All other values\n\n" + build_scores(results, rest) if rest else "",
        build_implementations(results),
    ]
    return "\n".join(part for part in parts if part)


def list_keys(results: Results) -> list[str]:
    """The names of all values that any part has, in the table's order."""
    found = {key for part in results.parts for key, score in part.scores.items() if score.mean is not None}
    return [key for info in METRICS.values() for key in info.keys if key in found]


def choose_headline(keys: Sequence[str], count: int = HEADLINE) -> list[str]:
    """The few values that stand for all, in the table's order."""
    first = [key for key in FIRST if key in keys] + [key for key in keys if key not in FIRST]
    chosen = set(first[:count])
    return [key for key in keys if key in chosen]


def format_score(score: Score | None) -> str:
    """ "21.34 ± 0.42", "57.72" of a set, "–" for none."""
    if score is None or score.mean is None:
        return NONE
    return _format(score.mean, score.se)


def mark(key: str) -> str:
    """A value's name with the arrow of its direction."""
    return f"{key} {'↑' if find_metric(key).higher_is_better else '↓'}"


def _build_head(results: Results) -> str:
    told = (results.data.get(name) for name in ("name", "benchmark", "split"))
    data = ", ".join(dict.fromkeys(escape_words(str(value)) for value in told if value))
    tables = len(results.protocols) < SWEEP and len(results.methods) > 1
    best = " **Bold**: the best of its column, as shown." if tables else ""
    lines = [
        f"# {escape_words(results.title)}\n",
        f"{results.n} records ({data}). a2 {results.a2}, {results.created}.",
        f"Mean ± standard error (bootstrap); ↑ higher is better, ↓ lower is better.{best}",
        f"{_tell_failures(results)}\n",
    ]
    return "\n".join(lines)


def _tell_failures(results: Results) -> str:
    told = tell_failures(results.failures)
    if not told:
        return "Nothing failed."
    words = escape_words("; ".join(told))
    return f"**{sum(results.failures.values())} failed**: {words} (failures.jsonl). Means leave them out."


def _build_scores(results: Results, keys: Sequence[str]) -> str:
    """Methods are rows, protocols and values columns."""
    protocols = list(results.protocols)
    scores = {(part.method, part.protocol): part for part in results.parts}
    text = ""
    for some in _divide(keys, max(1, COLUMNS // max(1, len(protocols)))):
        head = ["method", *(f"{p}: {mark(key)}" for p in protocols for key in some), "n"]
        rows = [
            [
                name,
                *(format_score(_get_score(scores.get((name, p)), key)) for p in protocols for key in some),
                _count([scores.get((name, p)) for p in protocols]),
            ]
            for name in results.methods
        ]
        text += format_table(head, _embolden(rows, [key for _ in protocols for key in some]))
    return text


def _build_sweep(results: Results, keys: Sequence[str]) -> str:
    """Protocols are rows, a table for each method: how gently an edit gets worse with its mask."""
    scores = {(part.method, part.protocol): part for part in results.parts}
    text = ""
    for method in results.methods:
        text += f"### {escape_words(method)}\n\n"
        for some in _divide(keys, COLUMNS):
            rows = [
                [
                    protocol,
                    *(format_score(_get_score(scores.get((method, protocol)), key)) for key in some),
                    _count([scores.get((method, protocol))]),
                ]
                for protocol in results.protocols
            ]
            text += format_table(["masks", *map(mark, some), "n"], rows)
    return text


def _build_against(results: Results, rows: Sequence[Row], keys: Sequence[str]) -> str:
    """Every method minus the one that the settings name, in pairs."""
    other, chosen = get_other(results), choose_headline(keys, COLUMNS)
    if other is None or not chosen:
        return ""
    cells = {(one.protocol, one.method, one.key): tell_against(one) for one in list_against(results, rows)}
    lines = [
        [protocol, method, *(cells.get((protocol, method, key), NONE) for key in chosen)]
        for protocol in results.protocols
        for method in results.methods
        if method != other
    ]
    name = escape_words(other)
    note = f"Each method minus {name}, of the same records; in brackets as a share of {name}'s mean.\n\n"
    return f"## Against {name}\n\n{note}{format_table(['masks', 'method', *map(mark, chosen)], lines)}"


def tell_against(one: Against) -> str:
    """ "-0.31 ± 0.04 (-42 %)"."""
    share = "" if one.relative is None else f" ({one.relative:+.0%})".replace("%", " %")
    return _format(one.difference.mean, one.difference.se, "+") + share


def _build_drop(results: Results, rows: Sequence[Row], keys: Sequence[str]) -> str:
    """What a rough mask costs each method, in pairs: rough - fine of the same record."""
    if not {FINE, ROUGH} <= results.protocols.keys():
        return ""
    head = choose_headline(keys, COLUMNS)
    parts = {(part.method, part.protocol): part for part in results.parts}
    lines = []
    for method in results.methods:
        mine = [row for row in rows if row.method == method and not row.error]
        groups = {row.id: row.group for row in mine}
        cells = []
        for key in head:
            if find_metric(key).of_set:
                cells.append(_subtract(*(_get_score(parts.get((method, p)), key) for p in (FINE, ROUGH))))
                continue
            fine, rough = (
                {row.id: row.values[key] for row in mine if row.protocol == protocol and key in row.values}
                for protocol in (FINE, ROUGH)
            )
            found = get_difference(fine, rough, groups)
            cells.append(NONE if found is None else _format(found.mean, found.se, "+"))
        lines.append([method, *cells])
    if not head:
        return ""
    note = "Rough minus fine, of the same records.\n\n"
    if any("@" in key for key in head):
        note = f"Rough minus fine, of the same records. {FOLLOWS}\n\n"
    return f"## From fine to rough masks\n\n{note}{format_table(['method', *map(mark, head)], lines)}"


def _build_categories(results: Results, keys: Sequence[str]) -> str:
    shown = choose_headline([key for key in keys if not find_metric(key).of_set])
    names = sorted({name for part in results.parts for name in part.per_category})
    methods = list_judged(results) or list(results.methods)
    if len(names) < 2 or not shown:
        return ""
    text = "## By category\n\n"
    if len(methods) < len(results.methods):
        others = ", ".join(escape_words(name) for name in results.methods if name not in methods)
        text += f"Without baselines ({others}).\n\n"
    if more := list(results.protocols)[BY_CATEGORY:]:
        text += f"Without masks {', '.join(map(escape_words, more))}.\n\n"
    for protocol in list(results.protocols)[:BY_CATEGORY]:
        parts = {part.method: part for part in results.parts if part.protocol == protocol}
        text += f"### {escape_words(protocol)}\n\n"
        for some in _divide(methods, max(1, COLUMNS // len(shown))):
            head = ["category", *(f"{method}: {mark(key)}" for method in some for key in shown), "n"]
            rows = []
            for name in names:
                found = [parts[m].per_category.get(name, {}) if m in parts else {} for m in some]
                counts = [score.n for scores in found for score in scores.values()]
                cells = [format_score(scores.get(key)) for scores in found for key in shown]
                rows.append([name or "(none)", *cells, str(max(counts, default=0))])
            text += format_table(head, rows)
    return text


def _subtract(fine: Score | None, rough: Score | None) -> str:
    if fine is None or rough is None or fine.mean is None or rough.mean is None:
        return NONE
    return _format(rough.mean - fine.mean, None, "+")


def _get_score(part: Part | None, key: str) -> Score | None:
    return part.scores.get(key) if part else None


def _count(parts: Iterable[Part | None]) -> str:
    """How many edits were measured, and of how many where some are missing."""
    counts = dict.fromkeys(
        "0" if part is None else str(part.n) if part.n == part.expected else f"{part.n} of {part.expected}"
        for part in parts
    )
    return ", ".join(counts)


def _embolden(rows: list[list[str]], keys: Sequence[str]) -> list[list[str]]:
    """The best of each column in bold, as its digits are shown; none where all that have a value are equal."""
    for column, key in enumerate(keys, start=1):
        shown = {i: float(row[column].split(" ")[0]) for i, row in enumerate(rows) if row[column] != NONE}
        if len(set(shown.values())) < 2:
            continue
        best = (max if find_metric(key).higher_is_better else min)(shown.values())
        for i, value in shown.items():
            if value == best:
                rows[i][column] = f"**{rows[i][column]}**"
    return rows


def _format(value: float, se: float | None, sign: str = "") -> str:
    """A value with as many digits as its error makes sense of; four where it has none."""
    if not se or se < 1e-9 * max(1.0, abs(value)):  # rounding
        value = 0.0 if abs(value) < 1e-12 else value
        return f"{value:{sign}.4g}" + ("" if se is None else " ± 0")
    places = _get_places(se)
    return f"{value:{sign}.{places}f} ± {se:.{places}f}"


def _get_places(se: float) -> int:
    """Decimals down to the error's second digit."""
    return min(8, max(0, 1 - int(f"{se:e}".partition("e")[2])))


def _divide(items: Sequence[str], size: int) -> list[Sequence[str]]:
    return [items[first : first + size] for first in range(0, len(items), size)]
