"""A whole localisation: records opened one by one, looked at in every way, scored, told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from a2cli import __version__
from a2cli.errors import A2Error, DataError
from a2cli.evaluation.benchmarks.listing import describe_data, list_cases
from a2cli.evaluation.editing.edits import tell_unexpected
from a2cli.evaluation.localization.config import LocalizeConfig
from a2cli.evaluation.localization.gallery import build_shown, choose_shown
from a2cli.evaluation.localization.page import build_localize_page
from a2cli.evaluation.localization.results import UNREAD, Localized, Shown, build_lines
from a2cli.evaluation.localization.scores import get_scores
from a2cli.evaluation.localization.ways import Sight, Ways, open_ways
from a2cli.evaluation.origin import LIBRARIES, get_commit, get_settings
from a2cli.evaluation.records.cases import Case, CaseEntry, CaseFailure
from a2cli.evaluation.results import Row
from a2cli.files import show_name
from a2cli.pages.page import check_page, write_page
from a2cli.versions import get_versions

Show = Callable[[str, int, int], None]
TITLE = "Where is it?"
STAGE = "localize"


def run_localize(config: LocalizeConfig, show: Show | None = None) -> Localized:
    """Score every way over the records, and write the page where the settings name one.

    A record that cannot be opened or says nothing of its thing is a failure, of which no way has a row; where one way
    fails on a record, that way has none. `show` is told label, done and total. Raises `ConfigError` and `DataError` for
    what cannot be honoured, and what loading a model raises.
    """
    if config.report is not None:
        check_page(Path(config.report))
    listed = list(list_cases(config.data))
    entries = [item for item in listed if isinstance(item, CaseEntry)]
    ways = open_ways(config)
    failures = [item for item in listed if isinstance(item, CaseFailure)]
    rows: list[Row] = []
    shown: list[Shown] = []
    for number, entry in enumerate(entries, start=1):
        try:
            case = _open(entry)
        except A2Error as error:
            failures.append(CaseFailure(entry.id, "read", "cannot be used", str(error)))
            continue
        seen: dict[str, Sight] = {}
        mine = list(_score(entry, case, ways, seen))
        rows += mine
        failures += [
            CaseFailure(row.id, STAGE, "cannot be looked at", row.error, row.method)
            for row in mine
            if row.error
        ]
        if config.report is not None and config.gallery:
            shown.append(build_shown(case, seen, mine))
        if show:
            show("looking", number, len(entries))
    if not any(not row.error for row in rows):
        why = f", the first: {failures[0].detail}" if failures else ""
        raise DataError(f"{show_name(config.data.path)}: no record could be looked at{why}")
    found = Localized(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        a2=__version__,
        git=get_commit(),
        versions=get_versions(LIBRARIES),
        config=get_settings(config),
        data=describe_data(config.data, entries),
        ways=dict(ways.about),
        lines=build_lines(rows, resamples=config.bootstrap, seed=config.seed),
        rows=tuple(rows),
        failures=tuple(failures),
        missing=dict(ways.missing),
        shown=choose_shown(shown, list(ways.looks), config.gallery),
    )
    if config.report is not None:
        write_page(build_localize_page(TITLE, found), Path(config.report))
    return found


def _open(entry: CaseEntry) -> Case:
    """A case whose thing is known. Raises `DataError` naming it where it is not, or cannot be seen."""
    case = entry.load()
    if case.named is None or not case.named.any() or not case.prompt.strip():
        raise DataError(
            f"{show_name(case.id)}: nothing says where the thing is that its sentence names",
            hint="records need src_image, src_mask and a prompt",
        )
    return case


def _score(entry: CaseEntry, case: Case, ways: Ways, seen: dict[str, Sight]) -> Iterator[Row]:
    """A row for each way; one with `error` for a way that failed. What was seen goes into `seen`."""
    assert case.named is not None
    for way, look in ways.looks.items():
        began = time.perf_counter()
        error, values = "", dict[str, float]()
        try:
            sight = look(case)
        except A2Error as failure:
            error = show_name(str(failure))
        except Exception as failure:  # a model may raise anything
            error = show_name(": ".join(tell_unexpected(failure)))
        else:
            seen[way] = sight
            values = get_scores(sight.soft, sight.region, case.named)
            values |= {"diffuse": float(sight.diffuse), UNREAD: float(sight.unread)}
        yield Row(
            id=entry.id,
            category=entry.category,
            subcategory=entry.subcategory,
            group=entry.group,
            method=way,
            protocol=case.task,
            values=values,
            seconds=round(time.perf_counter() - began, 4),
            error=error,
        )
