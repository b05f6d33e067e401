"""Means and how sure they are: a bootstrap over items, or over groups of items that do not stand alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from a2cli.evaluation.results import Part, Row, Score

CHUNK = 1 << 22  # draws at a time
LEVEL = 0.95  # of the confidence intervals


@dataclass(frozen=True)
class Difference:
    """Mean of b - a over the `n` items that both have, its standard error and 95 % interval.

    The latter are None where there are fewer than two independent items.
    """

    mean: float
    se: float | None
    low: float | None
    high: float | None
    n: int


def draw_counts(n: int, resamples: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """How often each of `n` items is in each of `resamples` draws of n with replacement: (some, n) integers."""
    step = max(1, CHUNK // n)
    for first in range(0, resamples, step):
        rows = min(step, resamples - first)
        drawn = rng.integers(0, n, size=(rows, n)) + n * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)


def resample_means(values: np.ndarray, groups: Sequence[str], *, resamples: int, seed: int) -> np.ndarray:
    """Means of the columns of `values` (n, k), NaN = none, over `resamples` draws: (resamples, k).

    Whole groups are drawn, and each item of the group "" by itself; a draw without a value is NaN.
    """
    names = [group or f"\0{place}" for place, group in enumerate(groups)]
    _, place = np.unique(names, return_inverse=True)
    known = ~np.isnan(values)
    size = int(place.max()) + 1
    sums, counts = np.zeros((size, values.shape[1])), np.zeros((size, values.shape[1]))
    np.add.at(sums, place, np.where(known, values, 0.0))
    np.add.at(counts, place, known)
    rng = np.random.default_rng(seed)
    means = []
    with np.errstate(invalid="ignore"):
        for drawn in draw_counts(size, resamples, rng):
            times = drawn.astype(np.float64)
            means.append((times @ sums) / (times @ counts))
    return np.concatenate(means) if means else np.empty((0, values.shape[1]))


def get_scores(
    rows: Iterable[Row], keys: Sequence[str], *, resamples: int = 1000, seed: int = 0
) -> dict[str, Score]:
    """Mean, bootstrap standard error and n of each key over the rows that have it; the rows' order is of no matter.

    The error is None without `resamples` and where fewer than two items or groups have a value.
    """
    ordered = sorted(rows, key=lambda row: (row.id, row.method, row.protocol))
    values = _get_matrix(ordered, keys)
    counts = (~np.isnan(values)).sum(axis=0)
    middle = np.where(counts, np.nansum(values, axis=0) / np.maximum(counts, 1), 0.0)
    errors = _get_errors(values - middle, [row.group for row in ordered], resamples, seed)
    return {
        key: Score(float(middle[i]) if counts[i] else None, errors[i], int(counts[i]))
        for i, key in enumerate(keys)
    }


def build_part(
    rows: Sequence[Row],
    method: str,
    protocol: str,
    *,
    expected: int,
    keys: Sequence[str],
    of_set: Mapping[str, Score],
    resamples: int = 1000,
    seed: int = 0,
) -> Part:
    """Scores of one method under one protocol, out of all rows; `of_set` are the values of all its edits together.

    Those have no standard error and no value by category: a distance of distributions is biased by n.
    """
    mine = [row for row in rows if row.method == method and row.protocol == protocol and not row.error]
    categories = sorted({row.category for row in mine})
    return Part(
        method,
        protocol,
        expected,
        len(mine),
        {**get_scores(mine, keys, resamples=resamples, seed=seed), **of_set},
        {
            category: get_scores(
                [row for row in mine if row.category == category], keys, resamples=resamples, seed=seed
            )
            for category in categories
        },
    )


def get_difference(
    a: Mapping[str, float],
    b: Mapping[str, float],
    groups: Mapping[str, str],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Difference | None:
    """b - a over the ids that both have, None without any; `groups` by id, "" or absent for an item alone."""
    shared = sorted(a.keys() & b.keys())
    if not shared:
        return None
    values = np.array([[b[name] - a[name]] for name in shared])
    names = [groups.get(name, "") for name in shared]
    middle = float(values.mean())
    se = _get_errors(values - middle, names, resamples, seed)[0]
    if se is None:
        return Difference(middle, None, None, None, len(shared))
    means = middle + resample_means(values - middle, names, resamples=resamples, seed=seed)[:, 0]
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Difference(middle, se, float(low), float(high), len(shared))


def _get_matrix(rows: Sequence[Row], keys: Sequence[str]) -> np.ndarray:
    return np.array([[row.values.get(key, np.nan) for key in keys] for row in rows]).reshape(
        len(rows), len(keys)
    )


def _get_errors(centred: np.ndarray, groups: Sequence[str], resamples: int, seed: int) -> list[float | None]:
    """Standard deviation of the resampled means of each column."""
    known = ~np.isnan(centred)
    apart = [len({g or place for place, g in enumerate(groups) if column[place]}) for column in known.T]
    if resamples < 2 or not len(centred):
        return [None] * centred.shape[1]
    means = resample_means(centred, groups, resamples=resamples, seed=seed)
    return [float(np.nanstd(means[:, i], ddof=1)) if apart[i] > 1 else None for i in range(centred.shape[1])]
