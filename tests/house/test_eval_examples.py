"""examples/eval.sh and the workflow that gates a model: their command lines run."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

sys.path.append(str(Path(__file__).parents[1] / "data"))

from needs import needs_font

from a2cli.cli import main

EXAMPLES = Path(__file__).parents[2] / "examples"
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
ENVIRONMENT = {**os.environ, "PATH": PATH, "OMP_NUM_THREADS": "1"}


def get_gate_line() -> list[str]:
    """The words of the workflow's `a2 eval`."""
    steps = yaml.safe_load((EXAMPLES / "github_actions" / "gate.yml").read_text())["jobs"]["eval"]["steps"]
    (line,) = [step["run"] for step in steps if step.get("run", "").startswith("a2 ")]
    return shlex.split(line)


def test_the_workflow_is_whole() -> None:
    workflow = yaml.safe_load((EXAMPLES / "github_actions" / "gate.yml").read_text())
    assert workflow["permissions"] == {"contents": "read"}
    steps = workflow["jobs"]["eval"]["steps"]
    assert all(("run" in step) != ("uses" in step) for step in steps)
    words = get_gate_line()
    out = words[words.index("-o") + 1]
    kept = steps[-1]["with"]["path"].split()
    assert [Path(path).parts[0] for path in kept] == [out] * 3 and f"{out}/results.md" in steps[-2]["run"]


@needs_font
def test_the_workflow_gates_a_method(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its own line, with a fill that knows no reference in the place of the model."""
    monkeypatch.chdir(tmp_path)
    words = [word.replace("nano", "telea") for word in get_gate_line()[1:]]
    words[words.index("outside_pixels=0")] = "telea/outside_pixels=0"  # asked of models alone without a name
    smaller = ["--limit", "2", "--workers", "1", "--set", "gallery=0", "--set", "data.synth.size=96", "-q"]
    assert main([*words, *smaller]) == 4
    missed = capsys.readouterr().err.splitlines()
    assert [line.split()[:4] for line in missed] == [
        ["a2:", "missed:", f"telea/{protocol}", "psnr@mask"] for protocol in ("fine", "rough")
    ]


@pytest.mark.slow
@needs_font
def test_the_gate_holds_for_the_embedded_model(tmp_path: Path) -> None:
    done = subprocess.run(get_gate_line(), capture_output=True, text=True, cwd=tmp_path, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    assert "| nano |" in (tmp_path / "gate/results.md").read_text()


@pytest.mark.slow
@needs_font
def test_the_example_runs(tmp_path: Path) -> None:
    command = [str(EXAMPLES / "eval.sh"), str(tmp_path), "1"]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    own, again = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("eval", "pred"))
    scores = {part["protocol"]: part["scores"] for part in own["parts"] if part["method"] == "nano"}
    assert {part["protocol"]: part["scores"] for part in again["parts"]} == scores
    assert (tmp_path / "study.html").read_text().startswith("<!doctype html>")
    assert "nano" not in (tmp_path / "study.html").read_text()
