"""examples/dataset.sh from nothing to the pages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from needs import needs_font

from a2cli.data.browse import browse

SCRIPT = Path(__file__).parents[2] / "examples" / "dataset.sh"


@pytest.mark.slow
@needs_font
def test_the_example_runs(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [str(SCRIPT), str(tmp_path), "96"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PATH": path})
    assert done.returncode == 0, done.stderr
    splits = [entry.split for entry in browse(str(tmp_path / "split"))]
    assert splits.count("test") == 5 * 8 and 0 < splits.count("train") <= 96 - 5 * 8
    for page in ("stats.html", "preview.html"):
        assert (tmp_path / page).read_text().startswith("<!doctype html>")
