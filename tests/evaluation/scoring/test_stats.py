"""Means, bootstrap errors, clusters and paired differences."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest
from scored import make_rows

from a2cli.evaluation.results import Row, Score
from a2cli.evaluation.scoring.stats import (
    CHUNK,
    build_part,
    draw_counts,
    get_difference,
    get_quantile,
    get_scores,
    resample_means,
)


def make_row(name: str, value: float | None, group: str = "") -> Row:
    return Row(name, "", "", group, "m", "fine", {} if value is None else {"l1": value})


def test_resampled_means_equal_a_naive_loop() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(13, 2))
    values[3, 0] = values[7, 1] = np.nan
    groups = ["", "a", "a", "b", "", "b", "b", "", "c", "c", "a", "", ""]
    fast = resample_means(values, groups, resamples=40, seed=5)
    members: dict[str, list[int]] = {}
    for place, group in enumerate(groups):
        members.setdefault(group or f"\0{place}", []).append(place)
    clusters = [members[name] for name in sorted(members)]
    draws = np.random.default_rng(5).integers(0, len(clusters), size=(40, len(clusters)))
    for draw, means in zip(draws, fast, strict=True):
        picked = [place for cluster in draw for place in clusters[cluster]]
        for column in range(2):
            known = [values[place, column] for place in picked if not math.isnan(values[place, column])]
            assert means[column] == pytest.approx(sum(known) / len(known), abs=1e-12)


def test_counts_are_those_of_draws_with_replacement() -> None:
    counts = np.concatenate(list(draw_counts(7, 300, np.random.default_rng(0))))
    assert counts.shape == (300, 7) and (counts.sum(axis=1) == 7).all()
    assert abs(counts.mean() - 1) < 1e-12 and 0.6 < counts.var() < 1.1  # a binomial's is 6/7
    wide = list(draw_counts(CHUNK // 2 + 1, 3, np.random.default_rng(0)))
    assert [len(some) for some in wide] == [1, 1, 1]


def test_the_error_of_independent_items_is_s_over_root_n() -> None:
    values = np.random.default_rng(3).normal(5, 2, 400)
    rows = [make_row(f"{i}", float(value)) for i, value in enumerate(values)]
    score = get_scores(rows, ["l1"], resamples=2000)["l1"]
    assert score.mean == pytest.approx(values.mean()) and score.n == 400 and score.se is not None
    assert score.se == pytest.approx(values.std(ddof=1) / 20, rel=0.06)


def test_items_that_stand_together_count_as_one() -> None:
    values = np.random.default_rng(4).normal(size=50)
    alone = [make_row(f"{i:03d}", float(value)) for i, value in enumerate(values)]
    fourfold = [
        make_row(f"{i:03d}-{turn}", float(value), f"s{i}")
        for i, value in enumerate(values)
        for turn in range(4)
    ]
    one, four = (get_scores(rows, ["l1"], resamples=3000)["l1"].se for rows in (alone, fourfold))
    naive = get_scores([replace(row, group="") for row in fourfold], ["l1"], resamples=3000)["l1"].se
    assert one is not None and four is not None and naive is not None
    assert four == pytest.approx(one, rel=0.08) and naive == pytest.approx(one / 2, rel=0.08)


def test_scores_know_neither_order_nor_seedless_luck() -> None:
    rows = make_rows(n=30)
    mixed = rows[:]
    random.Random(0).shuffle(mixed)
    first = get_scores(rows, ["psnr", "l1"], resamples=200, seed=1)
    assert first == get_scores(mixed, ["psnr", "l1"], resamples=200, seed=1)
    other = get_scores(rows, ["psnr", "l1"], resamples=200, seed=2)
    assert other["psnr"].mean == first["psnr"].mean and other["psnr"].se != first["psnr"].se


@pytest.mark.parametrize(
    ("values", "groups", "expected"),
    [
        ([], [], Score(None, None, 0)),
        ([2.0], [""], Score(2.0, None, 1)),
        ([2.0, None], ["", ""], Score(2.0, None, 1)),
        ([1.0, 3.0], ["a", "a"], Score(2.0, None, 2)),
        ([2.0, 2.0, 2.0], ["", "", ""], Score(2.0, 0.0, 3)),
        ([0.1] * 7, [""] * 7, Score(0.1, 0.0, 7)),
    ],
)
def test_where_no_error_can_be_told(values: list[float | None], groups: list[str], expected: Score) -> None:
    rows = [make_row(f"{i}", v, g) for i, (v, g) in enumerate(zip(values, groups, strict=True))]
    found = get_scores(rows, ["l1"])["l1"]
    assert (found.se is None) == (expected.se is None) and found.n == expected.n
    assert found.mean == pytest.approx(expected.mean) and (found.se or 0) < 1e-15
    assert get_scores(rows, ["l1"], resamples=0)["l1"].se is None


def test_a_part_leaves_out_what_failed_and_tells_categories() -> None:
    rows = make_rows(n=10)
    rows[0] = replace(rows[0], values={}, error="no such file")  # r000, fine, nano
    part = build_part(
        rows, "nano", "fine", expected=10, keys=["psnr"], of_set={"fid": Score(50.0, None, 9)}, resamples=20
    )
    assert (part.expected, part.n, part.scores["psnr"].n) == (10, 9, 9)
    assert part.scores["fid"] == Score(50.0, None, 9)
    assert {name: scores["psnr"].n for name, scores in part.per_category.items()} == {
        "animals": 4,
        "vehicles": 5,
    }
    assert all("fid" not in scores for scores in part.per_category.values())


def test_a_paired_difference_is_surer_than_two_means() -> None:
    rows = make_rows(n=60, protocols=("fine",))
    a, b = ({row.id: row.values["psnr"] for row in rows if row.method == name} for name in ("paste", "nano"))
    found = get_difference(a, b, {}, resamples=2000)
    assert found is not None and found.se is not None and found.low is not None and found.high is not None
    differences = np.array([b[name] - a[name] for name in sorted(a)])
    assert found.mean == pytest.approx(differences.mean()) and found.n == 60
    assert found.se == pytest.approx(differences.std(ddof=1) / math.sqrt(60), rel=0.1)
    assert found.low < found.mean < found.high and found.low > 2.5 and found.high < 3.5
    assert found.high - found.low == pytest.approx(2 * 1.96 * found.se, rel=0.1)
    back = get_difference(b, a, {}, resamples=2000)
    assert back is not None and back.mean == -found.mean


def test_a_difference_is_of_shared_items_alone() -> None:
    found = get_difference({"x": 1.0, "y": 5.0}, {"x": 2.0, "z": 9.0}, {})
    assert found is not None and (found.mean, found.n, found.low) == (1.0, 1, None)
    assert get_difference({"x": 1.0}, {"y": 1.0}, {}) is None


@pytest.mark.parametrize("n", [2, 6, 60])
def test_the_interval_covers_the_truth_as_often_as_it_says(n: int) -> None:
    rng = np.random.default_rng(0)
    hits = 0
    zero = {f"{i:02d}": 0.0 for i in range(n)}
    for trial in range(200):
        values = dict(zip(zero, rng.normal(0.3, 1, n).tolist(), strict=True))
        found = get_difference(zero, values, {}, resamples=400, seed=trial)
        assert found is not None and found.low is not None and found.high is not None
        hits += found.low <= 0.3 <= found.high
    assert 180 <= hits <= 198


def test_quantiles_are_those_of_student() -> None:
    for freedom, wanted in (
        (1, 12.706),
        (2, 4.303),
        (4, 2.776),
        (5, 2.571),
        (12, 2.179),
        (60, 2.000),
        (10**6, 1.960),
    ):
        assert get_quantile(freedom) == pytest.approx(wanted, rel=1.5e-3)


def test_the_error_of_few_is_not_too_small() -> None:
    values = np.random.default_rng(5).normal(size=(200, 3))
    squares = []
    for trial, drawn in enumerate(values):
        rows = [make_row(f"{i}", float(value)) for i, value in enumerate(drawn)]
        se = get_scores(rows, ["l1"], resamples=400, seed=trial)["l1"].se
        assert se == pytest.approx(drawn.std(ddof=1) / math.sqrt(3), rel=0.2)
        squares.append(se**2)
    assert np.mean(squares) == pytest.approx(np.mean(values.var(axis=1, ddof=1)) / 3, rel=0.03)
