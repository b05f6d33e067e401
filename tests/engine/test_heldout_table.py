"""The held-out table as a user runs it, without a model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from a2cli.data.glyphs import find_emoji_font
from a2cli.errors import DataError

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "examples" / "benchmarks" / "heldout_table.py"


def run_script(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "140", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)


@pytest.mark.debian
def test_json_table_and_sheet(tmp_path: Path) -> None:
    try:
        find_emoji_font()
    except DataError as error:
        pytest.skip(str(error))
    sheet = tmp_path / "sheet.png"
    done = run_script(
        "--baselines-only", "--per-category", "1", "--size", "64", "--json", "--sheet", str(sheet)
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert list(report["protocols"]) == ["fine", "rough", "box"]
    for protocol in report["protocols"].values():
        assert protocol["n"] == 8 and list(protocol["methods"]) == [
            "mean",
            "telea",
            "paste",
            "registered",
            "truth",
        ]
        assert len(protocol["methods"]["paste"]["per_category"]) == 8
    assert len(report["samples"]) == 8 * 3 * 5 and report["run"]["backbone"] is None
    assert "held-out pairs" in done.stderr and "paste" in done.stderr
    assert sheet.read_bytes().startswith(b"\x89PNG")


def test_wrong_protocol_is_a_usage_error() -> None:
    done = run_script("--protocols", "crude")
    assert done.returncode == 2 and "crude" in done.stderr and not done.stdout
