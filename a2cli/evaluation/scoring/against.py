"""Every method set against one of them, record by record, within one evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from a2cli.evaluation.results import Results, Row
from a2cli.evaluation.scoring.stats import Difference, get_difference
from a2cli.metrics.table import METRICS

DRAWS = {"bootstrap": 1000, "seed": 0}  # settings of the errors, and their defaults


@dataclass(frozen=True)
class Against:
    """`method` minus `other` of one value under one protocol, over the records that both edited.

    `relative` is the mean difference over `other`'s mean there, None where that is 0.
    """

    protocol: str
    method: str
    other: str
    key: str
    difference: Difference
    relative: float | None


def get_other(results: Results) -> str | None:
    """The method that the others are set against; None where the settings name none."""
    other = results.config.get("against")
    return other if isinstance(other, str) and other in results.methods else None


def list_against(results: Results, rows: Sequence[Row]) -> Iterator[Against]:
    """All differences, by protocol, method and value, in the table's order; none where no method is named.

    Their errors are of as many resamples as the scores'.
    """
    other = get_other(results)
    if other is None:
        return
    resamples, seed = (results.config.get(name, otherwise) for name, otherwise in DRAWS.items())
    groups = {row.id: row.group for row in rows}
    for protocol in results.protocols:
        of = {
            method: [
                row for row in rows if (row.method, row.protocol) == (method, protocol) and not row.error
            ]
            for method in results.methods
        }
        there = {key for row in of[other] for key in row.values}
        for method in (name for name in results.methods if name != other):
            for key in (key for info in METRICS.values() for key in info.keys if key in there):
                theirs, ours = (
                    {row.id: row.values[key] for row in of[name] if key in row.values}
                    for name in (other, method)
                )
                found = get_difference(theirs, ours, groups, resamples=resamples, seed=seed)
                if found is not None:
                    shared = [theirs[name] for name in theirs.keys() & ours.keys()]
                    mean = sum(sorted(shared)) / len(shared)
                    yield Against(
                        protocol, method, other, key, found, found.mean / abs(mean) if mean else None
                    )
