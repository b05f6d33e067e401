"""results.json and samples.jsonl: what is written is read; what is damaged is refused in one line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from scored import make_results, make_rows

from a2cli.errors import DataError
from a2cli.evaluation.records.cases import CaseFailure
from a2cli.evaluation.results import Exhibit, Picture
from a2cli.evaluation.store import format_results, load_results, load_rows, write_results

FAILURE = CaseFailure("r1", "read", "DataError", "r1: no such file")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = make_rows(n=4)
    rows[0] = replace(rows[0], id="line\u2028two \udcff é", error="no edit", values={})
    picture = Picture("AAAA", (3, 5))
    shown = Exhibit("r001", "animals", "fine", "worst", {"source": picture}, "M0 0Z", {"nano": {"l1": 0.5}})
    write_results(replace(make_results(rows), gallery=(shown,)), rows, [FAILURE], tmp_path)
    return tmp_path


def test_what_is_written_is_read(folder: Path) -> None:
    rows = load_rows(folder)
    assert rows == load_rows(folder / "results.json") == load_rows(folder / "samples.jsonl")
    assert rows[0].id == "line\u2028two \udcff é" and rows[1:] == make_rows(n=4)[1:]
    results = load_results(folder)
    assert results == load_results(folder / "results.json")
    assert results.parts == make_results(rows).parts and results.gallery[0].pictures["source"].size == (3, 5)
    assert json.loads((folder / "failures.jsonl").read_text()) == {
        "id": "r1", "stage": "read", "reason": "DataError", "detail": "r1: no such file", "method": "", "protocol": ""
    }  # fmt: skip


def test_nothing_failed_leaves_no_failures(folder: Path) -> None:
    rows = load_rows(folder)
    write_results(load_results(folder), rows, [], folder)
    assert sorted(path.name for path in folder.iterdir()) == ["results.json", "samples.jsonl"]


def test_json_holds_no_nan_and_can_leave_the_gallery_out(folder: Path) -> None:
    results = load_results(folder)
    assert json.loads(format_results(results, gallery=False))["gallery"] == []
    broken = replace(results, data={"share": float("nan")})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_results(broken, [], [], folder)
    assert load_results(folder) == results  # the old file stands
    assert not list(folder.glob("*.tmp"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[: len(text) // 2], "no JSON"),
        (lambda text: text.replace('"a2-eval"', '"else"'), "not the results of an evaluation"),
        (lambda text: text.replace('"version": 1', '"version": 2'), "version 2, this a2 reads 1"),
        (lambda text: text.replace('"n": 4', '"n": "4"', 1), "n: expected a whole number, got '4'"),
        (lambda text: text.replace('"title"', '"titel"'), "unknown key 'titel'"),
        (lambda text: text.replace('"mean": ', '"mean": NaN, "x": ', 1), "NaN is no number"),
        (lambda text: "[]", "not the results of an evaluation"),
        (lambda text: "[" * 100_000, "no JSON"),
    ],
)
def test_damaged_results_are_refused(folder: Path, change: object, message: str) -> None:
    file = folder / "results.json"
    file.write_text(change(file.read_text()))  # type: ignore[operator]
    with pytest.raises(DataError, match=r"results\.json") as caught:
        load_results(folder)
    assert message in str(caught.value) and "\n" not in str(caught.value) and caught.value.hint


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "a"', "line 3: no JSON"),
        ('{"id": "a", "method": "m"}', "line 3: not a row"),
        ('{"id": "a", "method": "m", "protocol": "p", "valeus": {}}', "line 3: not a row"),
        ('{"id": 1, "method": "m", "protocol": "p"}', "line 3: a value of the wrong type"),
        (
            '{"id": "a", "method": "m", "protocol": "p", "values": {"l1": "0"}}',
            "line 3: a value of the wrong",
        ),
        ('{"id": "a", "method": "m", "protocol": "p", "values": {"l1": Infinity}}', "line 3: no JSON"),
        ('{"id": "r001", "method": "nano", "protocol": "fine"}', "line 3: r001/nano/fine stands there twice"),
    ],
)
def test_damaged_samples_are_refused_by_line(folder: Path, line: str, message: str) -> None:
    file = folder / "samples.jsonl"
    rows = [r for r in file.read_text().split("\n") if '"r001"' in r and '"fine"' in r]
    file.write_text("\n".join([*rows, line, ""]))
    assert len(rows) == 2
    with pytest.raises(DataError, match=r"samples\.jsonl") as caught:
        load_rows(folder)
    assert message in str(caught.value)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere.json"):
        with pytest.raises(DataError, match="no such file"):
            load_results(path)
    (tmp_path / "results.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(DataError, match="not UTF-8"):
        load_results(tmp_path)
