"""Two runs, or two rows of one, set against each other pair by pair."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scored import make_results, make_rows

from a2cli.errors import ConfigError, DataError
from a2cli.evaluation.results import Row
from a2cli.evaluation.scoring.compare import (
    Edits,
    choose_pairs,
    compare_edits,
    list_rows,
    list_unmatched,
    load_edits,
)
from a2cli.evaluation.store import write_results


def write(folder: Path, rows: list[Row]) -> Edits:
    folder.mkdir()
    write_results(make_results(rows), rows, [], folder)
    return load_edits(str(folder))


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Edits, Edits]:
    """The same records in both, the second 2 dB better throughout."""
    return write(tmp_path / "old", make_rows()), write(tmp_path / "new", make_rows(shift=2.0))


def test_runs_are_compared_row_by_row(runs: tuple[Edits, Edits]) -> None:
    a, b = runs
    pairs = choose_pairs(a, b)
    assert pairs == [((m, p), (m, p)) for m in ("nano", "paste") for p in ("fine", "rough")]
    found = compare_edits(a, b, pairs)
    assert [(one.a, one.metric) for one in found[:4]] == [
        ("old/nano/fine", "l1"),
        ("old/nano/fine", "psnr"),
        ("old/nano/fine", "psnr@mask"),
        ("old/nano/rough", "l1"),
    ]
    for one in found:
        assert one.n == 24 and one.verdict == "better"
        assert one.b == one.a.replace("old/", "new/")
        assert one.mean_b - one.mean_a == pytest.approx(one.difference)
        if one.metric == "psnr":
            assert one.difference == pytest.approx(2.0) and one.low == pytest.approx(2.0)
        if one.metric == "l1":
            assert one.high is not None and one.high < 0
    assert {one.verdict for one in compare_edits(b, a, pairs)} == {"worse"}
    table = list_rows(found)
    assert len(table) == 13 and {len(row) for row in table} == {10} and table[1][-2:] == ("24", "better")


def test_rows_of_one_run_and_protocols_are_compared(runs: tuple[Edits, Edits]) -> None:
    a, _ = runs
    found = compare_edits(a, a, choose_pairs(a, a, ["paste", "nano"], ["fine"]))
    assert {(one.a, one.b, one.verdict) for one in found} == {("paste/fine", "nano/fine", "better")}
    drop = compare_edits(a, a, choose_pairs(a, a, ["nano"], ["fine", "rough"]))
    by_metric = {one.metric: one for one in drop}
    assert by_metric["psnr"].verdict == "worse"
    naive = [
        rough.values["psnr"] - fine.values["psnr"]
        for fine in a.rows
        for rough in a.rows
        if fine.id == rough.id
        and (fine.method, fine.protocol, rough.method, rough.protocol) == ("nano", "fine", "nano", "rough")
    ]
    assert by_metric["psnr"].difference == pytest.approx(np.mean(naive)) and len(naive) == 24


def test_noise_is_undecided_and_one_record_too(tmp_path: Path) -> None:
    a = write(tmp_path / "a", make_rows(("nano",), ("fine",), seed=1))
    noise = np.random.default_rng(0).permutation([-1.0, 1.0] * 12)
    moved = [
        replace(row, values={"psnr": row.values["psnr"] + float(step)})
        for row, step in zip(a.rows, noise, strict=True)
    ]
    b = write(tmp_path / "b", moved)
    (one,) = compare_edits(a, b, choose_pairs(a, b))
    assert one.verdict == "undecided" and one.low is not None and one.low < 0 < (one.high or 0)
    single = replace(b, rows=b.rows[:1])
    (one,) = compare_edits(a, single, choose_pairs(a, single))
    assert (one.n, one.low, one.verdict) == (1, None, "undecided")


def test_the_only_method_of_each_is_enough(tmp_path: Path) -> None:
    a = write(tmp_path / "a", make_rows(("nano",)))
    b = write(tmp_path / "b", make_rows(("mine",)))
    assert choose_pairs(a, b)[0] == (("nano", "fine"), ("mine", "fine"))


@pytest.mark.parametrize(
    ("methods", "protocols", "message"),
    [
        (["nanno"], [], "old: there is no method 'nanno' (did you mean 'nano'?)"),
        (["nano", "pste"], [], "new: there is no method 'pste' (did you mean 'paste'?)"),
        ([], ["boxx"], "there is no protocol 'boxx'"),
        (["nano", "nano", "nano"], [], "--method: 3 names"),
    ],
)
def test_unknown_names_are_refused(
    runs: tuple[Edits, Edits], methods: list[str], protocols: list[str], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        choose_pairs(*runs, methods, protocols)
    assert message in str(caught.value)


def test_what_cannot_be_compared_is_said(runs: tuple[Edits, Edits]) -> None:
    a, b = runs
    with pytest.raises(ConfigError, match="nothing to set against itself"):
        choose_pairs(a, a)
    with pytest.raises(ConfigError, match="no method is named in both: nano, paste; other"):
        choose_pairs(a, replace(b, methods=("other",)))
    strangers = replace(b, rows=tuple(replace(row, id=f"x{row.id}") for row in b.rows))
    with pytest.raises(DataError, match="no edit of the same record in common"):
        compare_edits(a, strangers, choose_pairs(a, strangers))


def test_rows_that_failed_do_not_count(tmp_path: Path) -> None:
    rows = make_rows(("nano",), ("fine",), n=6)
    a = write(tmp_path / "a", rows)
    b = write(tmp_path / "b", [replace(rows[0], values={}, error="gone"), *rows[1:]])
    pairs = choose_pairs(a, b)
    assert {one.n for one in compare_edits(a, b, pairs)} == {5}
    assert list_unmatched(a, b, pairs) == [
        "without a counterpart, and left out: 1 of 6 edits of a/nano/fine, 0 of 5 edits of b/nano/fine"
    ]
    assert list_unmatched(a, a, pairs) == []


def test_folders_of_one_name_are_told_apart_by_those_above(tmp_path: Path) -> None:
    names = []
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        names.append(write(tmp_path / name / "out", make_rows(("nano",), ("fine",), n=3)))
    a, b = names
    found = compare_edits(a, replace(b, path=f"{b.path}/results.json"), choose_pairs(a, b))
    assert {(one.a, one.b) for one in found} == {("x/out/nano/fine", "y/out/nano/fine")}
    same = compare_edits(a, replace(a, path=f"{a.path}/results.json"), choose_pairs(a, b))
    assert {(one.a, one.b) for one in same} == {("nano/fine", "nano/fine")}


def test_a_mask_may_be_spelled_as_it_was_asked_for(tmp_path: Path) -> None:
    a = write(tmp_path / "a", make_rows(("nano",), ("fine", "dilate-3pct"), n=3))
    pairs = choose_pairs(a, a, (), ("fine", "dilate:3%"))
    assert pairs == [(("nano", "fine"), ("nano", "dilate-3pct"))]
