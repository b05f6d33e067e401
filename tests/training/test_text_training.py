"""A text path's run: what is learned when, from what, what is frozen, what goes on, what is written."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from instruction_pairs import PairList, make_instruction
from safetensors.torch import load_file

from a2cli.backbones.flux import NanoBackbone
from a2cli.backbones.loading import hash_weights
from a2cli.config.load import build
from a2cli.engine.localize import localize
from a2cli.engine.pipeline import EditPipeline
from a2cli.errors import CheckpointError, ConfigError
from a2cli.region import mask_loss, read_region
from a2cli.training.checkpoint import load_checkpoint
from a2cli.training.config import TrainConfig
from a2cli.training.naming import UNKNOWN, naming_loss, pooling_loss
from a2cli.training.nano import save_nano
from a2cli.training.objectives.text import TextObjective
from a2cli.training.report import build_report
from a2cli.training.run import build_objective
from a2cli.training.trainer import Trainer

PREDICTOR = {
    "width": 16,
    "decoder_width": 8,
    "num_heads": 2,
    "query_grid": 4,
    "text_queries": 2,
    "encoder_layers": 1,
}
NAMES = ("bed", "door", "taxi")
TASKS = ("replace", "remove", "recolour")
PAIRS = [make_instruction(i, task=TASKS[i % 3], name=NAMES[i % 3]) for i in range(9)]
ENCODER = {
    "vocab_size": 384,
    "d_model": 32,
    "d_kv": 8,
    "num_heads": 2,
    "d_ff": 48,
    "num_layers": 2,
    "dropout_rate": 0.0,
}


def get_mapping(base: Path, folder: Path, **changes: Any) -> dict[str, Any]:
    architecture = {"traits": {"text_tokens": 32}, "text_encoder_2": ENCODER}
    return {
        "model": {"train": "text", "path": str(base), "architecture": architecture},
        "region": {"adapter": False, "predictor": PREDICTOR},
        "naming": {"alone": 0.5},
        "output_dir": str(folder),
        "steps": 4,
        "save_every": 2,
        "log_every": 1,
        "precision": "fp32",
        "trackers": [],
        "seed": 5,
        "data": {"resolution": 64, "batch_size": 3, "workers": 0, "synth": {"size": 64, "instructions": 1.0}},
        "loss": {"flow": 0, "mask": 1.0},
        "optimizer": {"lr": 0.01, "warmup": 1, "ema": 0.9},
        **changes,
    }


def open_objective(base: Path, folder: Path, **changes: Any) -> TextObjective:
    objective = build_objective(build(TrainConfig, get_mapping(base, folder, **changes)))
    assert isinstance(objective, TextObjective)
    objective.source = PairList(PAIRS)
    return objective


def get_gradients(objective: TextObjective, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    objective.modules.zero_grad(set_to_none=True)
    loss.backward()
    return {n: p.grad.clone() for n, p in objective.named_parameters() if p.grad is not None and p.grad.any()}


@pytest.fixture(scope="module")
def trained(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps, two of them with names alone."""
    folder = tmp_path_factory.mktemp("text") / "run"
    objective = open_objective(tiny_model, folder)
    Trainer(objective.config, objective).train()
    return folder


def test_all_terms_are_added_up_as_said(tiny_model: Path, tmp_path: Path) -> None:
    naming = {"alone": 0.5, "weight": 0.25, "pool": 0.2}
    objective = open_objective(tiny_model, tmp_path, naming=naming, loss={"flow": 0, "mask": 2.0})
    early, late = (objective.make_batch(step, range(3)) for step in (1, 2))
    assert early["alone"] and not late["alone"] and objective.count(late) == 1
    looks, predictor = late["looks"], objective.handle.predictor
    assert looks["rows"].shape == (3, 32) and looks["name_said"].tolist() == looks["name_seen"].tolist()
    assert all((looks["rows"].sum(1) > 3).tolist()) and UNKNOWN not in looks["colour_said"].tolist()
    assert predictor is not None
    tokens = objective.backbone.encode_pixels(looks["photo"].permute(0, 3, 1, 2).float() / 127.5 - 1)
    states = objective.backbone.encode_text(looks["sentence"])[0]
    features = predictor.encode(tokens, (4, 4))
    cover = looks["cover"].unfold(1, 2, 2).unfold(2, 2, 2).mean((3, 4))
    names, _ = naming_loss(
        objective.heads,
        objective.heads.see(features, cover),
        objective.heads.hear(states, looks["rows"]),
        looks,
    )
    pooling = pooling_loss(predictor.instruction.get_weights(states), looks["rows"])
    masks = mask_loss(predictor(tokens, (4, 4), states), looks["cover"])
    first, figures = objective.loss(early, 1.0, [1, 2, 3])
    assert first.item() == pytest.approx((names + 0.2 * pooling).item(), rel=1e-5)
    assert set(figures) == {"naming", "pooling", "names_seen", "names_said"}
    second, figures = objective.loss(late, 1.0, [1, 2, 3])
    assert second.item() == pytest.approx((0.25 * names + 0.2 * pooling + 2 * masks).item(), rel=1e-5)
    assert figures["mask_loss"] == pytest.approx(masks.item(), rel=1e-5) and 0 <= figures["mask_iou"] <= 1
    assert [objective.describe(step)["stage"] for step in range(4)] == ["names"] * 2 + ["names and masks"] * 2
    assert [objective.is_turn(step) for step in range(3)] == [False, True, False]


def test_every_term_teaches_the_text_encoder(tiny_model: Path, tmp_path: Path) -> None:
    naming = {"alone": 0.5, "weight": 0.0, "pool": 0.0}
    masks = open_objective(tiny_model, tmp_path, naming=naming)
    alone = get_gradients(masks, masks.loss(masks.make_batch(2, range(3)), 1.0, [1, 2, 3])[0])
    assert "text_encoder_2.shared.weight" in alone and not any(n.startswith("naming.") for n in alone)
    assert {n for n, _ in masks.named_parameters() if n.startswith("predictor.")} <= set(alone)
    names = get_gradients(masks, masks.loss(masks.make_batch(0, range(3)), 1.0, [1, 2, 3])[0])
    assert "text_encoder_2.shared.weight" in names and "predictor.patchify.weight" in names
    assert {n for n, _ in masks.named_parameters() if n.startswith("naming.")} <= set(names)
    assert not any("decoder" in n or "head_out" in n or "instruction" in n for n in names)
    pools = open_objective(tiny_model, tmp_path, naming={**naming, "pool": 0.5})
    batch = pools.make_batch(0, range(3))
    pools.heads.requires_grad_(False)
    pooled = get_gradients(pools, pools.loss(batch, 1.0, [1, 2, 3])[0])
    added = {n for n, gradient in pooled.items() if n not in names or not torch.equal(gradient, names[n])}
    assert {"predictor.instruction.queries", "text_encoder_2.shared.weight"} <= added
    assert not any(p.requires_grad for p in masks.backbone.transformer.parameters())


def test_text_encoder_and_predictor_are_saved_and_nothing_else_has_changed(
    tiny_model: Path, trained: Path
) -> None:
    before, after = (NanoBackbone.load(str(path)) for path in (tiny_model, trained / "model"))
    for part in ("transformer", "vae", "image_encoder", "image_embedder"):
        kept = after.components[part].state_dict()
        for name, tensor in before.components[part].state_dict().items():
            assert torch.equal(tensor, kept[name]), f"{part}.{name}"
    assert after.components["text_encoder_2"].config.num_layers == 2
    assert replace(before.traits, text_tokens=32) == after.traits
    info = read_region(trained / "adapter")
    assert info.base_hash == hash_weights(trained / "model" / "transformer") == after.base_hash
    assert not info.config.adapter
    tensors = load_file(trained / "adapter" / "adapter_model.safetensors")
    assert all(name.startswith("predictor.") for name in tensors)
    state, _ = load_checkpoint(trained / "checkpoints" / "step-4")
    assert "model.naming.names.weight" in state and "ema.naming.names.weight" in state
    names = {name.split(".", 1)[1] for name in state if name.startswith("model.")}
    assert {name.split(".")[0] for name in names} == {"text_encoder_2", "predictor", "naming"}
    for name, value in after.components["text_encoder_2"].named_parameters():
        assert torch.equal(value, state[f"ema.text_encoder_2.{name}"].half().float()), name


def test_the_result_is_what_an_edit_without_a_mask_asks(trained: Path) -> None:
    pipeline = EditPipeline.load("nano", model=str(trained / "model"), adapter=[str(trained / "adapter")])
    pair = PAIRS[0]
    assert pair.src_rgb is not None
    found = localize(pipeline, pair.src_rgb, pair.prompt, way="predictor")
    assert found.way == "predictor" and found.soft.shape == (64, 64)
    page = build_report(trained).read_text()
    assert "text encoder and mask predictor" in page and "Surprise at the words" in page
    assert "names and masks" in page


def test_stopped_and_resumed_equals_straight_before_and_after_the_masks(
    tiny_model: Path, tmp_path: Path
) -> None:
    losses: dict[str, list[float]] = {}

    def run(name: str, stop: int | None = None) -> None:
        objective = open_objective(tiny_model, tmp_path / name, steps=7, save_every=2)
        trainer = Trainer(objective.config, objective)
        trainer.resume()

        def progress(step: int, total: int, figures: dict[str, Any]) -> None:
            losses.setdefault(name, []).append(figures["loss"])
            if step == stop:
                raise KeyboardInterrupt

        trainer.train(progress)

    run("straight")
    for stop in (3, 5):  # names alone up to the fourth
        with pytest.raises(KeyboardInterrupt):
            run("parts", stop)
        torch.manual_seed(99)
    run("parts")
    one, two = (load_checkpoint(tmp_path / n / "checkpoints" / "step-7")[0] for n in ("straight", "parts"))
    assert one.keys() == two.keys() and [k for k in one if not torch.equal(one[k], two[k])] == []
    assert "model.naming.colours.weight" in one
    assert losses["parts"][-3:] == losses["straight"][-3:]
    assert losses["parts"][:5] == [*losses["straight"][:3], *losses["straight"][2:4]]
    for result in ("adapter/adapter_model.safetensors", "model/text_encoder_2/model.safetensors"):
        ours, theirs = (load_file(tmp_path / name / result) for name in ("straight", "parts"))
        assert ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


def test_names_are_learned_and_masks_follow(tiny_model: Path, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = []
    objective = open_objective(
        tiny_model,
        tmp_path,
        steps=60,
        save_every=60,
        data={"resolution": 64, "batch_size": 9, "workers": 0, "synth": {"instructions": 1.0}},
        optimizer={"lr": 0.02, "warmup": 2},
    )
    Trainer(objective.config, objective).train(lambda step, total, figures: rows.append(figures))
    assert rows[0]["names_said"] == 0 and rows[29]["names_said"] == 1
    assert rows[29]["naming"] < 0.3 * rows[0]["naming"] and rows[29]["pooling"] < rows[0]["pooling"]
    assert "mask_loss" not in rows[29] and rows[59]["mask_loss"] < 0.8 * rows[30]["mask_loss"]


def test_pairs_without_words_serve_by_their_looks(tiny_model: Path, tmp_path: Path) -> None:
    objective = open_objective(tiny_model, tmp_path)
    pair = PAIRS[0]
    late = replace(pair, prompt=f"please, on this lovely photo of mine, {pair.prompt}")  # cut off at 32 bytes
    objective.source = PairList([replace(pair, src_rgb=None), late, pair])
    batch = objective.make_batch(2, range(3))
    looks = batch["looks"]
    assert looks["row"] == [1, 2] and looks["rows"].any(1).tolist() == [False, True]
    assert looks["name_said"][0] == looks["colour_said"][0] == UNKNOWN != looks["name_seen"][0]
    assert objective.loss(batch, 1.0, [1, 2, 3])[0].isfinite()
    objective.source = PairList([replace(pair, src_rgb=None)])
    for step in (0, 2):
        batch = objective.make_batch(step, range(3))
        loss, figures = objective.loss(batch, 1.0, [1, 2, 3])
        assert batch["looks"] == {} and loss.item() == 0 and not any(figures.values())
        assert ("mask_iou" in figures) == (step == 2)  # as in a process that sees some
        loss.backward()


def test_a_region_run_begins_with_it_if_it_reads_alike(
    tiny_model: Path, trained: Path, tmp_path: Path
) -> None:
    """The transformer may have been trained on in between, the encoders not."""
    backbone = NanoBackbone.load(str(trained / "model"))
    with torch.no_grad():
        backbone.transformer.context_embedder.weight.add_(0.1)
    save_nano(backbone, tmp_path / "on")
    with torch.no_grad():
        backbone.components["text_encoder_2"].shared.weight.add_(0.1)
    save_nano(backbone, tmp_path / "other")

    def begin(base: Path, adapter: Path = trained / "adapter") -> Any:
        mapping = get_mapping(base, tmp_path / "run", loss={"mask": 0})
        mapping["model"] = {"train": "region", "path": str(base), "region": str(adapter)}
        mapping["region"] = {"num_heads": 2, "head_dim": 16, "predictor": PREDICTOR}
        del mapping["naming"]
        return build_objective(build(TrainConfig, mapping))

    begun = begin(tmp_path / "on").handle.state_dict()
    for name, tensor in load_file(trained / "adapter" / "adapter_model.safetensors").items():
        assert torch.equal(begun[name], tensor.float()), name
    for base in (tmp_path / "other", tiny_model):
        with pytest.raises(CheckpointError, match="another autoencoder or text encoder") as caught:
            begin(base)
        assert "saved beside it" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"naming": None}, "'naming' goes with 'model.train: text'"),
        ({"region": None}, "'region' goes with 'model.train: region' or 'model.train: text'"),
        ({"region": {"predictor": PREDICTOR}}, "learns no edits.*region.adapter: false"),
        ({"loss": {"mask": 1.0}}, "learns no edits.*loss.flow: 0"),
        ({"loss": {"flow": 0, "mask": 0}}, "nothing is trained"),
        ({"naming": {"alone": 1}}, "alone must lie in"),
        ({"naming": {"pool": -1}}, "pool must be 0 or more"),
        ({"naming": {"wieght": 1}}, "unknown key 'wieght'.*weight"),
        ({"model": {"train": "lora"}, "region": None, "lora": {}}, "'naming' goes with"),
        ({"model": {"train": "text", "backbone": "flux-fill"}}, "only adapters are trained"),
        ({"data": {"cache_text_embeddings": True, "pairs": 3}}, "encoders are being trained"),
    ],
)
def test_wrong_settings_are_named(tiny_model: Path, tmp_path: Path, changes: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_objective(tiny_model, tmp_path, **changes)
    assert re.search(message, f"{caught.value} {caught.value.hint}")
