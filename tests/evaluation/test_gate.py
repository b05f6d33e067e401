"""Thresholds and the older run that must not be undercut."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scored import make_results, make_rows, with_mean

from a2cli.errors import ConfigError
from a2cli.evaluation.config import GateConfig
from a2cli.evaluation.gate import check_baseline, check_thresholds, parse_thresholds
from a2cli.evaluation.results import Results

METHODS, PROTOCOLS, MEASURED = (
    {"nano": False, "paste": True},
    ("fine", "rough"),
    ("psnr", "l1", "fid", "clip_i"),
)


@pytest.fixture(scope="module")
def results() -> Results:
    """nano has 23 and 22 dB, paste 20 and 19."""
    found = make_results(make_rows())
    for method, protocol, value in (
        ("nano", "fine", 23.0),
        ("nano", "rough", 22.0),
        ("paste", "fine", 20.0),
        ("paste", "rough", 19.0),
    ):
        found = with_mean(found, method, protocol, "psnr", value)
    return found


def check(results: Results, *, under: tuple[str, ...] = (), over: tuple[str, ...] = ()) -> list[str]:
    gate = GateConfig(fail_under=under, fail_over=over)
    return check_thresholds(parse_thresholds(gate, METHODS, PROTOCOLS, MEASURED), results)


def test_a_threshold_holds_for_every_method_that_is_no_baseline(results: Results) -> None:
    assert check(results, under=("psnr=22",)) == []
    assert check(results, under=("psnr=22.5",)) == ["nano/rough psnr = 22 (n 24), wanted at least 22.5"]
    assert check(results, over=("psnr=21.9",)) == [
        "nano/fine psnr = 23 (n 24), wanted at most 21.9",
        "nano/rough psnr = 22 (n 24), wanted at most 21.9",
    ]


@pytest.mark.parametrize(
    ("text", "missed"),
    [
        ("fine/psnr=22.5", []),
        ("rough/psnr=22.5", ["nano/rough"]),
        ("paste/psnr=19.5", ["paste/rough"]),
        ("paste/fine/psnr=20", []),
        ("paste/fine/psnr=20.0001", ["paste/fine"]),
        ("psnr@mask=99", ["nano/fine", "nano/rough"]),
    ],
)
def test_a_threshold_can_name_its_place(results: Results, text: str, missed: list[str]) -> None:
    assert [line.split(" ")[0] for line in check(results, under=(text,))] == missed


def test_what_is_missing_fails_and_says_why(results: Results) -> None:
    assert check(results, under=("clip_i=0",)) == [
        "nano/fine clip_i is missing: no network here, wanted at least 0",
        "nano/rough clip_i is missing: no network here, wanted at least 0",
    ]
    assert check(results, over=("nano/fine/fid=1e9",)) == [
        "nano/fine fid is missing: no edit has a value, wanted at most 1e+09"
    ]
    for mean in (None, float("nan")):
        broken = with_mean(results, "nano", "fine", "psnr", mean)
        assert len(check(broken, under=("fine/psnr=0",))) == len(check(broken, over=("fine/psnr=99",))) == 1
    nothing = replace(results, parts=tuple(replace(part, n=0, scores={}) for part in results.parts))
    assert check(nothing, under=("fine/psnr=0",)) == [
        "nano/fine psnr is missing: no edit was measured, wanted at least 0"
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pnsr=3", "did you mean 'psnr'?"),
        ("psnr@msk=3", "did you mean 'psnr@mask'?"),
        ("nanno/psnr=3", "there is no method or protocol 'nanno' (did you mean 'nano'?)"),
        ("nano/ruogh/psnr=3", "there is no protocol 'ruogh' (did you mean 'rough'?)"),
        ("a/nano/fine/psnr=3", "too many names"),
        ("psnr", "no threshold"),
        ("psnr=", "no threshold"),
        ("psnr=nan", "no threshold"),
        ("psnr=inf", "no threshold"),
        ("=3", "no metric is called ''"),
        ("ssim=0.5", "ssim is not measured (add --metrics ssim)"),
    ],
)
def test_what_is_no_threshold_is_said_before_any_work(text: str, message: str) -> None:
    for name, gate in (
        ("--fail-under", GateConfig(fail_under=(text,))),
        ("--fail-over", GateConfig(fail_over=(text,))),
    ):
        with pytest.raises(ConfigError) as caught:
            parse_thresholds(gate, METHODS, PROTOCOLS, MEASURED)
        assert message in str(caught.value) and name in str(caught.value)


def test_a_threshold_that_would_hold_for_nothing_is_refused() -> None:
    gate = GateConfig(fail_under=("psnr=3",))
    with pytest.raises(ConfigError, match=r"every method is a baseline \(name one: paste/psnr=3\)"):
        parse_thresholds(gate, {"paste": True}, PROTOCOLS, MEASURED)
    with pytest.raises(ConfigError, match="fine is a method and a protocol"):
        parse_thresholds(GateConfig(fail_under=("fine/psnr=3",)), {"fine": False}, PROTOCOLS, MEASURED)


def test_an_older_run_may_be_undercut_by_rtol_in_the_wrong_direction_only(results: Results) -> None:
    assert check_baseline(results, results, 0.0) == ([], [])
    for mean, missed in ((22.55, []), (22.53, ["nano/fine psnr"]), (40.0, [])):
        now = with_mean(results, "nano", "fine", "psnr", mean)
        assert [line.partition(" = ")[0] for line in check_baseline(now, results, 0.02)[0]] == missed
    old = with_mean(results, "nano", "fine", "l1", 0.1)
    for mean, count in ((0.102, 0), (0.1021, 1), (0.01, 0)):
        now = with_mean(old, "nano", "fine", "l1", mean)
        found = check_baseline(now, old, 0.02)[0]
        assert len(found) == count
    line = "nano/fine l1 = 0.1021 (n 24), wanted at most 0.102 (baseline 0.1, 0.02 of it allowed)"
    assert check_baseline(with_mean(old, "nano", "fine", "l1", 0.1021), old, 0.02)[0] == [line]


def test_of_an_old_zero_nothing_may_be_lost(results: Results) -> None:
    old = with_mean(results, "nano", "fine", "l1", 0.0)
    for mean, count in ((0.0, 0), (1e-10, 0), (1e-6, 1)):
        assert len(check_baseline(with_mean(old, "nano", "fine", "l1", mean), old, 0.5)[0]) == count


def test_a_part_or_value_that_is_gone_fails(results: Results) -> None:
    fewer = replace(results, parts=tuple(part for part in results.parts if part.protocol == "fine"))
    assert check_baseline(fewer, results, 0.5)[0] == ["nano/rough is missing, the baseline has it"]
    for mean in (None, float("nan")):
        found = check_baseline(with_mean(results, "nano", "fine", "psnr", mean), results, 0.5)[0]
        assert len(found) == 1 and found[0].startswith(
            "nano/fine psnr is missing" if mean is None else "nano/"
        )
    worse = with_mean(results, "paste", "fine", "psnr", 1.0)  # of a baseline's values nothing is asked
    assert check_baseline(worse, results, 0.02)[0] == []
    assert check_baseline(results, fewer, 0.02)[0] == []  # more than before is fine


def test_what_makes_two_runs_hard_to_compare_is_said(results: Results) -> None:
    other = replace(
        results,
        data={"name": "made", "split": "validation"},
        metrics={**results.metrics, "l1": {**results.metrics["l1"], "implementation": "drawn anew"}},
        protocols={"fine": {"kind": "fine"}, "rough": {"kind": "rough", "by": ["32 px"]}},
        parts=tuple(replace(part, n=20) for part in results.parts),
    )
    missed, warned = check_baseline(other, results, 0.02)
    assert missed == [] and warned == [
        "other data than in the baseline: split validation, not test",
        "l1 is measured by drawn anew, in the baseline by drawn",
        "the masks of rough are others than in the baseline",
        "nano/fine: 20 edits measured, 24 in the baseline",
        "nano/rough: 20 edits measured, 24 in the baseline",
    ]
