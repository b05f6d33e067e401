"""`a2 train` on real objectives at toy size: autoencoder, base, then experts on the frozen base."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from edits import ARCHITECTURE
from safetensors.torch import load_file

from a2cli.backbones.flux import NanoBackbone
from a2cli.backbones.loading import hash_weights
from a2cli.config.load import build, dump_yaml
from a2cli.data.glyphs import find_emoji_font
from a2cli.engine.pipeline import EditPipeline
from a2cli.engine.prepare import to_pixels
from a2cli.errors import A2Error, BackboneError, CheckpointError, ConfigError, DataError
from a2cli.testing import check_backbone
from a2cli.training.checkpoint import load_checkpoint
from a2cli.training.config import TrainConfig
from a2cli.training.loading import iterate_batches
from a2cli.training.objectives.edit import EditObjective
from a2cli.training.objectives.vae import VaeObjective
from a2cli.training.run import run_train
from a2cli.training.schedule import get_samples
from a2cli.training.trainer import Trainer


@cache
def has_font() -> bool:
    try:
        return bool(find_emoji_font())
    except DataError:
        return False


pytestmark = [
    pytest.mark.debian,
    pytest.mark.skipif(not has_font(), reason="fonts-noto-color-emoji is not installed"),
]

COMMON: dict[str, Any] = {
    "steps": 4,
    "save_every": 2,
    "log_every": 1,
    "precision": "fp32",
    "seed": 5,
    "trackers": [],
    "data": {"resolution": 64, "batch_size": 2, "workers": 0, "synth": {"size": 64}},
    "optimizer": {"name": "adamw", "lr": 0.01, "warmup": 1, "ema": 0.9},
}
KINDS = ("vae", "base", "mot")


def get_mapping(kind: str, folder: Path) -> dict[str, Any]:
    """The settings of one kind of run, in `folder / kind`, on what the kind before it left in `folder`."""
    mapping = {**COMMON, "output_dir": str(folder / kind)}
    if kind == "vae":
        mapping["data"] = {**COMMON["data"], "batch_size": 4}
        mapping["optimizer"] = {**COMMON["optimizer"], "name": "muon"}
        mapping["model"] = {"train": "vae", "architecture": {"vae": ARCHITECTURE["vae"]}}
    elif kind == "base":
        parts = {k: v for k, v in ARCHITECTURE.items() if k != "vae"}
        parts["traits"] = {**ARCHITECTURE["traits"], "collage": True, "prior_noise": 0.5}
        mapping["model"] = {"train": "base", "path": str(folder / "vae"), "architecture": parts}
        mapping["optimizer"] = {**COMMON["optimizer"], "name": "muon"}
        mapping["flow"] = {"noise_draws": 2}
        mapping["mats"] = {"mode": "mixed"}
    else:
        mapping["model"] = {"train": "mot", "path": str(folder / "base" / "model")}
        mapping["adapter"] = {"num_experts": 3, "rank": 2}
        mapping["mats"] = {"mode": "replace", "fractions": [0.5, 0.25, 0.25]}
    return mapping


def write_config(folder: Path, mapping: dict[str, Any]) -> str:
    path = folder / "train.yaml"
    path.write_text(dump_yaml(mapping))
    return str(path)


def get_batches(objective: Any, start: int = 0) -> list[dict[str, Any]]:
    """What the trainer's loader would yield, one micro-batch a step."""
    config = objective.config

    def make(number: int) -> dict[str, Any]:
        samples = get_samples(number, 0, batch_size=config.data.batch_size, accumulation=1)
        return objective.make_batch(number, samples)

    return list(iterate_batches(make, start, config.steps, config.data.workers))


def read_metrics(run: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "samples_per_s"} for row in rows]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which all three runs were trained straight."""
    folder = tmp_path_factory.mktemp("runs")
    for kind in KINDS:
        assert run_train(write_config(folder, get_mapping(kind, folder))) == folder / kind
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_stopped_and_resumed_equals_straight(runs: Path, tmp_path: Path, kind: str) -> None:
    config = write_config(tmp_path, {**get_mapping(kind, runs), "output_dir": str(tmp_path / "parts")})

    def stop(step: int, total: int, figures: dict[str, float]) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_train(config, progress=stop)
    torch.manual_seed(99)  # the state of the process means nothing
    run_train(config, resume="auto")
    one, two = (
        load_checkpoint(run / "checkpoints" / "step-4")[0] for run in (runs / kind, tmp_path / "parts")
    )
    assert one.keys() == two.keys() and [k for k in one if not torch.equal(one[k], two[k])] == []
    assert read_metrics(runs / kind) == read_metrics(tmp_path / "parts")
    result = {"vae": "vae", "base": "model", "mot": "adapter"}[kind]
    files = [p.relative_to(runs / kind) for p in (runs / kind / result).rglob("*.safetensors")]
    assert files
    for file in files:
        ours, theirs = (load_file(run / file) for run in (runs / kind, tmp_path / "parts"))
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours), file


def test_every_weight_that_can_learn_has_learned(runs: Path) -> None:
    for kind in KINDS:
        config = build(TrainConfig, get_mapping(kind, runs))
        objective = VaeObjective(config) if kind == "vae" else EditObjective(config)
        trained = load_checkpoint(runs / kind / "checkpoints" / "step-4")[0]
        still = [n for n, p in objective.named_parameters() if torch.equal(p.detach(), trained[f"model.{n}"])]
        if kind == "mot":
            assert still == []
        else:  # norms of unused heads and streams that lead nowhere may stay; the matrices may not
            matrices = [n for n in still if n.endswith("weight") and not is_idle(n)]
            assert matrices == [], kind


def is_idle(name: str) -> bool:
    """SigLIP's pooling head and the posterior's log-variance are never read."""
    return ".head." in name


def test_the_base_can_be_loaded_conforms_and_edits(runs: Path) -> None:
    folder = runs / "base" / "model"
    check_backbone(NanoBackbone, str(folder))
    assert NanoBackbone.load(str(folder)).traits.resolution == 64
    for name in ("vae", "transformer", "text_encoder_2", "image_encoder", "image_embedder", "scheduler"):
        assert (folder / name).is_dir()
    vae = NanoBackbone.load(str(folder)).vae
    trained = VaeObjective(build(TrainConfig, get_mapping("vae", runs))).vae
    assert vae.config.scaling_factor == 1.0 and vae.state_dict().keys() == trained.state_dict().keys()


def test_experts_leave_the_base_alone_and_every_router_learns(runs: Path) -> None:
    base = runs / "base" / "model"
    digest = {p.name: hash_weights(p) for p in base.iterdir()}
    objective = EditObjective(build(TrainConfig, get_mapping("mot", runs)))
    weights = {n: p.detach().clone() for n, p in objective.backbone.transformer.named_parameters()}
    trained = {n for n, _ in objective.named_parameters()}
    before = {n: p.detach().clone() for n, p in objective.named_parameters()}
    config = build(TrainConfig, {**get_mapping("mot", runs), "output_dir": str(runs / "again")})
    Trainer(config, objective).train()
    experts = {id(p) for _, p in objective.named_parameters()}
    for name, parameter in objective.backbone.transformer.named_parameters():
        if id(parameter) not in experts:
            assert torch.equal(weights[name], parameter) and parameter.grad is None, name
    for part in ("vae", "text_encoder_2", "image_encoder", "image_embedder"):
        assert not any(p.requires_grad for p in objective.backbone.components[part].parameters())
    routers = [n for n in trained if ".router." in n]
    assert len({n.split(".router.")[0] for n in routers}) == len(objective.backbone.get_blocks()) == 2
    after = dict(objective.named_parameters())
    assert [n for n in routers if torch.equal(before[n], after[n].detach())] == []
    assert {p.name: hash_weights(p) for p in base.iterdir()} == digest


def test_the_adapter_fits_its_base_and_no_other(runs: Path, tiny_model: Path) -> None:
    adapter = str(runs / "mot" / "adapter")
    pipeline = EditPipeline.load("nano", model=str(runs / "base" / "model"), adapter=adapter)
    plain = EditPipeline.load("nano", model=str(runs / "base" / "model"), adapter="none")
    rng = np.random.default_rng(0)
    photo, reference = rng.integers(0, 256, (2, 96, 96, 3), dtype=np.uint8)
    mask, whole = np.zeros((96, 96), np.float32), np.ones((96, 96), np.float32)
    mask[30:60, 30:60] = 1
    ours, theirs = (p.edit(photo, mask, reference, whole, seed=1) for p in (pipeline, plain))
    assert not np.array_equal(ours, theirs)
    assert np.array_equal(ours[mask == 0], photo[mask == 0])
    config = json.loads((runs / "mot" / "adapter" / "adapter_config.json").read_text())
    assert config["recipe"]["mats"]["stages"] == ["fine", "rough", "box"] and config["backbone"] == "nano"
    with pytest.raises(CheckpointError):
        EditPipeline.load("nano", model=str(tiny_model), adapter=adapter)


def test_the_curriculum_moves_through_its_stages(runs: Path) -> None:
    rows = read_metrics(runs / "mot")
    assert [row["stage"] for row in rows] == ["fine", "fine", "rough", "box"]
    assert [row["iou"] == 1 for row in rows] == [True, True, False, False]
    assert {row["stage"] for row in read_metrics(runs / "base")} == {"mixed"}
    objective = EditObjective(build(TrainConfig, get_mapping("mot", runs)))
    batches = get_batches(objective)
    assert [batch["stage"] for batch in batches] == [["fine"] * 2, ["fine"] * 2, ["rough"] * 2, ["box"] * 2]
    for mask in batches[3]["mask"].numpy():
        rows, columns = mask.any(1), mask.any(0)
        box = rows[:, None] & columns[None]
        assert (mask != box).sum() <= 4  # resampling may round its corners off
    assert {tuple(batch["target"].shape) for batch in batches} == {(2, 64, 64, 3)}
    mixed = EditObjective(build(TrainConfig, {**get_mapping("base", runs), "steps": 8}))
    assert len({stage for batch in get_batches(mixed) for stage in batch["stage"]}) > 1


def test_batches_do_not_depend_on_workers_or_on_where_a_run_begins(runs: Path) -> None:
    mapping = get_mapping("base", runs)
    here = get_batches(EditObjective(build(TrainConfig, mapping)))
    mapping = {**mapping, "data": {**mapping["data"], "workers": 2}}
    there = get_batches(EditObjective(build(TrainConfig, mapping)), 1)
    assert len(here) == 4 and len(there) == 3
    for one, two in zip(here[1:], there, strict=True):
        assert one.keys() == two.keys()
        for key, value in one.items():
            assert torch.equal(value, two[key]) if torch.is_tensor(value) else value == two[key], key


def test_every_draw_starts_from_its_own_sample(runs: Path) -> None:
    objective = EditObjective(build(TrainConfig, get_mapping("base", runs)))
    batch = get_batches(objective)[0]
    assert not torch.equal(batch["start"][0], batch["start"][1])
    clean = objective.backbone.encode_pixels(to_pixels(batch["target"].numpy()))
    noise, sigma = objective._draw(clean, [3, 4])
    assert noise.shape == (4, *clean.shape[1:]) and sigma.shape == (4,)
    alone, level = objective._draw(clean[1:], [4])  # a sample alone draws what it draws among others
    assert torch.equal(noise[2:], alone) and torch.equal(sigma[2:], level)
    assert len(set(sigma.tolist())) == 4 and not torch.equal(noise[0], noise[1])


def test_repose_moves_targets_under_loose_masks_only(runs: Path) -> None:
    mapping = {**get_mapping("base", runs), "steps": 8}
    samples = []
    for share in (0.0, 1.0):
        config = build(TrainConfig, {**mapping, "data": {**mapping["data"], "repose": share}})
        batches = get_batches(EditObjective(config))
        samples.append([(s, x) for b in batches for s, x in zip(b["stage"], b["target"], strict=True)])
    moved: dict[str, list[bool]] = {}
    for (stage, before), (again, after) in zip(*samples, strict=True):
        assert stage == again
        moved.setdefault("fine" if stage == "fine" else "loose", []).append(not torch.equal(before, after))
    assert not any(moved["fine"]) and all(moved["loose"]), moved


def test_repose_moves_what_a_sentence_puts_in_and_the_region_told(runs: Path) -> None:
    """Of instruction pairs under loose masks too, unless the sentence puts nothing in; what the model sees stays."""
    mapping = {**get_mapping("base", runs), "steps": 12}
    synth = {"size": 64, "instructions": 1.0}
    data = {**mapping["data"], "drop_prompt": 0.0, "context": [1.5, 1.5], "synth": synth}
    batches = []
    for share in (0.0, 1.0):
        config = build(TrainConfig, {**mapping, "data": {**data, "repose": share}})
        batches.append(get_batches(EditObjective(config)))
    moved: dict[str, list[bool]] = {"fine": [], "remove": [], "loose": []}
    for before, after in zip(*batches, strict=True):
        assert before["prompt"] == after["prompt"] and torch.equal(before["mask"], after["mask"])
        assert torch.equal(before["masked"], after["masked"]) and torch.equal(before["start"], after["start"])
        for row, (stage, prompt) in enumerate(zip(before["stage"], before["prompt"], strict=True)):
            removes = prompt.startswith(("remove", "delete", "take", "erase", "get rid"))
            kind = "fine" if stage == "fine" else "remove" if removes else "loose"
            changes = [not torch.equal(before[key][row], after[key][row]) for key in ("target", "region")]
            assert not any(changes) or kind == "loose"
            moved[kind].append(all(changes))
    assert all(moved["loose"]) and len(moved["loose"]) > 4 and moved["fine"] and moved["remove"], moved


def test_bfloat16_trains_and_its_latents_are_uncorrelated(runs: Path, tmp_path: Path) -> None:
    for kind in ("vae", "base"):
        mapping = {**get_mapping(kind, runs), "output_dir": str(tmp_path / kind), "precision": "bf16"}
        run_train(write_config(tmp_path, mapping), ["steps=1"])
        assert np.isfinite(read_metrics(tmp_path / kind)[0]["loss"])
    objective = VaeObjective(build(TrainConfig, get_mapping("vae", runs)))
    from diffusers import AutoencoderKL

    vae = AutoencoderKL.from_pretrained(runs / "vae", subfolder="vae")
    _, covariance = objective._measure(vae)
    spread = torch.diag(covariance)  # white, then weighed: no correlation, a mean square of 1
    torch.testing.assert_close(covariance, torch.diag(spread), atol=2e-2, rtol=0)
    assert float(spread.mean()) == pytest.approx(1, abs=1e-2)


def test_a_used_folder_and_a_missing_file_are_refused(runs: Path, tmp_path: Path) -> None:
    mapping = {**get_mapping("vae", runs), "output_dir": str(tmp_path / "run")}
    config = write_config(tmp_path, mapping)
    run_train(config, ["steps=1"])
    with pytest.raises(ConfigError, match=r"--resume auto"):
        run_train(config, ["steps=1"])
    (tmp_path / "run" / "checkpoints" / "step-1" / "tensors.safetensors").unlink()
    for resume in ("auto", str(tmp_path / "run" / "checkpoints" / "step-1")):
        with pytest.raises(CheckpointError, match=r"step-1: incomplete checkpoint, tensors\.safetensors"):
            run_train(config, resume=resume)


@pytest.mark.parametrize(
    ("kind", "override", "message"),
    [
        ("vae", "steps=0", "steps"),
        ("vae", "stepz=3", "stepz"),
        ("vae", "model.train=bass", "bass"),
        ("vae", "model.architecture={}", r"architecture\.vae is missing"),
        ("vae", "model.architecture.vea={}", "unknown part 'vea'.*'vae'"),
        ("vae", "model.architecture.vae.use_quant_conv=false", "use_quant_conv"),
        ("vae", "data.batch_size=0", r"batch_size must be 1 or more"),
        ("vae", "data.synth.size=48", r"data\.synth\.size: 48"),
        ("base", "data.resolution=72", r"data\.resolution: 72.*16"),
        ("base", "flow.noise_draws=0", "noise_draws"),
        ("base", "adapter={}", "adapter"),
        ("base", "optimizer.lr=nan", "lr"),
        ("mot", "adapter=null", "adapter"),
        ("mot", "mats.fractions=[1, 1]", "fractions"),
        ("mot", "model.architecture.transformer={}", "architecture"),
    ],
)
def test_config_errors_are_named_before_anything_is_written(
    runs: Path, tmp_path: Path, kind: str, override: str, message: str
) -> None:
    config = write_config(tmp_path, {**get_mapping(kind, runs), "output_dir": str(tmp_path / "run")})
    with pytest.raises(ConfigError, match=message):
        run_train(config, [override])
    assert not (tmp_path / "run").exists()


def test_a_missing_model_folder_is_named(runs: Path, tmp_path: Path) -> None:
    for kind in KINDS:
        config = write_config(tmp_path, get_mapping(kind, runs))
        with pytest.raises(BackboneError, match="nowhere"):
            run_train(config, [f"model.path={tmp_path}/nowhere", f"output_dir={tmp_path}/run"])


def test_a_diverging_run_stops_before_its_checkpoint(runs: Path, tmp_path: Path) -> None:
    mapping = {**get_mapping("vae", runs), "output_dir": str(tmp_path / "run"), "save_every": 10}
    mapping["optimizer"] = {**COMMON["optimizer"], "lr": 1e30, "max_grad_norm": 1e30}
    with pytest.raises(A2Error, match=r"at step .*nothing was saved"):
        run_train(write_config(tmp_path, mapping))
    assert not (tmp_path / "run" / "checkpoints").exists() and not (tmp_path / "run" / "vae").exists()
