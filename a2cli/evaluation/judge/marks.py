"""From a judge's fields to the metrics of the table: A2-Edit's mean of three, VIEScore's least of two and root."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from a2cli.evaluation.config import Dimension
from a2cli.evaluation.judge.questions import Ask
from a2cli.evaluation.judge.showing import build_edit_ask, build_looks_ask, build_meaning_ask
from a2cli.metrics.measure import Values
from a2cli.metrics.shots import Shot
from a2cli.metrics.table import METRICS, MetricInfo

Fields = Mapping[str, float | str]
EDIT_KEYS = {
    "vlm_boundary": "boundary_quality",
    "vlm_realism": "visual_realism",
    "vlm_consistency": "local_consistency",
}


def get_edit_values(fields: Fields) -> Values:
    """vlm_boundary, vlm_realism, vlm_consistency, and vlm, their mean, where all three are there."""
    values = {key: float(fields[name]) for key, name in EDIT_KEYS.items() if name in fields}
    if len(values) == len(EDIT_KEYS):
        values["vlm"] = sum(values.values()) / len(values)
    return values


def get_meaning_values(fields: Fields) -> Values:
    """vie_sc, the lesser of its two marks, where both are there (VIEScore, 3.1)."""
    return _get_least("vie_sc", fields, ("request_followed", "rest_kept"))


def get_looks_values(fields: Fields) -> Values:
    """vie_pq, the lesser of its two marks, where both are there (VIEScore, 3.1)."""
    return _get_least("vie_pq", fields, ("naturalness", "clean"))


@dataclass(frozen=True)
class Sheet:
    """One ask about an edit: `build(shot, side)`, the values of its fields, and the same ask in another order."""

    build: Callable[[Shot, int], Ask]
    read: Callable[[Fields], Values]
    swap: Callable[[Shot, int], Ask] | None


def _swap_edit(shot: Shot, side: int) -> Ask:
    return build_edit_ask(shot, side, swapped=True)


def _swap_meaning(shot: Shot, side: int) -> Ask:
    return build_meaning_ask(shot, side, swapped=True)


SHEETS: dict[Dimension, tuple[Sheet, ...]] = {
    "a2": (Sheet(build_edit_ask, get_edit_values, _swap_edit),),
    "vie": (
        Sheet(build_meaning_ask, get_meaning_values, _swap_meaning),
        Sheet(build_looks_ask, get_looks_values, None),
    ),
}
INFOS: dict[Dimension, tuple[MetricInfo, ...]] = {
    "a2": tuple(METRICS[name] for name in ("vlm", *EDIT_KEYS)),
    "vie": tuple(METRICS[name] for name in ("vie_sc", "vie_pq", "vie_o")),
}


def has_needs(shot: Shot, info: MetricInfo) -> bool:
    """Whether an edit comes with what a metric is asked about."""
    there = {
        "target": shot.target is not None,
        "source": shot.source is not None,
        "reference": shot.ref_rgb is not None,
        "prompt": bool(shot.request),
    }
    return all(there[need] for need in info.needs)


def complete(values: Values) -> Values:
    """The values with vie_o, the root of vie_sc times vie_pq, where both are there (VIEScore, eq. 1)."""
    if "vie_sc" in values and "vie_pq" in values:
        return {**values, "vie_o": math.sqrt(values["vie_sc"] * values["vie_pq"])}
    return values


def _get_least(key: str, fields: Fields, names: tuple[str, ...]) -> Values:
    return {key: min(float(fields[name]) for name in names)} if all(name in fields for name in names) else {}
