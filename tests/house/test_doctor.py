"""a2 doctor: everything in order exits 0; a broken plugin is named and exits 1."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from a2cli import __version__
from a2cli.commands.checks import _is_enough


def run_doctor(path: str = "") -> tuple[int, dict[str, dict[str, object]]]:
    done = subprocess.run(
        [sys.executable, "-m", "a2cli", "doctor", "--json"],
        capture_output=True, text=True, timeout=300, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert done.stderr == ""
    return done.returncode, {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}


def test_a_broken_plugin_is_reported(tmp_path: Path) -> None:
    info = tmp_path / "bad_plugin-3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad-plugin\nVersion: 3\n")
    (info / "entry_points.txt").write_text("[a2.backbones]\nbad = nowhere_at_all:Bad\n")
    code, rows = run_doctor(str(tmp_path))
    assert code == 1
    assert not rows["backbone bad"]["ok"]
    assert "nowhere_at_all" in str(rows["backbone bad"]["detail"])
    assert "bad-plugin 3" in str(rows["backbone bad"]["detail"])
    assert rows["backbone nano"]["ok"]
    assert str(rows["a2"]["detail"]).startswith(__version__)
    assert all(rows[name]["ok"] for name in ("python", "torch", "diffusers", "transformers", "cpu", "memory"))
    assert "a2cli[quant], torchao>=" in str(rows["torchao"]["detail"])
    assert "synth" in str(rows["scikit-image"]["detail"])
    assert "pytest" not in rows and set(rows["torchao"]) == {"name", "ok", "detail"}


def test_versions_are_compared_by_their_numbers() -> None:
    for found, need, enough in (
        ("0.18.0+cpu", "torchao>=0.18", True),
        ("0.9", "torchao>=0.18", False),
        ("18.0.0", "av>=18", True),
        ("2.9rc1", "x>=2.10", False),
        ("1", "x", True),
    ):
        assert _is_enough(found, need) is enough, (found, need)
