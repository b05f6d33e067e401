"""Which blocks find a named thing best: scores of known maps, and `a2 doctor --localize` on a tiny model."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from edits import make_pipeline
from safetensors.torch import load_file, save_file

from a2cli.backbones.flux import NANO_FOLDER
from a2cli.cli import main
from a2cli.config.localize import LocalizeOptions
from a2cli.data.synth import SynthConfig
from a2cli.data.synth_run import write_synthesised
from a2cli.engine.block_scores import Sample, choose_heads, choose_range, score_heads
from a2cli.engine.calibrate import SYNTH, CalibrateConfig, find_traits_folder, list_pairs, run_calibrate
from a2cli.engine.localize import Seeker, get_blocks
from a2cli.errors import ConfigError, DataError
from a2cli.localize import HeadMaps

PHOTOS = Path(__file__).resolve().parents[2] / "examples" / "photos"


def run_doctor(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capfd.readouterr()
    code = main(["doctor", *(str(a) for a in arguments)])
    return code, *capfd.readouterr()


def draw_samples(blocks: int, heads: int, knowing: dict[tuple[int, int], slice]) -> list[Sample]:
    """Attention that is noise, but for heads that know where the thing is in some of its columns."""
    rng = np.random.default_rng(1)
    samples = []
    for _ in range(6):
        x, y = rng.integers(0, 12, 2)
        tokens = np.zeros((16, 16))
        tokens[y : y + 4, x : x + 4] = 1
        maps = rng.random((blocks, heads, 16, 16))
        for at, columns in knowing.items():
            maps[at] *= 0.1
            maps[at][:, columns] += tokens[:, columns]
        samples.append(Sample(maps, tokens.repeat(8, 0).repeat(8, 1) > 0, tokens))
    return samples


EVEN, ODD = slice(0, None, 2), slice(1, None, 2)


def test_the_best_range_is_found_where_it_is() -> None:
    samples = draw_samples(6, 1, {(2, 0): EVEN, (3, 0): ODD})  # they know a half each
    assert choose_range(samples) == [2, 3]
    assert choose_range([replace(sample, maps=sample.maps[:1]) for sample in samples]) == [0]


def test_planted_heads_are_found_among_those_of_a_range() -> None:
    samples = draw_samples(4, 5, {(1, 3): EVEN, (2, 0): ODD, (3, 1): slice(None)})
    assert choose_heads(samples, [1, 2]) == [(1, 3), (2, 0)]
    assert choose_heads(samples, [0, 1, 2, 3]) == [(3, 1)]  # it knows all, and the others add nothing
    planted, whole = (
        score_heads(samples, chosen, ("x",)).iou
        for chosen in ([(1, 3), (2, 0)], [(block, head) for block in (1, 2) for head in range(5)])
    )
    assert planted > 0.85 > whole + 0.2
    alike = [replace(sample, maps=sample.maps[:, :1].repeat(2, 1)) for sample in samples]
    assert choose_heads(alike, [3]) in ([(3, 0)], [(3, 0), (3, 1)])


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
    chosen = tuple(get_blocks(pipeline.backbone))
    assert chosen and rows[3][0].split()[1] == chosen[0]
    code, out, _ = run_doctor(capfd, "--localize", "synth", "-n", 4, "--model", model, "--json")
    report = json.loads(out)
    assert code == 0 and tuple(report["best"]["blocks"]) == chosen and report["written"] is None
    assert [f"{block['iou']:.3f}" for block in report["blocks"]] == [row[1] for row in rows[1:3]]


def test_a_head_is_found_written_and_read_again(
    tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Only one head of the model tells tokens apart, so that it is what is found."""
    model = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    weights = model / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    for part in ("weight", "bias"):
        tensors[f"transformer_blocks.0.attn.add_q_proj.{part}"].zero_()
        tensors[f"single_transformer_blocks.0.attn.to_q.{part}"][:32].zero_()  # head 0 of two
    save_file(tensors, weights, {"format": "pt"})
    arguments = ("--localize", "synth", "-n", 4, "--model", model, "--by-head")
    code, out, err = run_doctor(capfd, *arguments, "--write")
    assert code == 0, err
    rows = [line.split("\t") for line in out.splitlines()]
    heads = [row for row in rows if ":" in row[0] and not row[0].startswith("best")]
    names = ("transformer_blocks.0", "single_transformer_blocks.0")
    assert [row[0] for row in heads] == [f"{name}:{head}" for name in names for head in (0, 1)]
    assert [float(row[1]) > 0 for row in heads] == [False, False, False, True]
    assert rows[-1][0] == "best: single_transformer_blocks.0:1"
    assert json.loads((model / "a2_traits.json").read_text())["localize_blocks"] == [f"{names[1]}:1"]
    seeker = Seeker(make_pipeline(model), "replace the cup", LocalizeOptions())
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    with torch.no_grad():
        found = seeker.attend(picture)
        both = seeker.record(picture, HeadMaps(seeker.rows, seeker.get_layout(picture))).maps[names[1]]
    assert seeker.blocks == (f"{names[1]}:1",)
    np.testing.assert_allclose(found.ravel(), both[0, 1].numpy(), rtol=1e-5)
    assert np.ptp(both[0, 0].numpy()) < 1e-6 < np.ptp(found)
    code, out, _ = run_doctor(capfd, *arguments, "--json")
    report = json.loads(out)
    assert code == 0 and report["best"]["blocks"] == [f"{names[1]}:1"] and len(report["heads"]) == 4


def test_the_installed_packages_model_is_left_alone(capfd: pytest.CaptureFixture[str]) -> None:
    traits = NANO_FOLDER / "a2_traits.json"
    before = traits.read_bytes()
    code, out, err = run_doctor(capfd, "--localize", "synth", "-n", 1, "--write")
    assert (code, out, err.count("\n")) == (2, "", 1) and "part of the installed package" in err
    assert "give --model FOLDER" in err and traits.read_bytes() == before
    assert find_traits_folder(CalibrateConfig(SYNTH, model=str(NANO_FOLDER), write=True)) == NANO_FOLDER


def test_what_cannot_be_calibrated_is_one_line(
    tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for arguments, message in (
        (("--write",), "--write and --model go with --localize"),
        (("--by-head",), "--by-head, --write and --model go with --localize"),
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
