"""The sweep of lambda as a user runs it, small: more of it edits less, down to nothing."""

from __future__ import annotations

import csv
import runpy
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "examples" / "localize" / "lambda_sweep.py"


def run(
    capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch, *arguments: object
) -> tuple[int, str, str]:
    patch.setattr(sys, "argv", [str(SCRIPT), *(str(a) for a in arguments)])
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    return int(left.value.code or 0), *capsys.readouterr()


def test_a_higher_lambda_edits_less(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "sweep"
    arguments = ("--model", tiny_model, "--adapter", "none", "-n", 3, "--lambdas", 0.8, 0.2, 0.5, "-o", out)
    code, stdout, stderr = run(capsys, monkeypatch, *arguments)
    assert code == 0, stderr
    assert stdout == f"{out / 'lambda_sweep.svg'}\n"
    with (out / "lambda_sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["lambda"] for row in rows] == ["0.2", "0.5", "0.8"] and all(
        int(row["photos"]) >= 1 for row in rows
    )
    shares, distances = ([float(row[name]) for row in rows] for name in ("edited_share", "l1"))
    assert 1 >= shares[0] > shares[1] > shares[2] > 0
    assert distances[0] > distances[2] > 0
    root = ET.fromstring((out / "lambda_sweep.svg").read_text())
    texts = {node.text for node in root.iter() if node.text}
    assert {"How much is edited", "How far the photo changes: L1, grey levels"} <= texts
    assert any("threshold lambda" in text for text in texts)


def test_a_folder_without_pairs_is_one_line(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = (
        "--model",
        tiny_model,
        "--adapter",
        "none",
        "--data",
        tmp_path / "nothing",
        "-o",
        tmp_path / "out",
    )
    code, stdout, stderr = run(capsys, monkeypatch, *arguments)
    assert (code, stdout) == (2, "") and "nothing" in stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_a_lambda_out_of_range_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, stdout, stderr = run(capsys, monkeypatch, "--lambdas", 0.5, 2, "-o", tmp_path / "out")
    assert (code, stdout) == (2, "") and stderr.startswith("lambda_sweep: the threshold is 2.0")
    assert stderr.count("\n") == 1 and not (tmp_path / "out").exists()
