"""Methods set against one of them: the differences of pairs, and where they are told."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from scored import make_results, make_rows

from a2cli.commands.eval.scores import print_scores
from a2cli.errors import ConfigError
from a2cli.evaluation.config import EvalConfig, MethodConfig
from a2cli.evaluation.report.markdown import build_markdown
from a2cli.evaluation.report.page import build_report
from a2cli.evaluation.scoring.against import list_against
from a2cli.evaluation.scoring.stats import get_difference

ROWS = make_rows(("paste", "nano", "other"))
RESULTS = replace(make_results(ROWS), config={"against": "paste"})


def test_every_other_method_is_subtracted_record_by_record() -> None:
    found = {(one.protocol, one.method, one.key): one for one in list_against(RESULTS, ROWS)}
    assert found.keys() == {
        (protocol, method, key)
        for protocol in ("fine", "rough")
        for method in ("nano", "other")
        for key in ("l1", "psnr", "psnr@mask")
    }
    one = found["rough", "nano", "psnr"]
    paste, nano = (
        {row.id: row.values["psnr"] for row in ROWS if (row.method, row.protocol) == (name, "rough")}
        for name in ("paste", "nano")
    )
    assert one.difference == get_difference(paste, nano, {row.id: row.group for row in ROWS})
    assert 2.5 < one.difference.mean < 3.5 and one.difference.se is not None
    assert one.relative == pytest.approx(one.difference.mean / (sum(paste.values()) / len(paste)))


def test_its_errors_are_drawn_as_the_scores_are() -> None:
    none = replace(RESULTS, config={"against": "paste", "bootstrap": 0})
    assert {one.difference.se for one in list_against(none, ROWS)} == {None}
    other = replace(RESULTS, config={"against": "paste", "seed": 1})
    first, second = (next(list_against(results, ROWS)).difference for results in (RESULTS, other))
    assert first.mean == second.mean and first.se != second.se


def test_records_that_one_side_lacks_are_left_out() -> None:
    rows = [row for row in ROWS if not (row.method == "nano" and row.id < "r012")]
    assert {one.difference.n for one in list_against(RESULTS, rows) if one.method == "nano"} == {12}


def test_none_is_told_where_none_is_named() -> None:
    plain = make_results(ROWS)
    assert list(list_against(plain, ROWS)) == []
    assert "Against" not in build_markdown(plain, ROWS) + build_report(plain, ROWS)


def test_they_are_in_the_texts_and_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    text = build_markdown(RESULTS, ROWS)
    section = text[text.index("## Against paste") :]
    assert re.search(r"\| rough \| nano \| .*\+\d\.\d+ ± 0\.\d+ \(\+\d\d %\)", section)
    page = build_report(RESULTS, ROWS)
    assert "<h2>Against paste</h2>" in page and "rough: method minus paste" in page
    print_scores(RESULTS, ROWS)
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    told = next(line for line in lines if line[:3] == ["fine", "nano minus paste", "psnr"])
    one = next(one for one in list_against(RESULTS, ROWS) if (one.method, one.key) == ("nano", "psnr"))
    assert told[3:] == [f"{one.difference.mean:.8g}", f"{one.difference.se:.8g}", "24"]


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"against: there is no method 'nan'.*did you mean 'nano'"):
        EvalConfig(methods=(MethodConfig("nano"),), out="o", against="nan")
    with pytest.raises(ConfigError, match="finished edits are of one method"):
        EvalConfig(pred="p", against="nano")
