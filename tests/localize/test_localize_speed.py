"""The benchmark of recording, small."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "benchmarks" / "localize_speed.py"
SMALL = ["--size", "64", "--steps", "1", "--heads", "1", "--tokens", "8", "16", "16", "--rounds", "1"]


def run_script(monkeypatch: pytest.MonkeyPatch, *options: str) -> None:
    """In this process: starting another would take ten times as long as the run."""
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *SMALL, *options])
    threads = torch.get_num_threads()
    try:
        with pytest.raises(SystemExit, match=r"^0$"):
            runpy.run_path(str(SCRIPT), run_name="__main__")
    finally:
        torch.set_num_threads(threads)


def test_json_holds_every_figure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run_script(monkeypatch, "--json")
    report = json.loads(capsys.readouterr().out)
    assert report["threads"] == report["rounds"] == 1
    assert [row["width"] for row in report["rows"]] == ["nano", 128, 128]
    assert [row.get("dtype") for row in report["rows"]] == [None, "float32", "bfloat16 autocast"]
    for row in report["rows"]:
        assert row["plain_s"] > 0 and row["recorded_s"] > 0
        assert row["overhead"] > -1 and row["blocks"] >= 2 and row["rows"] >= 4
    assert (report["rows"][1]["context"], report["rows"][1]["target"]) == (8 + 12 + 16, 4)


@pytest.mark.slow
def test_table_names_widths_and_overheads(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_script(monkeypatch)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["nano", "float32"],
        ["128", "float32"],
        ["128", "bfloat16"],
    ]
    assert all("overhead" in line and line.endswith("%") for line in lines)
