"""Means and how sure they are: a bootstrap over items, or over groups of items that do not stand alone.

A bootstrap's error is too small by sqrt((m - 1) / m) for m independent items; that is put right. Intervals are
Student's with m - 1 degrees of freedom on that error: the bootstrap's own quantiles cover 50 %, not 95, at m = 2.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from a2cli.evaluation.results import Part, Row, Score

CHUNK = 1 << 22  # draws at a time
QUANTILES = (12.7062, 4.3027, 3.1824, 2.7764)  # of Student's t at 97.5 %, from one degree of freedom on
Z = 1.959963984540054  # of a normal distribution there


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
    reach = get_quantile(_count_apart(names) - 1) * se
    return Difference(middle, se, middle - reach, middle + reach, len(shared))


def get_quantile(freedom: int) -> float:
    """The 97.5 % quantile of Student's t, right to 0.1 %; `freedom` 1 or more.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 1964, 26.7.5.
    """
    if freedom <= len(QUANTILES):
        return QUANTILES[freedom - 1]
    first = (Z**3 + Z) / (4 * freedom)
    second = (5 * Z**5 + 16 * Z**3 + 3 * Z) / (96 * freedom**2)
    third = (3 * Z**7 + 19 * Z**5 + 17 * Z**3 - 15 * Z) / (384 * freedom**3)
    return Z + first + second + third


def _get_matrix(rows: Sequence[Row], keys: Sequence[str]) -> np.ndarray:
    return np.array([[row.values.get(key, np.nan) for key in keys] for row in rows]).reshape(
        len(rows), len(keys)
    )


def _get_errors(centred: np.ndarray, groups: Sequence[str], resamples: int, seed: int) -> list[float | None]:
    """Standard deviation of the resampled means of each column, for the items that are known there."""
    if resamples < 2 or not len(centred):
        return [None] * centred.shape[1]
    means = resample_means(centred, groups, resamples=resamples, seed=seed)
    errors: list[float | None] = []
    for column, drawn in zip(~np.isnan(centred).T, means.T, strict=True):
        apart = _count_apart([group for group, there in zip(groups, column, strict=True) if there])
        drawn = drawn[~np.isnan(drawn)]
        if apart > 1 and len(drawn) > 1:
            errors.append(float(drawn.std(ddof=1)) * math.sqrt(apart / (apart - 1)))
        else:
            errors.append(None)
    return errors


def _count_apart(groups: Sequence[str]) -> int:
    """How many items and groups stand alone."""
    return len({group for group in groups if group}) + sum(not group for group in groups)
