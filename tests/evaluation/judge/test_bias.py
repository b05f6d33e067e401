"""A judge whom the order of the pictures moves is found out, one whom it does not is not accused."""

from __future__ import annotations

from pathlib import Path

import pytest
from api_server import serve_api
from judge_server import build_shot, build_shots, mark_by_level, open_on, prefer_by_level, say

from a2cli.evaluation.judge.bias import decide, get_mean, summarise


def test_a_biased_judge_shows(tmp_path: Path) -> None:
    with serve_api(mark_by_level(bias=12.0)) as server:
        judge = open_on(server, tmp_path, swap=1.0, workers=4)
        values = judge.measure(build_shots(8))
    bias = judge.report()["position_bias"]["vlm"]
    assert bias["n"] == 8 and bias["mean"] == pytest.approx(-12) and bias["se"] < 0.01
    with serve_api(mark_by_level()) as server:
        plain = open_on(server, tmp_path / "plain", swap=0.0)
        assert plain.measure(build_shots(8)) == values  # the swapped asks change no mark
    assert plain.report()["position_bias"] == {}


def test_an_unbiased_judge_does_not(tmp_path: Path) -> None:
    with serve_api(mark_by_level()) as server:
        judge = open_on(server, tmp_path, swap=1.0)
        judge.measure(build_shots(8))
    report = judge.report()
    assert len(server.requests) == 16 == report["asked"]
    assert set(report["position_bias"]) == {"vlm", "vlm_boundary", "vlm_realism", "vlm_consistency"}
    for bias in report["position_bias"].values():
        assert bias == {"mean": 0.0, "se": 0.0, "n": 8}
    assert report["coverage"]["vlm"] == 1 and report["expected"]["vlm"] == 8


def test_a_share_is_swapped_whoever_comes_with_it(tmp_path: Path) -> None:
    shots = [build_shot(level) for level in range(0, 200, 5)]
    with serve_api(mark_by_level()) as server:
        together = open_on(server, tmp_path, swap=0.3, workers=4)
        together.measure(shots)
        alone = open_on(server, tmp_path, swap=0.3, budget=0)
        for shot in reversed(shots):
            alone.measure([shot])
    n = together.report()["position_bias"]["vlm"]["n"]
    assert 4 <= n <= 22 and len(server.requests) == 40 + n
    assert alone.report()["position_bias"] == together.report()["position_bias"]
    assert alone.report()["failed"] == {}


def test_vie_is_swapped_where_there_is_an_order(tmp_path: Path) -> None:
    meaning = [say({"request_followed": 9, "rest_kept": 8}), say({"request_followed": 7, "rest_kept": 5})]
    with serve_api(*meaning, say({"clean": 4, "naturalness": 6})) as server:
        judge = open_on(server, tmp_path, ask=("vie",), swap=1.0)
        (values,) = judge.measure([build_shot()])
    assert len(server.requests) == 3 and values["vie_sc"] == 8 and values["vie_pq"] == 4
    assert judge.report()["position_bias"] == {"vie_sc": {"mean": 3, "se": None, "n": 1}}


def test_a_side_that_is_taken_for_its_place_shows(tmp_path: Path) -> None:
    shots_a, shots_b = build_shots(6), [build_shot(200 - 9 * i, id=f"n{i}") for i in range(6)]
    with serve_api(prefer_by_level(lambda difference: True)) as server:
        biased = open_on(server, tmp_path / "biased")
        assert {p.winner for p in biased.compare(shots_a, shots_b)} == {"tie"}
    report = biased.report()["side_by_side"]
    assert report["inconsistent"] == 1 and report["first_place"] == {"mean": 1.0, "se": 0.0, "n": 6}
    with serve_api(prefer_by_level()) as server:
        fair = open_on(server, tmp_path / "fair")
        assert {p.winner for p in fair.compare(shots_a, shots_b)} == {"b"}
    report = fair.report()["side_by_side"]
    assert report["inconsistent"] == 0 and report["first_place"] == {"mean": 0.5, "se": 0.0, "n": 6}
    assert report["losses"] == 6


def test_decisions() -> None:
    table = {
        ("first", "second"): ("a", True), ("second", "first"): ("b", True), ("same", "same"): ("tie", True),
        ("first", "first"): ("tie", False), ("second", "second"): ("tie", False), ("first", "same"): ("tie", False),
        (None, "first"): (None, None), ("first", None): (None, None),
    }  # fmt: skip
    for answers, (winner, consistent) in table.items():
        found = decide("one", *answers)  # type: ignore[arg-type]
        assert (found.winner, found.consistent, found.answers) == (winner, consistent, answers)


def test_means_have_errors_where_they_can() -> None:
    assert get_mean([]) == {"mean": None, "se": None, "n": 0}
    assert get_mean([2.0]) == {"mean": 2.0, "se": None, "n": 1}
    assert get_mean([1.0, 3.0]) == {"mean": 2.0, "se": 1.0, "n": 2}
    assert summarise([])["inconsistent"] is None
