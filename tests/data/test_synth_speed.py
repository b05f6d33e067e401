"""The benchmark of synthesis as a user runs it, small."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from needs import needs_font

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "examples" / "benchmarks" / "synth_speed.py"


def run_script(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), "--pairs", "6", "--size", "32", "--rounds", "1", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)


@needs_font
def test_json_holds_every_figure() -> None:
    done = run_script("--workers", "1", "2", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert (report["size"], report["pairs"], report["rounds"]) == (32, 6, 1)
    assert [run["workers"] for run in report["runs"]] == [1, 2]
    for run in report["runs"]:
        assert run["pairs_per_s"] > 0 and run["kB_per_pair"] > 1
        assert run["seconds_per_1000"] == pytest.approx(1000 / run["pairs_per_s"])
    assert set(report["parts"]) == {"pair_ms", "png_ms", "parquet_ms"} and min(report["parts"].values()) > 0


@needs_font
def test_the_table_names_processes_and_parts() -> None:
    done = run_script("--workers", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "6 pairs of 32 px" in done.stdout and "\n        1 " in done.stdout and "parquet" in done.stdout
