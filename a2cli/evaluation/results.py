"""What an evaluation leaves: results.json (settings, versions, scores) and samples.jsonl (a line for each edit).

The page and the Markdown are made from these two alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

FORMAT, VERSION = "a2-eval", 1
RESULTS, SAMPLES, FAILURES = "results.json", "samples.jsonl", "failures.jsonl"
MARKDOWN, PAGE, EDITS = "results.md", "report.html", "edits"


@dataclass(frozen=True)
class Score:
    """Mean of a value over `n` edits and its standard error (bootstrap over groups); None where there is none.

    For a metric of a set the value itself; its error is None where none can be told.
    """

    mean: float | None
    se: float | None
    n: int


@dataclass(frozen=True)
class Row:
    """One edit's line of samples.jsonl. `values` by the names of `a2cli.metrics.table`; `error` if it was not measured.

    `edited` is the picture's path, `mask_share` of the picture, `seconds` what editing took, None where unknown.
    """

    id: str
    category: str
    subcategory: str
    group: str
    method: str
    protocol: str
    values: dict[str, float] = field(default_factory=dict)
    mask_share: float | None = None
    seconds: float | None = None
    edited: str = ""
    error: str = ""


@dataclass(frozen=True)
class Part:
    """Scores of one method under one protocol, over all and by category. `expected` edits should be there, `n` are."""

    method: str
    protocol: str
    expected: int
    n: int
    scores: dict[str, Score]
    per_category: dict[str, dict[str, Score]]


@dataclass(frozen=True)
class Picture:
    """A thumbnail: WebP as base64, and its size (height, width)."""

    data: str
    size: tuple[int, int]


@dataclass(frozen=True)
class Exhibit:
    """A case shown on the page: `why` such as "worst by l1@mask, nano"; `pictures` by what they show.

    Keys: "source" as the methods got it, "reference", "target" where there are any, and "edit: METHOD". `outline` is
    the mask as an SVG path in units of the source's thumbnail, "" of a whole picture. `values` by method; `prompt` says
    what was to be done or shown.
    """

    id: str
    category: str
    protocol: str
    why: str
    pictures: dict[str, Picture]
    outline: str
    values: dict[str, dict[str, float]]
    prompt: str = ""


@dataclass(frozen=True)
class Results:
    """results.json.

    `metrics`: by name, what the table says of it and its `implementation`. `missing`: why a metric that was asked for
    has no values. `methods`: by name, what each was (kind, backbone, adapter's hash, ...; "baseline": bool).
    `protocols`: by name, what its masks were. `judge`: calls, cost, coverage, position bias; empty without one.
    """

    title: str
    created: str
    a2: str
    git: str
    versions: dict[str, str]
    config: dict[str, Any]
    data: dict[str, Any]
    n: int
    metrics: dict[str, dict[str, Any]]
    missing: dict[str, str]
    methods: dict[str, dict[str, Any]]
    protocols: dict[str, dict[str, Any]]
    parts: tuple[Part, ...]
    failures: dict[str, int]
    judge: dict[str, Any] = field(default_factory=dict)
    gallery: tuple[Exhibit, ...] = ()
    format: str = FORMAT
    version: int = VERSION
