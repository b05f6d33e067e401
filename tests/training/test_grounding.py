"""The base shown where a named thing is: the loss against its formula, what is trained, what is left alone."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from instruction_pairs import PairList, make_instruction

from a2cli.backbones.flux import NanoBackbone
from a2cli.config.load import build
from a2cli.config.localize import LocalizeOptions
from a2cli.context.recording import recording
from a2cli.engine.localize import Seeker, build_look
from a2cli.engine.pipeline import EditPipeline
from a2cli.engine.prepare import to_pixels
from a2cli.errors import ConfigError
from a2cli.training.checkpoint import load_checkpoint
from a2cli.training.config import TrainConfig
from a2cli.training.objectives.edit import EditObjective
from a2cli.training.objectives.grounding import GroundedObjective, grounding_loss
from a2cli.training.trainer import Trainer

BLOCKS = ["transformer_blocks.0", "single_transformer_blocks.0"]
TEXT = (
    "context_embedder",
    "add_q_proj",
    "add_k_proj",
    "add_v_proj",
    "to_add_out",
    "ff_context",
    "norm1_context",
    "norm_added",
)


def get_mapping(base: Path, folder: Path, **changes: Any) -> dict[str, Any]:
    traits = {"text_tokens": 32}
    return {
        "model": {"train": "base", "path": str(base), "architecture": {"traits": traits}},
        "output_dir": str(folder),
        "steps": 4,
        "save_every": 2,
        "log_every": 1,
        "precision": "fp32",
        "trackers": [],
        "seed": 5,
        "data": {"resolution": 64, "batch_size": 3, "workers": 0, "synth": {"size": 64, "instructions": 1.0}},
        "optimizer": {"lr": 0.01, "warmup": 1, "ema": 0.9},
        "loss": {"flow": 0, "grounding": 1.0},
        "grounding": {"blocks": BLOCKS},
        **changes,
    }


def open_objective(base: Path, folder: Path, **changes: Any) -> GroundedObjective:
    config = build(TrainConfig, get_mapping(base, folder, **changes))
    objective = GroundedObjective(config)
    tasks = ("replace", "recolour", "remove")
    objective.source = PairList([make_instruction(i, task=tasks[i % 3]) for i in range(9)])
    return objective


def test_the_loss_is_the_formula_written_naively(tiny_model: Path, tmp_path: Path) -> None:
    objective = open_objective(tiny_model, tmp_path)
    batch = objective.make_batch(0, range(3))
    loss, figures = objective.loss(batch, objective.count(batch), range(3))
    pairs = [objective.source.get_pair(i) for i in range(3)]
    backbone = objective.backbone
    seen: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    class Watch:
        def record(self, name: str, which: str, query: Any, key: Any, key_mask: Any) -> None:
            assert which == "context" and key_mask is None
            seen[name] = query.detach(), key.detach()

    expected = 0.0
    for pair in pairs:
        with torch.no_grad(), recording(objective.two_pass, Watch()):
            text, pooled = backbone.encode_text([pair.prompt])
            tokens = backbone.encode_pixels(to_pixels(pair.src_rgb[None]))
            objective.two_pass.encode_context(
                build_look(objective.backbone.transformer, tokens, text, pooled, (4, 4))
            )
        start = pair.prompt.index(pair.keyword)
        rows = [start + i for i, letter in enumerate(pair.keyword) if letter != " "]  # a row a byte
        found = torch.zeros(16)
        for name in BLOCKS:
            query, key = seen[name]
            for row in rows:
                for head in range(query.shape[2]):
                    logits = key[0, :, head] @ query[0, row, head] / math.sqrt(query.shape[-1])
                    weights = logits.exp() / logits.exp().sum()  # over all keys
                    found += weights[32:] / (len(BLOCKS) * len(rows) * query.shape[2])
        found = found / found.sum()
        wanted = (
            torch.from_numpy(pair.src_mask).float().unfold(0, 16, 16).unfold(1, 16, 16).mean((2, 3)).flatten()
        )
        wanted = wanted / wanted.sum()
        expected += float(sum(q * math.log(q / p) for q, p in zip(wanted, found, strict=True) if q > 0)) / 3
    assert loss.item() == pytest.approx(expected, rel=1e-4) and figures["grounding"] == loss.item()
    assert 0 <= figures["pointed"] <= 1


def test_the_divergence_is_zero_where_attention_agrees() -> None:
    cover = torch.rand(3, 16) * (torch.arange(16) % 3 == 0)
    assert grounding_loss(cover * 0.01, cover).item() == pytest.approx(0, abs=1e-5)
    assert grounding_loss(cover.roll(1, 1), cover).item() > 10
    assert grounding_loss(torch.zeros(3, 16), cover).isfinite()  # all attention went to the text


def test_text_only_leaves_all_else_as_it_was(tiny_model: Path, tmp_path: Path) -> None:
    objective = open_objective(tiny_model, tmp_path / "run", grounding={"blocks": BLOCKS, "text_only": True})
    named = dict(objective.named_parameters())
    assert all(n.startswith("text_encoder_2.") or any(t in n for t in TEXT) for n in named)
    for word in ("text_encoder_2.shared", *TEXT):
        assert any(word in name for name in named), word
    Trainer(objective.config, objective).train()
    before, after = (NanoBackbone.load(str(path)) for path in (tiny_model, tmp_path / "run" / "model"))
    for part, module in before.components.items():
        if not isinstance(module, torch.nn.Module):
            continue
        trained = after.components[part].state_dict()
        for name, tensor in module.state_dict().items():
            tied = name.startswith("encoder.embed_tokens")
            if f"{part}.{name}" not in named and not tied:
                assert torch.equal(tensor, trained[name]), f"{part}.{name}"
    moved = [n for n, p in named.items() if not torch.equal(p.detach().half(), _get(before, n).half())]
    # Nothing of the text's own stream is read behind the last double block, but for what attends in it.
    assert {n for n in named if "add_q_proj.weight" in n or "encoder.block.0.layer.0" in n} <= set(moved)
    assert after.traits.text_tokens == 32 and after.traits.localize_blocks == tuple(BLOCKS)
    assert after.traits.resolution == before.traits.resolution


@pytest.mark.parametrize("text_only", [True, False])
def test_the_text_encoder_stays_where_it_is_not_to_be_trained(
    tiny_model: Path, tmp_path: Path, text_only: bool
) -> None:
    grounding = {"blocks": BLOCKS, "text_only": text_only, "train_encoder": False}
    objective = open_objective(tiny_model, tmp_path / "run", grounding=grounding)
    named = dict(objective.named_parameters())
    assert not any(name.startswith("text_encoder_2.") for name in named)
    assert any("add_q_proj" in name for name in named)
    assert any(name.startswith("image_encoder.") for name in named) != text_only
    Trainer(objective.config, objective).train()
    before, after = (NanoBackbone.load(str(path)) for path in (tiny_model, tmp_path / "run" / "model"))
    kept = after.components["text_encoder_2"].state_dict()
    for name, tensor in before.components["text_encoder_2"].state_dict().items():
        assert torch.equal(tensor, kept[name]), name
    assert not torch.equal(
        before.transformer.context_embedder.weight, after.transformer.context_embedder.weight
    )


def _get(backbone: NanoBackbone, name: str) -> torch.Tensor:
    part, rest = name.split(".", 1)
    return dict(backbone.components[part].named_parameters())[rest].detach()


def test_stopped_and_resumed_equals_straight_and_attention_learns(tiny_model: Path, tmp_path: Path) -> None:
    def run(name: str, stop: int | None = None) -> None:
        objective = open_objective(tiny_model, tmp_path / name, steps=12, save_every=6)
        trainer = Trainer(objective.config, objective)
        trainer.resume()

        def progress(step: int, total: int, figures: dict[str, Any]) -> None:
            losses.setdefault(name, []).append(figures["loss"])
            if step == stop:
                raise KeyboardInterrupt

        trainer.train(progress)

    losses: dict[str, list[float]] = {}
    run("straight")
    with pytest.raises(KeyboardInterrupt):
        run("parts", 7)
    torch.manual_seed(99)
    run("parts")
    one, two = (load_checkpoint(tmp_path / n / "checkpoints" / "step-12")[0] for n in ("straight", "parts"))
    assert one.keys() == two.keys() and [k for k in one if not torch.equal(one[k], two[k])] == []
    assert losses["parts"][-6:] == losses["straight"][-6:]
    assert min(losses["straight"][-3:]) < 0.8 * losses["straight"][0]


def test_beside_the_velocity_both_terms_add_up(tiny_model: Path, tmp_path: Path) -> None:
    weights = {"flow": 0.5, "grounding": 2.0}
    objective = open_objective(tiny_model, tmp_path, loss=weights)
    config = replace(
        objective.config, loss=replace(objective.config.loss, flow=1.0, grounding=0.0), grounding=None
    )
    plain = EditObjective(config)
    plain.source = objective.source
    batch = objective.make_batch(0, range(3))
    assert batch["row"] == [0, 1]  # nothing comes with a reference in the place of what is removed
    assert len(batch["looks"]["photo"]) == 3
    loss, figures = objective.loss(batch, objective.count(batch), [1, 2, 3])
    own = plain.make_batch(0, range(3))
    edit, _ = plain.loss(own, plain.count(own), [1, 2, 3])
    assert objective.count(batch) == plain.count(own) > 0
    assert loss.item() == pytest.approx(0.5 * edit.item() + 2 * figures["grounding"], rel=1e-5)


def test_checkpointed_blocks_give_the_same_gradients(tiny_model: Path, tmp_path: Path) -> None:
    gradients = []
    for checkpointing in (False, True):
        objective = open_objective(tiny_model, tmp_path, gradient_checkpointing=checkpointing)
        objective.modules.train()
        batch = objective.make_batch(0, range(3))
        objective.loss(batch, 1.0, range(3))[0].backward()
        gradients.append({n: p.grad for n, p in objective.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys() and len(gradients[0]) > 20
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-7)


def test_pairs_without_a_word_for_the_thing_are_passed_over(tiny_model: Path, tmp_path: Path) -> None:
    objective = open_objective(tiny_model, tmp_path)
    pair = make_instruction(0)
    long = replace(pair, prompt=f"please, on this lovely photo of mine, {pair.prompt}")  # cut off at 32 bytes
    objective.source = PairList([replace(pair, src_rgb=None), long, replace(pair, keyword="dog")])
    batch = objective.make_batch(0, range(3))
    loss, figures = objective.loss(batch, objective.count(batch), range(3))
    assert batch["looks"] == {} and loss.item() == figures["grounding"] == 0
    loss.backward()
    some = open_objective(tiny_model, tmp_path, grounding={"blocks": BLOCKS, "share": 0.5})
    seen = [some._look(some.source.get_pair(i), i) is not None for i in range(60)]
    assert 15 < sum(seen) < 45
    assert seen == [some._look(some.source.get_pair(i), i) is not None for i in range(60)]


def test_a_sample_photo_whose_sentence_is_cut_off_is_left_out(tiny_model: Path, tmp_path: Path) -> None:
    objective = open_objective(tiny_model, tmp_path)
    pair = make_instruction(0)
    long = replace(pair, prompt=f"please, on this lovely photo of mine, {pair.prompt}")  # 32 bytes are read
    objective.grids.pairs = [long, replace(pair, prompt="")]
    assert objective.sample(tmp_path, 1) == {} and not (tmp_path / "samples").exists()
    objective.grids.pairs = [long, pair]
    assert objective.sample(tmp_path, 2).keys() == {"val_iou"}
    assert (tmp_path / "samples" / "step-2.png").is_file()


def test_heads_are_trained_as_the_saved_model_reads_them(tiny_model: Path, tmp_path: Path) -> None:
    """The trained map is the recorder's, over one head of a block and all of another."""
    blocks = [f"{BLOCKS[0]}:1", BLOCKS[1]]
    objective = open_objective(tiny_model, tmp_path, grounding={"blocks": blocks})
    assert objective.backbone.traits.localize_blocks == tuple(blocks)
    batch = objective.make_batch(0, range(3))
    with torch.no_grad():
        trained = objective.attend(batch["looks"])
    for number, sentence in enumerate(batch["looks"]["sentence"]):
        start, stop = batch["looks"]["rows"][number].nonzero()[[0, -1], 0].tolist()
        seeker = Seeker(
            EditPipeline(objective.backbone, two_pass=objective.two_pass),
            sentence,
            LocalizeOptions(way="attention", keyword=sentence[start : stop + 1]),
        )
        with torch.no_grad():
            read = seeker.attend(batch["looks"]["photo"][number].numpy())
        assert seeker.blocks == tuple(blocks)
        torch.testing.assert_close(trained[number], torch.from_numpy(read).flatten(), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"grounding": {"blocks": ["single_transformer_blocks.9"]}},
            "no block 'single_transformer_blocks.9'.*did",
        ),
        ({"grounding": {"blocks": [f"{BLOCKS[0]}:2"]}}, "grounding.blocks: .*there is no head 2.*0 to 1"),
        ({"loss": {"flow": 0, "grounding": 1.0, "mask": 0.1}}, "loss.mask weighs predicted masks"),
        ({"grounding": {}}, "grounding.blocks: name some"),
        ({"grounding": {"share": 0}}, "share"),
        ({"grounding": None}, "'grounding' goes with 'loss.grounding'"),
        ({"loss": {}}, "'grounding' goes with 'loss.grounding'"),
        ({"loss": {"flow": 0.5}, "grounding": None}, "loss.flow: there is nothing else"),
        ({"model": {"train": "lora"}, "lora": {}}, "acts on the base's attention"),
    ],
)
def test_wrong_settings_are_named(tiny_model: Path, tmp_path: Path, changes: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_objective(tiny_model, tmp_path, **changes)
    assert re.search(message, f"{caught.value} {caught.value.hint}")
