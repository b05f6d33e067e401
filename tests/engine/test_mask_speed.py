"""The benchmark of masks as a user runs it, small."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "examples" / "benchmarks" / "mask_speed.py"


def run_script(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), "--size", "160", "--object", "60", "--rounds", "1", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)


def test_json_holds_every_figure() -> None:
    done = run_script("--radii", "3", "9", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert report["size"] == 160 and 45 < report["object"] < 80
    assert [row["radius"] for row in report["dilation"]] == [3, 9]
    for row in report["dilation"]:
        assert row["element_ratio"] == row["element_ms"] / row["a2_ms"] > 0
        assert row["transform_ratio"] == row["transform_ms"] / row["a2_ms"] > 0
    assert [row["stage"] for row in report["stages"]] == ["rough", "box"]
    assert all(row["masks_per_s"] > 0 and row["worst_ms"] >= row["ms"] > 0 for row in report["stages"])


def test_table_names_radii_and_stages() -> None:
    done = run_script("--radii", "5")
    assert (done.returncode, done.stderr) == (0, "")
    assert "one core" in done.stdout and "\n     5 " in done.stdout and "masks/s a core" in done.stdout
