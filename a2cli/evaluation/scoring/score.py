"""Edits measured: pixels in as many processes as there are, networks here, what is known already not again."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice

import numpy as np

from a2cli.data.processes import work_in_order
from a2cli.errors import A2Error
from a2cli.evaluation.records.candidates import Candidate
from a2cli.evaluation.records.cases import CaseFailure
from a2cli.evaluation.results import Row, Score
from a2cli.evaluation.scoring.kept import KeptFeatures, KeptValues, digest_shot
from a2cli.files import show_name
from a2cli.metrics.measure import Measure, SetMeasure, Values
from a2cli.metrics.shots import Shot

Show = Callable[[str, int, int], None]
AHEAD = 2  # edits per process that are on their way: each is a handful of pictures


@dataclass(frozen=True)
class Instruments:
    """What edits are measured by. `judge` keeps its own answers, and is asked last."""

    measures: Sequence[Measure]
    set_measures: Sequence[SetMeasure] = ()
    judge: Measure | None = None

    @property
    def by_processor(self) -> list[Measure]:
        """Those without a network: they may run in other processes."""
        return [m for m in self.measures if not any(info.weights for info in m.infos)]

    @property
    def by_network(self) -> list[Measure]:
        """The others."""
        return [m for m in self.measures if any(info.weights for info in m.infos)]


@dataclass
class Scored:
    """What came of measuring: rows in the candidates' order, failures, and features by (method, protocol)."""

    rows: list[Row] = field(default_factory=list)
    failures: list[CaseFailure] = field(default_factory=list)
    features: dict[tuple[str, str], list[str]] = field(default_factory=dict)


@dataclass
class _Job:
    """A candidate and what is known of it."""

    candidate: Candidate
    digest: str = ""
    values: Values = field(default_factory=dict)
    errors: list[tuple[str, str]] = field(default_factory=list)
    known: frozenset[int] = frozenset()  # which of the processor's measures


def score_edits(
    candidates: Iterable[Candidate],
    instruments: Instruments,
    values: KeptValues,
    features: KeptFeatures,
    *,
    batch_size: int = 16,
    workers: int = 1,
    total: int = 0,
    show: Show | None = None,
) -> Scored:
    """Measure every candidate; the values depend neither on `workers` nor on `batch_size`.

    A measure that fails on an edit leaves its values out and is a failure of that edit. `show` is told label, done and
    `total`. Raises `A2Error` where a judge's answers cannot be kept.
    """
    scored = Scored()
    own = instruments.by_processor
    jobs = (_open(candidate, own, values) for candidate in candidates)
    measured = work_in_order(partial(_measure_by_processor, own), jobs, workers, ahead=AHEAD)
    try:
        while batch := list(islice(measured, batch_size)):
            done = [_take(job, found, own, values) for job, found in batch]
            for measure in instruments.by_network:
                _measure_batch(measure, done, values)
            if instruments.judge is not None:
                _judge_batch(instruments.judge, done)
            for set_measure in instruments.set_measures:
                _embed_batch(set_measure, done, features)
            for job in done:
                _finish(job, instruments.set_measures, scored)
            if show:
                show("measuring", len(scored.rows), total)
    finally:
        measured.close()
    return scored


def compare_sets(
    scored: Scored, set_measures: Sequence[SetMeasure], features: KeptFeatures
) -> dict[tuple[str, str], dict[str, Score]]:
    """The values of all edits together, by method and protocol; fewer than two edits have none.

    What fails is left out, with a warning.
    """
    found: dict[tuple[str, str], dict[str, Score]] = {}
    for part, digests in scored.features.items():
        scores = found[part] = {}
        for measure in set_measures:
            every = [features.get(_get_key(digest, measure)) or {} for digest in digests]
            for key in (key for info in measure.infos for key in info.keys):
                stack = [one[key] for one in every if key in one]
                scores[key] = Score(None, None, len(stack))
                if len(stack) > 1 and (value := _compare(measure, key, np.stack(stack))) is not None:
                    scores[key] = Score(value, None, len(stack))
    return found


def _compare(measure: SetMeasure, key: str, stack: np.ndarray) -> float | None:
    try:
        value = measure.compare({key: stack}).get(key)
    except A2Error as error:
        logging.getLogger(__name__).warning("%s: %s", key, error)
        return None
    return value if value is not None and math.isfinite(value) else None


def _open(candidate: Candidate, own: Sequence[Measure], values: KeptValues) -> _Job:
    """A job with what was measured before."""
    if candidate.shot is None:
        return _Job(candidate)
    job = _Job(candidate, digest_shot(candidate.shot))
    known = set()
    for place, measure in enumerate(own):
        if (kept := values.get(_get_key(job.digest, measure))) is not None:
            job.values |= kept
            known.add(place)
    job.known = frozenset(known)
    return job


def _measure_by_processor(own: Sequence[Measure], job: _Job) -> list[Values | str | None]:
    """What each measure finds: values, an error's text, or None of what is known; may run in another process."""
    shot = job.candidate.shot
    if shot is None:
        return [None] * len(own)
    return [None if place in job.known else _measure_one(measure, shot) for place, measure in enumerate(own)]


def _take(
    job: _Job, found: Sequence[Values | str | None], own: Sequence[Measure], values: KeptValues
) -> _Job:
    for measure, one in zip(own, found, strict=True):
        _note(job, measure, one, values)
    return job


def _measure_batch(measure: Measure, jobs: Sequence[_Job], values: KeptValues) -> None:
    """Measure together what is not known; where that fails, one by one."""
    open_jobs = []
    for job in jobs:
        if job.candidate.shot is None:
            continue
        kept = values.get(_get_key(job.digest, measure))
        if kept is None:
            open_jobs.append(job)
        else:
            job.values |= kept
    for job, found in zip(open_jobs, _measure_all(measure, open_jobs), strict=True):
        _note(job, measure, found, values)


def _judge_batch(judge: Measure, jobs: Sequence[_Job]) -> None:
    """Ask about all together. A judge that ends with a known cause asks no more: the run ends with that cause."""
    open_jobs = [job for job in jobs if job.candidate.shot is not None]
    shots = [job.candidate.shot for job in open_jobs if job.candidate.shot is not None]
    found: Sequence[Values | str]
    try:
        found = judge.measure(shots)
    except A2Error:
        raise
    except Exception as error:
        found = [_describe(error)] * len(shots)
    for job, one in zip(open_jobs, found, strict=True):
        _note(job, judge, one, None)


def _measure_all(measure: Measure, jobs: Sequence[_Job]) -> list[Values | str]:
    shots = [job.candidate.shot for job in jobs if job.candidate.shot is not None]
    if not shots:
        return []
    try:
        found = measure.measure(shots)
        if len(found) == len(shots):
            return list(found)
    except Exception as error:
        if len(shots) == 1:
            return [_describe(error)]
        _free_memory(error)
    return [_measure_one(measure, shot) for shot in shots]


def _measure_one(measure: Measure, shot: Shot) -> Values | str:
    """The values of one shot, or why there are none: one edit that a library chokes on does not end the others."""
    try:
        return measure.measure([shot])[0]
    except Exception as error:
        return _describe(error)


def _note(job: _Job, measure: Measure, found: Values | str | None, values: KeptValues | None) -> None:
    if found is None:
        return
    names = ", ".join(info.name for info in measure.infos)
    if isinstance(found, str):
        job.errors.append((names, found))
        return
    finite = {key: float(value) for key, value in found.items() if math.isfinite(value)}
    if len(finite) < len(found):
        job.errors.append((", ".join(sorted(found.keys() - finite.keys())), "not a finite number"))
    elif values is not None:
        values.put(_get_key(job.digest, measure), finite)
    job.values |= finite


def _embed_batch(measure: SetMeasure, jobs: Sequence[_Job], features: KeptFeatures) -> None:
    open_jobs = [
        job
        for job in jobs
        if job.candidate.shot is not None and features.get(_get_key(job.digest, measure)) is None
    ]
    shots = [job.candidate.shot for job in open_jobs if job.candidate.shot is not None]
    for job, shot, found in zip(open_jobs, shots, _embed_all(measure, shots), strict=True):
        if isinstance(found, str):
            job.errors.append((", ".join(info.name for info in measure.infos), found))
        elif all(np.isfinite(array).all() for array in found.values()):
            features.put(_get_key(job.digest, measure), found)
        else:
            job.errors.append((", ".join(info.name for info in measure.infos), f"{shot.id}: not finite"))


def _embed_all(measure: SetMeasure, shots: Sequence[Shot]) -> list[Mapping[str, np.ndarray] | str]:
    try:
        return list(measure.embed(shots)) if shots else []
    except Exception as error:
        if len(shots) == 1:
            return [_describe(error)]
        _free_memory(error)
    return [one for shot in shots for one in _embed_all(measure, [shot])]


def _finish(job: _Job, set_measures: Sequence[SetMeasure], scored: Scored) -> None:
    row = job.candidate.row
    if job.candidate.failure is not None:
        scored.failures.append(job.candidate.failure)
    for names, why in job.errors:
        scored.failures.append(CaseFailure(row.id, "measure", names, why, row.method, row.protocol))
    scored.rows.append(replace(row, values=job.values))
    if job.candidate.shot is not None and set_measures:
        scored.features.setdefault((row.method, row.protocol), []).append(job.digest)


def _get_key(digest: str, measure: Measure | SetMeasure) -> str:
    """What a measure's values of a shot are kept under: another implementation or another choice is another key."""
    names = ",".join(sorted(info.name for info in measure.infos))
    return hashlib.sha256(f"{digest}\n{measure.implementation}\n{names}".encode()).hexdigest()


def _describe(error: Exception) -> str:
    words = str(error) if isinstance(error, A2Error) else f"{type(error).__name__}: {error}"
    return show_name(" ".join(words.split()))[:500]


def _free_memory(error: Exception) -> None:
    """After a batch that did not fit: the next try is smaller."""
    if type(error).__name__ == "OutOfMemoryError":
        import torch

        torch.cuda.empty_cache()


def list_keys(measures: Iterable[Measure | SetMeasure]) -> Iterator[str]:
    """The names of all values that measures give."""
    return (key for measure in measures for info in measure.infos for key in info.keys)
