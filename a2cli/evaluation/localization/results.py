"""What a localisation leaves: a line for each record and way, and the table over them."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from a2cli.evaluation.records.cases import CaseFailure
from a2cli.evaluation.results import Picture, Row, Score
from a2cli.evaluation.scoring.stats import get_scores

ALL = "all"
RENAMED = {"method": "way", "protocol": "task"}
UNUSED = ("mask_share", "edited")
UNREAD = "unread"  # the value that is 1 where a model does not read the words that name the thing
SHOWN = ("iou", "found", "pointing", "auc", "size")
HEAD = (
    *("way", "task", "n", "median IoU", "mean IoU", "se", "IoU >= 0.5", "se", "pointing", "se", "AUC", "se"),
    *("size", "diffuse", "median s"),
)


@dataclass(frozen=True)
class Line:
    """One way over the records of one task, or over all. `diffuse` is the share of maps that named no place.

    `scores` by the names of `a2cli.evaluation.localization.scores`; `median_iou` None without a record.
    """

    way: str
    task: str
    n: int
    median_iou: float | None
    scores: dict[str, Score]
    diffuse: float | None
    seconds: float | None


@dataclass(frozen=True)
class Shown:
    """A record as the page shows it: `pictures` are "source", "target" and each way's map, outlines likewise.

    Outlines are SVG paths in units of the picture: of the thing under "source", of a way's region under the way.
    """

    id: str
    task: str
    category: str
    prompt: str
    keyword: str
    pictures: dict[str, Picture]
    outlines: dict[str, str]
    values: dict[str, dict[str, float]]


@dataclass(frozen=True)
class Localized:
    """All of a run. `rows`: `method` is the way, `protocol` the task; `ways` says what each was.

    Beside the scores a row's values tell with 1 that a map was `diffuse`, and that the sentence was `unread` (`Sight`).
    """

    created: str
    a2: str
    git: str
    versions: dict[str, str]
    config: dict[str, Any]
    data: dict[str, Any]
    ways: dict[str, dict[str, Any]]
    lines: tuple[Line, ...]
    rows: tuple[Row, ...]
    failures: tuple[CaseFailure, ...] = ()
    missing: dict[str, str] = field(default_factory=dict)
    shown: tuple[Shown, ...] = ()

    def to_record(self) -> dict[str, Any]:
        """Plain values for JSON; pictures are left out."""
        record = {name: value for name, value in vars(self).items() if name not in ("shown", "rows")}
        rows = [
            {RENAMED.get(name, name): value for name, value in asdict(row).items() if name not in UNUSED}
            for row in self.rows
        ]
        for name in ("lines", "failures"):
            record[name] = [asdict(one) for one in record[name]]
        return {"format": "a2-localize", "version": 1, **record, "rows": rows}


def build_lines(rows: Sequence[Row], *, resamples: int, seed: int) -> tuple[Line, ...]:
    """The table: every way over all records, then over those of each task where there are several tasks."""
    ways = list(dict.fromkeys(row.method for row in rows))
    tasks = sorted({row.protocol for row in rows if row.protocol})
    lines = []
    for task in (ALL, *(tasks if len(tasks) > 1 else ())):
        for way in ways:
            mine = [
                row for row in rows if row.method == way and task in (ALL, row.protocol) and not row.error
            ]
            lines.append(_build_line(way, task, mine, resamples, seed))
    return tuple(lines)


def list_cells(lines: Iterable[Line]) -> list[tuple[str, ...]]:
    """The table as texts, the columns' names first."""
    table: list[tuple[str, ...]] = [HEAD]
    for line in lines:
        cells = [line.way, line.task, str(line.n), _show(line.median_iou)]
        for name in ("iou", "found", "pointing", "auc"):
            score = line.scores[name]
            cells += [_show(score.mean), _show(score.se)]
        table.append((*cells, _show(line.scores["size"].mean), _show(line.diffuse), _show(line.seconds)))
    return table


def list_unread(rows: Iterable[Row]) -> list[str]:
    """A line for each way whose model did not read all the words that name things."""
    counts = Counter(row.method for row in rows if row.values.get(UNREAD))
    return [
        f"{way}: of {count} sentences the model reads no word that names the thing; they count as misses"
        for way, count in counts.items()
    ]


def _build_line(way: str, task: str, rows: Sequence[Row], resamples: int, seed: int) -> Line:
    scores = get_scores(rows, SHOWN, resamples=resamples, seed=seed)
    seconds = [row.seconds for row in rows if row.seconds is not None]
    return Line(
        way,
        task,
        len(rows),
        statistics.median(row.values["iou"] for row in rows) if rows else None,
        scores,
        statistics.fmean(row.values["diffuse"] for row in rows) if rows else None,
        statistics.median(seconds) if seconds else None,
    )


def _show(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
