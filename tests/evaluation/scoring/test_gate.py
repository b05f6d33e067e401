"""Thresholds and the older run that must not be undercut."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from scored import make_results, make_rows, with_mean

from a2cli.errors import ConfigError
from a2cli.evaluation.config import GateConfig
from a2cli.evaluation.results import Results, Score
from a2cli.evaluation.scoring.gate import (
    check_baseline,
    check_thresholds,
    parse_thresholds,
    require_comparable,
)

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
    l1 = with_mean(with_mean(results, "nano", "fine", "l1", 0.05), "nano", "rough", "l1", 0.07)
    assert check(l1, over=("l1=0.07",)) == []
    assert check(l1, over=("l1=0.06",)) == ["nano/rough l1 = 0.07 (n 24), wanted at most 0.06"]


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
        assert len(check(broken, under=("fine/psnr=0",))) == 1
        broken = with_mean(results, "nano", "fine", "l1", mean)
        assert len(check(broken, over=("fine/l1=99",))) == 1
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


def parse(*, under: tuple[str, ...] = (), over: tuple[str, ...] = ()) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_thresholds(GateConfig(fail_under=under, fail_over=over), METHODS, PROTOCOLS, MEASURED)
    return str(caught.value)


def test_a_metric_that_is_not_measured_and_a_bound_on_the_good_side_are_refused() -> None:
    assert parse(under=("ssim=0.5",)) == "--fail-under 'ssim=0.5': ssim is not measured (add --metrics ssim)"
    assert parse(over=("psnr=40",)) == "--fail-over 'psnr=40': psnr is better higher (--fail-under psnr=40)"
    text = "nano/fine/l1@mask=0.1"
    assert parse(under=(text,)) == f"--fail-under '{text}': l1 is better lower (--fail-over {text})"


def test_a_mask_may_be_spelled_as_it_was_asked_for() -> None:
    names = ("dilate-3pct", "shift-32_-4")
    texts = ("dilate:3%/psnr=1", "nano/dilate-3pct/psnr=1", "shift:32,-4/psnr=1", "dilate:3.0%/psnr=1")
    found = parse_thresholds(GateConfig(fail_under=texts), METHODS, names, MEASURED)
    assert [one.protocol for one in found] == ["dilate-3pct", "dilate-3pct", "shift-32_-4", "dilate-3pct"]
    with pytest.raises(ConfigError, match="there is no method or protocol 'dilate-4'"):
        parse_thresholds(GateConfig(fail_under=("dilate:4/psnr=1",)), METHODS, names, MEASURED)


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
    )
    missed, warned = check_baseline(other, results, 0.02)
    assert missed == [] and warned == [
        "other data than in the baseline: split validation, not test",
        "l1 is measured by drawn anew, in the baseline by drawn",
        "the masks of rough are others than in the baseline",
    ]


def test_fewer_edits_than_before_are_a_miss_and_more_are_told(results: Results) -> None:
    fewer = replace(results, parts=tuple(replace(part, n=20) for part in results.parts))
    lines = [f"nano/{protocol}: 20 edits measured, 24 in the baseline" for protocol in PROTOCOLS]
    assert check_baseline(fewer, results, 0.02) == (lines, [])
    missed, warned = check_baseline(results, fewer, 0.02)
    assert missed == [] and warned == [f"nano/{p}: 24 edits measured, 20 in the baseline" for p in PROTOCOLS]
    first = next(part for part in results.parts if (part.method, part.protocol) == ("nano", "fine"))
    scores = {**first.scores, "psnr": replace(first.scores["psnr"], n=23)}
    parts = tuple(replace(part, scores=scores) if part is first else part for part in results.parts)
    assert check_baseline(replace(results, parts=parts), results, 0.02) == (
        ["nano/fine psnr is of 23 edits, of 24 in the baseline"],
        [],
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"records_sha256": "b", "split": "dev"}, "24 of made dev, not 24 of made test"),
        ({"records_sha256": "b"}, "24 of made test in both, of other ids, categories or prompts"),
        ({"seed": 2}, "seed 2, not 1"),
        ({"synth": {"size": 128, "glyphs": 0.6}}, "24 of made test in both, of other settings"),
        ({"pairs": "unpaired"}, "pairs unpaired, not nothing"),
    ],
)
def test_other_records_are_one_miss(results: Results, changes: dict[str, Any], told: str) -> None:
    old = replace(results, data={**results.data, "records_sha256": "a", "seed": 1, "synth": {"size": 256}})
    new = replace(with_mean(old, "nano", "fine", "psnr", 1.0), data={**old.data, **changes})
    line = f"the records are others than in the baseline: {told}"
    assert check_baseline(new, old, 0.02) == ([line], [])
    later = replace(old, data={**old.data, "synth": {"size": 256, "added later": 1}})
    assert check_baseline(later, old, 0.02) == ([], [])


def test_what_the_older_run_measured_has_to_be_measured_now(results: Results) -> None:
    require_comparable(results, "old", ["l1", "psnr", "ssim"])
    for metrics, told in (
        (["l1"], "--baseline old: psnr is not measured (add --metrics psnr)"),
        ([], "--baseline old: psnr, l1 are not measured (add --metrics psnr,l1)"),
    ):
        with pytest.raises(ConfigError) as caught:
            require_comparable(results, "old", metrics)
        assert str(caught.value) == told
    parts = tuple(replace(part, scores={"vlm": Score(70.0, None, 24)}) for part in results.parts)
    with pytest.raises(ConfigError, match=r"vlm is not measured .add --judge API:MODEL."):
        require_comparable(replace(results, parts=parts), "old", ["psnr"])
    alone = make_results(make_rows(("paste",)))
    with pytest.raises(ConfigError, match="every method there is a baseline"):
        require_comparable(alone, "old", ["psnr", "l1"])
