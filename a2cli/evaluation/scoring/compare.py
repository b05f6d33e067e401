"""Two sets of edits of the same records, set against each other pair by pair: what differs, and how surely."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from a2cli.config.suggest import get_suggestion
from a2cli.errors import ConfigError, DataError
from a2cli.evaluation.records.protocols import get_name
from a2cli.evaluation.results import Row
from a2cli.evaluation.scoring.stats import get_difference
from a2cli.evaluation.store import load_results, load_rows
from a2cli.files import show_name
from a2cli.metrics.table import METRICS, find_metric

Verdict = Literal["better", "worse", "undecided"]
Name = tuple[str, str]
"""A method and a protocol."""


@dataclass(frozen=True)
class Edits:
    """The rows of one side, and where they came from."""

    path: str
    rows: tuple[Row, ...]
    methods: tuple[str, ...]
    protocols: tuple[str, ...]
    data: dict[str, Any]


@dataclass(frozen=True)
class Comparison:
    """One value of `b` against `a`, over the `n` records that both edited.

    The sides are called "method/protocol", with their folders' names before that where these are two.

    `difference` is the mean of b - a, `low` to `high` its 95 % interval (bootstrap over records, or over groups of
    them), None where too few stand alone. `verdict` is of b: better or worse in the metric's own direction where the
    interval leaves out 0, else undecided.
    """

    a: str
    b: str
    metric: str
    mean_a: float
    mean_b: float
    difference: float
    low: float | None
    high: float | None
    n: int
    verdict: Verdict


def load_edits(path: str) -> Edits:
    """What an evaluation left in a folder, or beside a results.json. Raises `DataError` as `load_rows` does."""
    results = load_results(path)
    rows = tuple(row for row in load_rows(Path(path)) if not row.error)
    return Edits(path, rows, tuple(results.methods), tuple(results.protocols), results.data)


def choose_pairs(
    a: Edits, b: Edits, methods: Sequence[str] = (), protocols: Sequence[str] = ()
) -> list[tuple[Name, Name]]:
    """Which rows of `a` are set against which of `b`.

    Without `methods` those named in both, or the only one of each; one name is taken of both, two are of `a` and of
    `b`. Protocols likewise, in any spelling. Raises `ConfigError` for unknown names, where nothing is left, and for
    rows against themselves.
    """
    pairs = [
        ((mine, under), (other, instead))
        for mine, other in _match("method", a, b, a.methods, b.methods, methods)
        for under, instead in _match(
            "protocol", a, b, a.protocols, b.protocols, [get_name(name) for name in protocols]
        )
    ]
    if a.path == b.path and any(one == other for one, other in pairs):
        raise ConfigError(
            f"{show_name(a.path)}: nothing to set against itself",
            hint="name two methods or two protocols: --method X --method Y",
        )
    return pairs


def compare_edits(
    a: Edits, b: Edits, pairs: Iterable[tuple[Name, Name]], *, resamples: int = 2000, seed: int = 0
) -> list[Comparison]:
    """Every value that both sides of a pair have, in the table's order; raises `DataError` where no pair has any."""
    sides = [f"{label}/" if label else "" for label in _get_labels(a, b)]
    found = [
        replace(one, a=f"{sides[0]}{one.a}", b=f"{sides[1]}{one.b}")
        for pair in pairs
        for one in _compare_pair(a, b, *pair, resamples, seed)
    ]
    if not found:
        raise DataError(
            f"{show_name(a.path)} and {show_name(b.path)} have no edit of the same record in common",
            hint="compare runs over the same data, or name methods with --method X --method Y",
        )
    return found


def list_unmatched(a: Edits, b: Edits, pairs: Iterable[tuple[Name, Name]]) -> list[str]:
    """A line for each pair with records that one side alone has measured: how many of each are left out."""
    lines = []
    first, second = (f"{label}/" if label else "" for label in _get_labels(a, b))
    for mine, other in pairs:
        ours, theirs = _get_ids(a, mine), _get_ids(b, other)
        if ours != theirs:
            names = f"{first}{'/'.join(mine)}", f"{second}{'/'.join(other)}"
            counts = [
                f"{len(one - another)} of {len(one)} edits of {show_name(name)}"
                for name, one, another in zip(names, (ours, theirs), (theirs, ours), strict=True)
            ]
            lines.append(f"without a counterpart, and left out: {', '.join(counts)}")
    return lines


def list_rows(found: Sequence[Comparison]) -> list[tuple[str, ...]]:
    """The table, the columns' names first."""
    head = ("a", "b", "metric", "mean a", "mean b", "b - a", "95 % low", "95 % high", "n", "verdict of b")
    rows = []
    for one in found:
        numbers = (one.mean_a, one.mean_b, one.difference, one.low, one.high)
        rows.append((one.a, one.b, one.metric, *map(_show, numbers), str(one.n), one.verdict))
    return [head, *rows]


def to_records(found: Iterable[Comparison]) -> list[dict[str, Any]]:
    """The same for JSON."""
    return [asdict(one) for one in found]


def get_verdict(key: str, low: float | None, high: float | None) -> Verdict:
    """What an interval of differences says in the direction of a metric."""
    if low is None or high is None or low <= 0 <= high:
        return "undecided"
    return "better" if (low > 0) == find_metric(key).higher_is_better else "worse"


def _get_ids(edits: Edits, name: Name) -> set[str]:
    return {row.id for row in edits.rows if (row.method, row.protocol) == name}


def _get_labels(a: Edits, b: Edits) -> tuple[str, str]:
    """What tells two folders apart: their names, with those of folders above where they are called alike."""
    first, second = (_get_folder(edits.path).parts for edits in (a, b))
    if first == second:
        return "", ""
    count = next((n for n in range(1, 99) if first[-n:] != second[-n:]), 99)
    return "/".join(first[-count:]), "/".join(second[-count:])


def _get_folder(path: str) -> Path:
    where = Path(path).resolve()
    return where if where.is_dir() else where.parent


def _match(
    what: str, a: Edits, b: Edits, ours: Sequence[str], theirs: Sequence[str], wanted: Sequence[str]
) -> list[tuple[str, str]]:
    if len(wanted) > 2:
        raise ConfigError(f"--{what}: {len(wanted)} names", hint="one for both sides, or one for each")
    for name, edits, known in ((wanted[:1], a, ours), (wanted[-1:], b, theirs)):
        if name and name[0] not in known:
            raise ConfigError(
                f"{show_name(edits.path)}: there is no {what} {name[0]!r}",
                hint=get_suggestion(name[0], known),
            )
    if wanted:
        return [(wanted[0], wanted[-1])]
    both = [(name, name) for name in ours if name in theirs]
    if both or len(ours) != 1 or len(theirs) != 1:
        if not both:
            raise ConfigError(
                f"no {what} is named in both: {', '.join(ours)}; {', '.join(theirs)}",
                hint=f"--{what} X --{what} Y",
            )
        return both
    return [(ours[0], theirs[0])]


def _compare_pair(
    a: Edits, b: Edits, mine: Name, other: Name, resamples: int, seed: int
) -> Iterator[Comparison]:
    ours = [row for row in a.rows if (row.method, row.protocol) == mine]
    theirs = [row for row in b.rows if (row.method, row.protocol) == other]
    groups = {row.id: row.group for row in ours}
    measured = {key for row in ours for key in row.values}
    for key in (key for info in METRICS.values() for key in info.keys if key in measured):
        first = {row.id: row.values[key] for row in ours if key in row.values}
        second = {row.id: row.values[key] for row in theirs if key in row.values}
        found = get_difference(first, second, groups, resamples=resamples, seed=seed)
        if found is None:
            continue
        shared = first.keys() & second.keys()
        yield Comparison(
            "/".join(mine),
            "/".join(other),
            key,
            math.fsum(first[name] for name in shared) / len(shared),
            math.fsum(second[name] for name in shared) / len(shared),
            found.mean,
            found.low,
            found.high,
            found.n,
            get_verdict(key, found.low, found.high),
        )


def _show(value: float | None) -> str:
    return "" if value is None else f"{value:.5g}"
