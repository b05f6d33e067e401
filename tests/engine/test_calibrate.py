"""Which blocks find a named thing best: scores of known maps, and `a2 doctor --localize` on a tiny model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from edits import make_pipeline

from a2cli.cli import main
from a2cli.data.synth import SynthConfig
from a2cli.data.synth_run import write_synthesised
from a2cli.engine.calibrate import CalibrateConfig, choose_range, list_pairs, run_calibrate
from a2cli.engine.localize import get_blocks
from a2cli.errors import ConfigError, DataError

PHOTOS = Path(__file__).resolve().parents[2] / "examples" / "photos"


def run_doctor(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capfd.readouterr()
    code = main(["doctor", *(str(a) for a in arguments)])
    return code, *capfd.readouterr()


def test_the_best_range_is_found_where_it_is() -> None:
    rng = np.random.default_rng(1)
    samples = []
    for _ in range(6):
        x, y = rng.integers(0, 12, 2)
        tokens = np.zeros((16, 16))
        tokens[y : y + 4, x : x + 4] = 1
        maps = rng.random((6, 16, 16))  # blocks 0, 1, 4, 5 know nothing
        maps[2:4] = 0.1 * maps[2:4]
        maps[2, :, ::2] += tokens[:, ::2]  # and 2 and 3 know a half each
        maps[3, :, 1::2] += tokens[:, 1::2]
        samples.append((maps, tokens))
    assert choose_range(samples) == [2, 3]
    assert choose_range([(maps[:1], tokens) for maps, tokens in samples]) == [0]


def test_synthesised_pairs_know_what_is_named() -> None:
    pairs = list(list_pairs(CalibrateConfig("synth", pairs=3)))
    assert len(pairs) == 3 and len({pair.id for pair in pairs}) == 3
    assert all(pair.id.startswith("train-") for pair in pairs)  # others than a2 eval measures on
    assert all(
        pair.src_mask is not None and pair.src_mask.any() and pair.keyword in pair.prompt for pair in pairs
    )
    with pytest.raises(ConfigError, match="-n is 0"):
        CalibrateConfig("synth", pairs=0)


def test_every_block_is_scored_and_the_best_written(
    tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    traits = model / "a2_traits.json"
    before = json.loads(traits.read_text())
    code, out, err = run_doctor(capfd, "--localize", "synth", "-n", 4, "--model", model, "--write")
    assert code == 0 and err.splitlines()[-1] == f"written: {traits}" and "Loading" not in err, err
    rows = [line.split("\t") for line in out.splitlines()]
    assert rows[0] == ["blocks", "IoU", "± se", "AUC"]
    assert [row[0] for row in rows[1:3]] == ["transformer_blocks.0", "single_transformer_blocks.0"]
    assert rows[3][0].startswith("best: ") and all(0 <= float(v) <= 1 for row in rows[1:] for v in row[1:])
    after = json.loads(traits.read_text())
    assert after.pop("localize_blocks") and before.pop("localize_blocks") == [] and after == before
    pipeline = make_pipeline(model)
    chosen = get_blocks(pipeline)
    assert chosen and rows[3][0].split()[1] == chosen[0]
    code, out, _ = run_doctor(capfd, "--localize", "synth", "-n", 4, "--model", model, "--json")
    report = json.loads(out)
    assert code == 0 and tuple(report["best"]["blocks"]) == chosen and report["written"] is None
    assert [f"{block['iou']:.3f}" for block in report["blocks"]] == [row[1] for row in rows[1:3]]


def test_what_cannot_be_calibrated_is_one_line(
    tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for arguments, message in (
        (("--write",), "--write and --model go with --localize"),
        (("--model", tiny_model), "--write and --model go with --localize"),
        (("--localize", tmp_path / "nowhere"), "nowhere"),
        (("--localize", "synth", "--backbone", "flux-fill", "--write"), "is no model folder on this machine"),
        (("--localize", "synth", "--backbone", "nanno"), "did you mean 'nano'"),
    ):
        code, out, err = run_doctor(capfd, *arguments)
        assert (code, out) == (2, "") and message in err.splitlines()[-1], err


def test_a_set_without_sentences_is_told_so(tiny_model: Path, tmp_path: Path) -> None:
    write_synthesised(tmp_path / "set", 4, split="train", config=SynthConfig(size=64, photos=str(PHOTOS)))
    config = CalibrateConfig(str(tmp_path / "set"), model=str(tiny_model), pairs=2)
    with pytest.raises(DataError, match="no pair has a photo before its edit"):
        run_calibrate(config)
