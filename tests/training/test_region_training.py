"""A region adapter's run: two paths that share nothing, the weights of equation 7, what is frozen, what goes on."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from instruction_pairs import PairList, make_instruction
from safetensors.torch import load_file
from torch import nn

from a2cli.config.load import build
from a2cli.engine.pipeline import EditPipeline
from a2cli.errors import CheckpointError, ConfigError
from a2cli.flow import interpolate
from a2cli.images.cutout import Cutout
from a2cli.lora.config import LoraConfig
from a2cli.mot import MotConfig, inject_mot, save_adapter
from a2cli.region import mask_loss
from a2cli.training.checkpoint import load_checkpoint
from a2cli.training.config import LossConfig, TrainConfig
from a2cli.training.objectives.edit import EditObjective
from a2cli.training.objectives.region import RegionObjective
from a2cli.training.run import build_objective
from a2cli.training.trainer import Trainer

PREDICTOR = {
    "width": 16,
    "num_heads": 2,
    "query_grid": 4,
    "text_queries": 2,
    "encoder_layers": 1,
    "noise": 0.5,
}
REGION = {
    "num_heads": 2,
    "head_dim": 16,
    "num_instruction_tokens": 4,
    "fusion_layers": 1,
    "predictor": PREDICTOR,
}
PAIRS = [make_instruction(i, task=("replace", "remove", "recolour")[i % 3]) for i in range(9)]


def get_config(base: Path, folder: Path, **changes: Any) -> TrainConfig:
    mapping = {
        "model": {"train": "region", "path": str(base)},
        "region": REGION,
        "output_dir": str(folder),
        "steps": 4,
        "save_every": 2,
        "log_every": 1,
        "precision": "fp32",
        "trackers": [],
        "seed": 5,
        "data": {"resolution": 64, "batch_size": 3, "workers": 0, "synth": {"size": 64, "instructions": 1.0}},
        "flow": {"noise_draws": 2},
        "loss": {"region_alpha": 2.0},
        "mats": {"mode": "mixed", "stages": ["rough", "box"], "fractions": [0.5, 0.5]},
        "optimizer": {"lr": 0.01, "warmup": 1, "ema": 0.9},
        **changes,
    }
    return build(TrainConfig, mapping)


def open_objective(base: Path, folder: Path, **changes: Any) -> Any:
    objective: Any = build_objective(get_config(base, folder, **changes))
    objective.source = PairList(PAIRS)
    return objective


def train(objective: RegionObjective, progress: Any = None) -> None:
    trainer = Trainer(objective.config, objective)
    trainer.resume()
    trainer.train(progress)


def warm(objective: RegionObjective) -> None:
    """Move what begins at zero, behind which nothing gets a gradient yet."""
    with torch.no_grad():
        for _, parameter in objective.named_parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))


def get_gradients(objective: Any, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
    objective.modules.zero_grad(set_to_none=True)
    objective.loss(batch, objective.count(batch), [1, 2, 3])[0].backward()
    return {n: p.grad.clone() for n, p in objective.named_parameters() if p.grad is not None and p.grad.any()}


def test_neither_loss_reaches_what_the_other_trains(tiny_model: Path, tmp_path: Path) -> None:
    objective = open_objective(tiny_model, tmp_path)
    warm(objective)
    batch = objective.make_batch(0, range(3))
    both = get_gradients(objective, batch)
    assert set(both) == {name for name, _ in objective.named_parameters()}
    loss = objective.config.loss
    for weights, wanted in ((replace(loss, mask=0.0), "editor"), (replace(loss, flow=0.0), "predictor")):
        objective.config = replace(objective.config, loss=replace(loss, flow=1.0))
        object.__setattr__(
            objective.config, "loss", weights
        )  # past the check: a run of one path has no other
        alone = get_gradients(objective, {**batch})
        assert {n for n in both if objective.get_group(n) == wanted} == set(alone)
        assert all(torch.equal(both[n], alone[n]) for n in alone)
    assert not any(p.grad is not None for p in objective.backbone.transformer.parameters())


def test_the_edit_loss_is_equation_seven_with_the_true_region(tiny_model: Path, tmp_path: Path) -> None:
    objective = open_objective(tiny_model, tmp_path, flow={"noise_draws": 1})
    warm(objective)
    batch = objective.make_batch(0, range(3))
    assert batch["row"] == [0, 2] and batch["prompt"][0] in ("", PAIRS[0].prompt)
    told: list[Any] = []
    predict = objective.two_pass.predict_velocity

    def watch(noisy: Any, sigma: Any, *rest: Any, **more: Any) -> Any:
        velocity = predict(noisy, sigma, *rest, **more)
        told.append((noisy, sigma, velocity, more["region_inputs"]))
        return velocity

    objective.two_pass.predict_velocity = watch
    _, figures = objective.loss(batch, objective.count(batch), [1, 2, 3])
    (noisy, sigma, velocity, inputs) = told[0]
    clean = objective.backbone.encode_pixels(batch["target"].permute(0, 3, 1, 2).float() / 127.5 - 1)
    noise, levels = objective._draw(clean, [1, 3])
    assert torch.equal(levels, sigma) and torch.allclose(interpolate(clean, noise, sigma), noisy)
    total = error = 0.0
    for sample in range(2):
        for token in range(16):
            row, column = 16 * (token // 4), 16 * (token % 4)
            under = batch["mask"][sample, row : row + 16, column : column + 16]
            share = batch["region"][sample, token]
            assert 0 <= share <= 1 and (share == 0 or bool(under.any()))
            if bool(under.any()):
                weight = 3.0 if batch["weight"][sample, token] > 1 else 1.0
                assert weight == 1 or share > 0
                target = noise[sample, token] - clean[sample, token]
                error += weight * (velocity[sample, token] - target).detach().square().mean().item()
                total += weight
    assert figures["edit_loss"] == pytest.approx(error / total, rel=1e-4)
    assert 0 < float(batch["region"].sum()) < float((batch["weight"] > 0).sum())
    words = objective.backbone.encode_text(batch["prompt"])[0]
    wanted = objective.handle.encode(batch["region"], (4, 4), words)
    assert torch.allclose(inputs.condition, wanted.condition) and torch.allclose(inputs.gate, wanted.gate)


def test_the_mask_loss_is_over_noised_latents_of_the_whole_photo(tiny_model: Path, tmp_path: Path) -> None:
    objective = open_objective(tiny_model, tmp_path)
    warm(objective)
    looks = objective.make_batch(0, range(3))["looks"]
    logits, again, other = (objective.predict(looks, seeds) for seeds in ([1, 2, 3], [1, 2, 3], [4, 2, 3]))
    assert logits.shape == (3, 8, 8) and torch.equal(logits, again)
    assert not torch.equal(logits[0], other[0]) and torch.allclose(logits[1:], other[1:], atol=1e-5)
    clean = objective.predict(looks)
    assert not torch.allclose(clean, logits)
    term, iou = objective._weigh_masks({**looks, "row": [0, 1, 2]}, [1, 2, 3])
    assert term.item() == pytest.approx(mask_loss(logits, looks["cover"]).item())
    overlaps = []
    for found, truth in zip(logits > 0, looks["cover"] > 0.5, strict=True):
        union = int((found | truth).sum())
        overlaps.append(int((found & truth).sum()) / union if union else 1.0)
    assert iou == pytest.approx(np.mean(overlaps))
    pair = PAIRS[0]
    assert looks["sentence"][0] == pair.prompt and np.array_equal(looks["photo"][0].numpy(), pair.src_rgb)


def test_stopped_and_resumed_equals_straight(tiny_model: Path, tmp_path: Path) -> None:
    def stop(step: int, total: int, figures: dict[str, Any]) -> None:
        assert {"edit_loss", "mask_loss", "mask_iou", "iou"} <= figures.keys()
        if step == 3:
            raise KeyboardInterrupt

    train(open_objective(tiny_model, tmp_path / "straight"))
    with pytest.raises(KeyboardInterrupt):
        train(open_objective(tiny_model, tmp_path / "parts"), stop)
    torch.manual_seed(99)
    train(open_objective(tiny_model, tmp_path / "parts"))
    one, two = (load_checkpoint(tmp_path / n / "checkpoints" / "step-4")[0] for n in ("straight", "parts"))
    assert one.keys() == two.keys() and [k for k in one if not torch.equal(one[k], two[k])] == []
    ours, theirs = (
        load_file(tmp_path / n / "adapter" / "adapter_model.safetensors") for n in ("straight", "parts")
    )
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


def test_a_predictor_is_trained_alone_and_lies_still_under_adapters(tiny_model: Path, tmp_path: Path) -> None:
    first = open_objective(
        tiny_model, tmp_path / "first", region={**REGION, "adapter": False}, loss={"flow": 0, "mask": 1.0}
    )
    assert {first.get_group(name) for name, _ in first.named_parameters()} == {"predictor"}
    assert set(first.make_batch(0, range(3))) == {"looks"}  # no edit is prepared
    train(first)
    found = load_file(tmp_path / "first" / "adapter" / "adapter_model.safetensors")
    experts = _save_experts(tiny_model, tmp_path / "experts")
    model = {"train": "region", "path": str(tiny_model), "adapter": str(experts)}
    second = open_objective(
        tiny_model,
        tmp_path / "second",
        model={**model, "region": str(tmp_path / "first" / "adapter")},
        loss={"mask": 0, "region_alpha": 2.0},
    )
    assert {second.get_group(name) for name, _ in second.named_parameters()} == {"editor"}
    before = {n: p.detach().clone() for n, p in second.backbone.transformer.named_parameters()}
    assert second.experts is not None and set(second.experts.named_parameters()) and not second.usage
    train(second)
    assert all(torch.equal(before[n], p) for n, p in second.backbone.transformer.named_parameters())
    result = load_file(tmp_path / "second" / "adapter" / "adapter_model.safetensors")
    assert set(found) < set(result) and all(torch.equal(found[name], result[name]) for name in found)
    wrong = {**REGION, "predictor": {**PREDICTOR, "width": 32}}
    with pytest.raises(CheckpointError, match=r"tensor predictor\..* has shape"):
        open_objective(
            tiny_model, tmp_path, model={**model, "region": str(tmp_path / "first" / "adapter")}, region=wrong
        )
    wide = {**REGION, "adapter": True, "predictor": None}
    with pytest.raises(CheckpointError, match=r"tensor predictor\..* belongs to no part") as caught:
        open_objective(
            tiny_model, tmp_path, model={**model, "region": str(tmp_path / "first" / "adapter")}, region=wide
        )
    assert caught.value.hint == "keep its region settings"
    with pytest.raises(ConfigError, match="is a region adapter itself"):
        open_objective(tiny_model, tmp_path, model={**model, "adapter": str(tmp_path / "second" / "adapter")})
    _check_edits(tiny_model, [str(experts), str(tmp_path / "second" / "adapter")])


def _save_experts(base: Path, folder: Path) -> Path:
    pipeline = EditPipeline.load("nano", model=str(base), adapter="none")
    backbone = pipeline.backbone
    experts = inject_mot(backbone.transformer, backbone.get_blocks(), MotConfig(num_experts=2, rank=2))
    with torch.no_grad():
        for parameter in experts.named_parameters().values():
            parameter.add_(0.05 * torch.randn_like(parameter))
    save_adapter(experts, folder, backbone="nano", base_id="tiny", base_hash=backbone.base_hash, recipe={})
    return folder


def _check_edits(base: Path, adapters: list[str]) -> None:
    """What was saved is what `a2 edit` loads, and acts where a region is told."""
    pipeline = EditPipeline.load("nano", model=str(base), adapter=adapters)
    pair = PAIRS[0]
    subject = Cutout(pair.ref_rgb, pair.ref_mask.astype(np.float32))
    mask = np.zeros((64, 64), np.float32)
    mask[8:56, 8:56] = 1
    told, plain = (
        pipeline.generate(pair.src_rgb, mask, subject, region=region)[0]
        for region in (pair.tar_mask.astype(np.float32), None)
    )
    assert np.isfinite(told).all() and not np.array_equal(told, plain)


@pytest.mark.parametrize(
    ("row", "region", "alpha", "parts"),
    [
        ("B", {"gate": False, "predictor": None}, 0.0, {"encoder", "blocks"}),
        ("D", {"gate": False, "predictor": None}, 2.0, {"encoder", "blocks"}),
        ("E", {"predictor": None}, 2.0, {"encoder", "gate", "blocks"}),
        ("F", {"gate": False}, 2.0, {"encoder", "predictor", "blocks"}),
        ("G", {}, 2.0, {"encoder", "gate", "predictor", "blocks"}),
    ],
)
def test_rows_of_the_ablation_are_settings(
    tiny_model: Path, tmp_path: Path, row: str, region: Any, alpha: float, parts: set[str]
) -> None:
    objective = open_objective(
        tiny_model, tmp_path, region={**REGION, **region}, loss={"region_alpha": alpha}
    )
    first = {name.split(".")[0] for name, _ in objective.named_parameters()}
    assert {part if "block" not in part else "blocks" for part in first} == parts
    batch = objective.make_batch(0, range(3))
    assert float(batch["weight"].max()) == 1 + alpha
    assert ("looks" in batch) == ("predictor" in parts)
    loss, figures = objective.loss(batch, objective.count(batch), [1, 2, 3])
    assert loss.isfinite() and ("mask_loss" in figures) == ("predictor" in parts)


def test_the_row_of_the_loss_alone_is_a_plain_adapter(tiny_model: Path, tmp_path: Path) -> None:
    config = get_config(tiny_model, tmp_path)
    config = replace(
        config,
        model=replace(config.model, train="lora"),
        region=None,
        lora=LoraConfig(rank=2),
        loss=LossConfig(region_alpha=2),
    )
    objective = EditObjective(config)
    objective.source = PairList(PAIRS)
    batch = objective.make_batch(0, range(3))
    assert batch["row"] == [0, 2] and float(batch["weight"].max()) == 3
    fresh = open_objective(tiny_model, tmp_path)
    told = fresh.make_batch(0, range(3))
    for key in ("target", "masked", "mask", "weight"):
        assert torch.equal(batch[key], told[key])  # the rows see the same edits
    plain, told = (o.loss(b, o.count(b), [1, 2, 3]) for o, b in ((objective, batch), (fresh, told)))
    assert plain[0].item() == pytest.approx(told[1]["edit_loss"], rel=1e-6)  # both begin as the base


def test_gradients_are_clipped_in_groups(tiny_model: Path, tmp_path: Path) -> None:
    objective = open_objective(tiny_model, tmp_path)
    trainer = Trainer(objective.config, objective)
    editor, predictor = (
        [p for n, p in trainer.named if objective.get_group(n) == group] for group in ("editor", "predictor")
    )
    for parameters, scale in ((editor, 1e6), (predictor, 1e-6)):
        for parameter in parameters:
            parameter.grad = torch.full_like(parameter, scale)
    norm = nn.utils.get_total_norm([p.grad for p in (*editor, *predictor) if p.grad is not None])
    assert trainer._clip() == pytest.approx(norm.item(), rel=1e-5)
    assert nn.utils.get_total_norm([p.grad for p in editor if p.grad is not None]).item() == pytest.approx(
        1, rel=1e-3
    )
    assert all(torch.equal(p.grad, torch.full_like(p, 1e-6)) for p in predictor if p.grad is not None)


def test_a_batch_of_removals_counts_for_nothing_in_edits(tiny_model: Path, tmp_path: Path) -> None:
    objective = open_objective(tiny_model, tmp_path)
    objective.source = PairList([PAIRS[1]])
    batch = objective.make_batch(0, range(3))
    assert batch["row"] == [0] and objective.count(batch) == 0 and len(batch["looks"]["photo"]) == 3
    loss, figures = objective.loss(batch, 0.0, [1, 2, 3])
    assert figures["edit_loss"] == 0 and loss.item() == pytest.approx(0.1 * figures["mask_loss"], rel=1e-5)


def test_more_layers_of_text_than_there_are_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="instruction_layers: backbone nano gives one layer"):
        open_objective(tiny_model, tmp_path, region={**REGION, "instruction_layers": 2})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"region": None}, "'region' goes with 'model.train: region'"),
        ({"loss": {"flow": 0}}, "a predictor alone does not.*region.adapter: false"),
        ({"region": {**REGION, "adapter": False}}, "a predictor alone does not"),
        ({"region": {**REGION, "adapter": False}, "loss": {"flow": 0, "mask": 0}}, "nothing is trained"),
        (
            {"model": {"train": "mot", "adapter": "x"}, "region": None, "adapter": {}},
            "adapter: only a region adapter",
        ),
        (
            {"region": {**REGION, "predictor": None}, "loss": {"mask": 0.1}},
            "loss.mask weighs predicted masks, and nothing",
        ),
        ({"region": {"num_head": 2}}, "unknown key 'num_head'.*num_heads"),
    ],
)
def test_wrong_settings_are_named(tiny_model: Path, tmp_path: Path, changes: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        get_config(tiny_model, tmp_path, **changes)
    assert re.search(message, f"{caught.value} {caught.value.hint}")
