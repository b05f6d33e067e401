"""A whole evaluation: edits found or made, measured, judged, told.

OUT/results.json, results.md, report.html   what came of it
OUT/samples.jsonl, failures.jsonl           a line for each edit, and for each that could not be had
OUT/edits/METHOD/PROTOCOL/STEM.png          the edits of methods; OUT/train/METHOD their training
OUT/.work/                                  values and a judge's answers: a run that was stopped goes on from there
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from a2cli import __version__
from a2cli.config.load import to_dict
from a2cli.config.suggest import get_suggestion
from a2cli.errors import ConfigError
from a2cli.evaluation.benchmarks.listing import describe_data, list_cases
from a2cli.evaluation.config import EvalConfig
from a2cli.evaluation.editing.gather import (
    Edits,
    check_folders,
    check_masks,
    check_methods,
    check_references,
    gather_edits,
    list_methods,
)
from a2cli.evaluation.origin import LIBRARIES, get_commit, get_settings
from a2cli.evaluation.records.candidates import list_candidates
from a2cli.evaluation.records.cases import CaseEntry, CaseFailure
from a2cli.evaluation.records.protocols import Protocol, parse_protocols
from a2cli.evaluation.report.tell import add_gallery, write_all
from a2cli.evaluation.results import Results
from a2cli.evaluation.scoring.gate import (
    Threshold,
    check_baseline,
    check_thresholds,
    parse_thresholds,
    require_comparable,
)
from a2cli.evaluation.scoring.judged import compare_methods
from a2cli.evaluation.scoring.kept import KeptFeatures, KeptValues
from a2cli.evaluation.scoring.outcome import Outcome, explain, list_unjudged
from a2cli.evaluation.scoring.score import Instruments, Scored, compare_sets, list_keys, score_edits
from a2cli.evaluation.scoring.stats import build_part
from a2cli.evaluation.store import load_results
from a2cli.files import lock_folder, make_folder
from a2cli.metrics.measure import Measure, SetMeasure
from a2cli.metrics.opening import check_weights, open_measures
from a2cli.metrics.table import METRICS, MetricInfo, choose_metrics, find_metric
from a2cli.pages.page import check_page
from a2cli.versions import get_versions

if TYPE_CHECKING:
    from a2cli.evaluation.judge.opening import Judge

WORK, JUDGE = ".work", "judge"
Show = Callable[[str, int, int], None]


@dataclass(frozen=True)
class _Plan:
    """What was checked before any work."""

    infos: tuple[MetricInfo, ...]
    named: set[str]  # metrics that are asked for by name, not in a group
    protocols: tuple[Protocol, ...]
    thresholds: list[Threshold]
    before: Results | None
    entries: list[CaseEntry]
    failures: list[CaseFailure]


def run_eval(config: EvalConfig, show: Show | None = None) -> Outcome:
    """Evaluate as the settings say, and write what came of it into `config.out` where there is one.

    What can be checked without work is checked first. A run that is stopped keeps its edits and values; the next one
    with the same `out` goes on. `show` is told label, done and total. Raises `ConfigError` and `DataError` for what
    cannot be honoured, and what loading a model raises; what one record or edit lacks is among the failures.
    """
    plan = _check(config)
    with _open_folder(config) as work:
        if config.report is not None:
            check_page(Path(config.report))
        # One that is served is opened first, for its key; a model of our own comes after those that edit.
        served = config.judge is not None and config.judge.api != "local"
        judge = _open_judge(config, work) if served else None
        edits = gather_edits(config, plan.entries, plan.protocols, show)
        return _measure(config, plan, edits, judge or _open_judge(config, work), work, show)


@contextmanager
def _open_folder(config: EvalConfig) -> Iterator[Path]:
    """The folder of what is kept between runs, held for this process; without `out` one that goes with the run."""
    if config.out is None:
        with tempfile.TemporaryDirectory(prefix="a2-eval-") as folder:
            yield Path(folder)
        return
    out = Path(config.out)
    make_folder(out / WORK)
    with lock_folder(out / WORK):
        yield out / WORK


def _check(config: EvalConfig) -> _Plan:
    _check_device(config.device)
    named = _get_metrics(config)
    infos = choose_metrics(named)
    protocols = parse_protocols(config.protocols, config.rough_radius)
    methods, before = list_methods(config), None
    if config.judge is not None:
        _check_judge(config, list(methods))
    measured = [info.name for info in (*infos, *_list_marks(config))]
    thresholds = parse_thresholds(config.gate, methods, [p.name for p in protocols], measured)
    if config.gate.baseline is not None:
        before = load_results(config.gate.baseline)
        require_comparable(before, config.gate.baseline, measured)
    check_weights(config.weights)
    check_methods(config)
    check_masks(config, protocols)
    check_folders(config, protocols)
    listed = list(list_cases(config.data))
    entries = [item for item in listed if isinstance(item, CaseEntry)]
    check_references(config, entries)
    return _Plan(
        infos,
        {name for name in named if name in METRICS} | {info.name for info in _list_marks(config)},
        protocols,
        thresholds,
        before,
        entries,
        [item for item in listed if isinstance(item, CaseFailure)],
    )


def _check_device(device: str) -> None:
    """Refuse a device that is not there, also where nothing would run on it."""
    if device not in ("auto", "cpu"):
        from a2cli.metrics.models import get_device

        get_device(device)


def _get_metrics(config: EvalConfig) -> list[str]:
    """The metrics as they are chosen: of a value's name (psnr@mask) the metric, whose regions come all."""
    return [find_metric(name).name if "@" in name else name for name in config.metrics]


def _check_judge(config: EvalConfig, methods: Sequence[str]) -> None:
    if config.out is None:
        raise ConfigError("a judge's answers need a folder to be kept in", hint="add -o OUT")
    name = config.judge.compare if config.judge else None
    if name is not None and name not in methods:
        raise ConfigError(f"judge.compare: there is no method {name!r}", hint=get_suggestion(name, methods))


def _list_marks(config: EvalConfig) -> list[MetricInfo]:
    """The metrics of the judge that is named."""
    if config.judge is None:
        return []
    from a2cli.evaluation.judge.marks import INFOS

    return [info for ask in config.judge.ask for info in INFOS[ask]]


def _open_judge(config: EvalConfig, work: Path) -> Judge | None:
    if config.judge is None:
        return None
    from a2cli.evaluation.judge.opening import open_judge

    return open_judge(config.judge, work / JUDGE)


def _measure(
    config: EvalConfig, plan: _Plan, edits: Edits, judge: Judge | None, work: Path, show: Show | None
) -> Outcome:
    opened = open_measures(plan.infos, config.weights, config.device)
    instruments = Instruments(opened.measures, opened.set_measures, judge)
    methods = list(list_methods(config))
    features = KeptFeatures(work)
    with KeptValues(work) as values:
        scored = score_edits(
            list_candidates(plan.entries, methods, plan.protocols, edits.files),
            instruments,
            values,
            features,
            batch_size=config.batch_size,
            workers=config.workers,
            total=len(plan.entries) * len(plan.protocols) * len(methods),
            show=show,
        )
    judged: dict[str, Any] = {}
    if judge is not None:
        compared = {}
        if config.judge is not None and config.judge.compare is not None:
            compared = compare_methods(
                judge,
                config.judge.compare,
                methods,
                plan.entries,
                plan.protocols,
                edits.files,
                batch_size=config.batch_size,
                show=show,
            )
        judged = judge.report() | ({"compared": compared} if compared else {})
    failures = [*plan.failures, *edits.failures, *scored.failures]
    results = _build_results(
        config, plan, edits, scored, instruments, opened.missing, features, judged, failures
    )
    missed = check_thresholds(plan.thresholds, results)
    warned: list[str] = []
    if plan.before is not None:
        worse, warned = check_baseline(results, plan.before, config.gate.rtol)
        missed += worse
    results = add_gallery(config, results, scored.rows, plan.entries, plan.protocols, edits.files)
    write_all(config, results, scored.rows, failures)
    features.clear()
    lacking = tuple(name for name in results.missing if name in plan.named)
    return Outcome(results, scored.rows, failures, missed, warned, lacking)


def _build_results(
    config: EvalConfig,
    plan: _Plan,
    edits: Edits,
    scored: Scored,
    instruments: Instruments,
    missing: Mapping[str, str],
    features: KeptFeatures,
    judged: dict[str, Any],
    failures: Sequence[CaseFailure],
) -> Results:
    of_sets = compare_sets(scored, instruments.set_measures, features)
    singles: list[Measure] = [*instruments.measures, *([instruments.judge] if instruments.judge else [])]
    every: list[Measure | SetMeasure] = [*singles, *instruments.set_measures]
    parts = tuple(
        build_part(
            scored.rows,
            method,
            protocol.name,
            expected=len(plan.entries) + len(plan.failures),
            keys=list(list_keys(singles)),
            of_set=of_sets.get((method, protocol.name), {}),
            resamples=config.bootstrap,
            seed=config.seed,
        )
        for method in edits.identities
        for protocol in plan.protocols
    )
    found = {key.partition("@")[0] for part in parts for key, s in part.scores.items() if s.mean is not None}
    infos = [info for measure in every for info in measure.infos]
    return Results(
        title=config.title,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        a2=__version__,
        git=get_commit(),
        versions=get_versions(LIBRARIES),
        config=get_settings(config),
        data=describe_data(config.data, plan.entries),
        n=len(plan.entries),
        metrics={
            info.name: {**to_dict(info), "implementation": measure.implementation}
            for measure in every
            for info in measure.infos
        },
        missing={
            **missing,
            **list_unjudged(plan.infos, instruments.judge),
            **{info.name: explain(info, scored.rows, failures) for info in infos if info.name not in found},
        },
        methods=edits.identities,
        protocols={protocol.name: protocol.describe() for protocol in plan.protocols},
        parts=parts,
        failures=dict(Counter(f"{failure.stage}: {failure.reason}" for failure in failures)),
        judge=judged,
    )
