"""What is missing, in words, and the exit code."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scored import make_results, make_rows

from a2cli.evaluation.records.cases import CaseFailure
from a2cli.evaluation.results import Row
from a2cli.evaluation.scoring.outcome import Outcome, explain, list_missing
from a2cli.metrics.table import METRICS

ROWS = make_rows(("nano",), ("fine",), n=3)
FAILED = CaseFailure("r0", "measure", "psnr@mask, l1", "a bad picture", "nano", "fine")


def test_metrics_that_miss_the_same_share_a_line() -> None:
    assert list_missing({"l1": "x", "fid": "y", "psnr": "x", "ssim": "x"}) == [
        "l1, psnr and ssim are missing: x",
        "fid is missing: y",
    ]
    assert list_missing({}) == []


@pytest.mark.parametrize(
    ("name", "rows", "why"),
    [
        ("l1", ROWS, "failed on every edit: a bad picture"),
        ("psnr", ROWS, "failed on every edit: a bad picture"),
        ("ssim", ROWS, "no edit of a record with a target"),
        ("fid", ROWS, "fewer than two edits, or no edit of a record with a target"),
        ("vlm", ROWS, "the judge gave no mark (see judge)"),
        ("ssim", [replace(row, error="gone") for row in ROWS], "no edit was measured"),
        ("fid", [], "no edit was measured"),
        ("seam", [replace(row, mask_share=1.0) for row in ROWS], "the mask covers the whole picture"),
        ("histogram", [replace(row, mask_share=1.0) for row in ROWS], "no edit of a record with a reference"),
        ("outside_max", ROWS, "no edit of a record with a source"),
    ],
)
def test_the_reason_is_the_one_that_holds(name: str, rows: list[Row], why: str) -> None:
    assert explain(METRICS[name], rows, [FAILED]) == why


def test_the_exit_code_says_the_worst() -> None:
    results = make_results(ROWS)
    good = Outcome(results, ROWS, [], [], ["told"])
    assert (good.exit_code, good.list_lacks()) == (0, [])
    assert replace(good, failures=[FAILED]).exit_code == 3
    assert replace(good, failures=[FAILED], missed=["psnr"]).exit_code == 4
    lacking = replace(good, lacking=("clip_i",))
    assert (lacking.exit_code, lacking.list_lacks()) == (3, ["clip_i is missing: no network here"])
    nothing = replace(good, results=replace(results, parts=()))
    assert nothing.exit_code == 3
    assert nothing.list_lacks() == ["nothing was measured: clip_i is missing: no network here"]
    gone = replace(nothing, rows=[], failures=[FAILED])
    assert gone.list_lacks() == ["nothing was measured, the first failed: a bad picture"]
