"""`a2 train` on FLUX.1 Fill's own parts in miniature, and at full width with one block of each kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import flux_folder
import pytest
import torch
from diffusers import FluxTransformer2DModel
from instruction_pairs import PairList, make_instruction
from pair_folders import make_pair, write_imagefolder
from peft import PeftModel
from runs import read_rows, write_config
from safetensors.torch import load_file

from a2cli.backbones.flux import FluxFillBackbone
from a2cli.config.load import build
from a2cli.engine.localize import localize
from a2cli.engine.pipeline import EditPipeline
from a2cli.errors import ConfigError, DataError
from a2cli.mot import load_adapter
from a2cli.training.checkpoint import load_checkpoint
from a2cli.training.config import TrainConfig
from a2cli.training.run import build_objective, run_train
from a2cli.training.trainer import Trainer

MOT = {"model": {"train": "mot"}, "adapter": {"num_experts": 3, "rank": 2}}
LORA = {"model": {"train": "lora"}, "lora": {"rank": 2, "dropout": 0.1}}
REGION = {
    "model": {"train": "region"},
    "region": {
        "num_heads": 2,
        "head_dim": 16,
        "num_instruction_tokens": 4,
        "fusion_layers": 1,
        "predictor": {"width": 16, "decoder_width": 8, "num_heads": 2, "query_grid": 2, "encoder_layers": 1},
    },
    "loss": {"region_alpha": 2.0},
}
FFN = {"model": {"train": "mot"}, "adapter": {"num_experts": 3, "rank": 2, "targets": "ffn"}}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return flux_folder.build_flux_folder(tmp_path_factory.mktemp("flux"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pairs = [make_pair(number, height=64, width=72) for number in range(6)]
    return write_imagefolder(tmp_path_factory.mktemp("pairs"), pairs)


def get_mapping(kind: dict[str, Any], base: Path, data: Path, output: Path) -> dict[str, Any]:
    return {
        "output_dir": str(output),
        "steps": 4,
        "save_every": 2,
        "log_every": 1,
        "precision": "fp32",
        "trackers": [],
        **kind,
        "model": {**kind["model"], "backbone": "flux-fill", "path": str(base)},
        "data": {"path": str(data), "resolution": 64, "batch_size": 3, "workers": 0},
        "flow": {"shift": "resolution", "guidance": 30.0},
        "optimizer": {"lr": 0.01, "warmup": 1},
    }


def train(tmp_path: Path, mapping: dict[str, Any], *overrides: str) -> Path:
    run = run_train(str(write_config(tmp_path, mapping)), overrides)
    assert run is not None
    return run


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(MOT, id="mot"),
        pytest.param(FFN, id="ffn", marks=pytest.mark.slow),
        pytest.param(LORA, id="lora", marks=pytest.mark.slow),
    ],
)
def test_every_kind_of_adapter_trains_and_edits(
    kind: dict[str, Any], base: Path, data: Path, tmp_path: Path
) -> None:
    run = train(tmp_path, get_mapping(kind, base, data, tmp_path / "run"))
    assert len(read_rows(run)) == 4 and (run / "report.html").is_file()
    names = [n for n in load_checkpoint(run / "checkpoints" / "step-4")[0] if n.startswith("model.")]
    assert names and all("lora_" in n or n.endswith((".A", ".B")) or ".router." in n for n in names)
    plain, ours = (
        EditPipeline.load("flux-fill", model=str(base), adapter=adapter)
        for adapter in ("none", str(run / "adapter"))
    )
    pair = make_pair(7, height=64, width=72)
    results = [
        p.edit(pair.tar_rgb, pair.tar_mask, pair.ref_rgb, pair.ref_mask, steps=2, seed=0)
        for p in (plain, ours)
    ]
    assert (results[0] != results[1]).any()
    assert all((r[~pair.tar_mask] == pair.tar_rgb[~pair.tar_mask]).all() for r in results)


def test_a_region_adapter_trains_and_checkpointing_changes_nothing(base: Path, tmp_path: Path) -> None:
    results = []
    for checkpointing in (False, True):
        mapping = get_mapping(REGION, base, tmp_path, tmp_path / f"run-{checkpointing}")
        mapping["data"] = {**mapping["data"], "path": None, "synth": {"instructions": 1.0}}
        config = build(TrainConfig, {**mapping, "steps": 2, "gradient_checkpointing": checkpointing})
        objective: Any = build_objective(config)
        objective.source = PairList([make_instruction(0), make_instruction(1, task="remove")])
        Trainer(config, objective).train()
        results.append(load_file(Path(config.output_dir) / "adapter" / "adapter_model.safetensors"))
    plain, checkpointed = results
    assert plain.keys() == checkpointed.keys()
    for name, tensor in plain.items():
        torch.testing.assert_close(checkpointed[name], tensor, rtol=1e-3, atol=1e-5)
    assert any(bool(tensor.any()) for name, tensor in plain.items() if name.endswith("ffn.fc_out.weight"))
    pipeline = EditPipeline.load("flux-fill", model=str(base), adapter=str(tmp_path / "run-True" / "adapter"))
    pair = make_instruction(0)
    assert pair.src_rgb is not None
    assert localize(pipeline, pair.src_rgb, pair.prompt, way="predictor").soft.shape == (64, 64)


def test_peft_reads_a_trained_plain_adapter(base: Path, data: Path, tmp_path: Path) -> None:
    run = train(tmp_path, get_mapping(LORA, base, data, tmp_path / "run"))
    trained = load_checkpoint(run / "checkpoints" / "step-4")[0]
    model = PeftModel.from_pretrained(
        FluxTransformer2DModel.from_pretrained(base, subfolder="transformer"), str(run / "adapter")
    )
    found = {n.replace(".default.", "."): p for n, p in model.named_parameters() if "lora_" in n}
    assert {f"model.{n}" for n in found} == {n for n in trained if n.startswith("model.")}
    assert all(torch.equal(p, trained[f"model.{n}"]) for n, p in found.items())


def test_trained_experts_load_back_to_the_bit(base: Path, data: Path, tmp_path: Path) -> None:
    run = train(tmp_path, get_mapping(MOT, base, data, tmp_path / "run"))
    trained = load_checkpoint(run / "checkpoints" / "step-4")[0]
    backbone = FluxFillBackbone.load(str(base))
    handle, info = load_adapter(
        backbone.transformer, backbone.get_blocks(), run / "adapter", base_hash=backbone.base_hash
    )
    for name, tensor in handle.state_dict().items():
        assert torch.equal(tensor, trained[f"model.{name}"].half().float()), name  # the file's precision
    assert info.recipe["mats"]["stages"] == ["fine", "rough", "box"]


@pytest.mark.parametrize("kind", [MOT, LORA], ids=["mot", "lora"])
def test_checkpointing_and_caches_change_nothing(
    kind: dict[str, Any], base: Path, data: Path, tmp_path: Path
) -> None:
    """Gradient checkpointing computes the same; encodings from disk are those of the encoders."""
    mapping = get_mapping(kind, base, data, tmp_path / "plain")
    mapping["data"] |= {"context": [1.5, 1.5]}
    if "lora" in mapping:
        mapping["lora"] = {"rank": 2}
    rows = {"plain": read_rows(train(tmp_path, mapping))}
    for name, overrides in {
        "checkpointed": ["gradient_checkpointing=true"],
        "texts": ["data.cache_text_embeddings=true"],
    }.items():
        rows[name] = read_rows(train(tmp_path, mapping, f"output_dir={tmp_path / name}", *overrides))
    for name in ("checkpointed", "texts"):
        for one, two in zip(rows["plain"], rows[name], strict=True):
            assert one["loss"] == pytest.approx(two["loss"], rel=1e-5), name
    both = [
        "data.cache_latents=true",
        "data.cache_text_embeddings=true",
        f"data.cache_dir={tmp_path / 'cache'}",
    ]
    first = read_rows(train(tmp_path, mapping, f"output_dir={tmp_path / 'cached'}", *both))
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*.safetensors")}
    again = read_rows(train(tmp_path, mapping, f"output_dir={tmp_path / 'again'}", *both))
    assert first == again and kept
    assert kept == {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*.safetensors")}


@pytest.mark.slow
def test_bfloat16_checkpointed_and_sampled(base: Path, data: Path, tmp_path: Path) -> None:
    mapping = get_mapping(MOT, base, data, tmp_path / "run")
    mapping |= {"precision": "bf16", "gradient_checkpointing": True, "sample_every": 4}
    mapping["data"] |= {"cache_latents": True, "cache_text_embeddings": True}
    mapping["sample"] = {"pairs": 2, "steps": 2}
    run = train(tmp_path, mapping)
    assert sorted(p.name for p in (run / "samples").iterdir()) == ["step-2.png", "step-3.png", "step-4.png"]
    assert [row["step"] for row in read_rows(run) if "val_mae" in row] == [2, 3, 4]


@pytest.mark.parametrize("way", ["nf4", "int8", "torchao-int8"])
def test_experts_train_on_a_quantised_base(way: str, base: Path, data: Path, tmp_path: Path) -> None:
    mapping = get_mapping(MOT, base, data, tmp_path / "run")
    mapping["model"]["quantize"] = way
    rows = read_rows(train(tmp_path, mapping))
    assert len(rows) == 4 and all(row["grad_norm"] > 0 for row in rows)


def test_data_without_a_usable_record_ends_the_run_in_a_line(base: Path, tmp_path: Path) -> None:
    """Also where a loader process finds out."""
    data = write_imagefolder(tmp_path / "pairs", [make_pair(number) for number in range(3)])
    for picture in data.glob("*.png"):
        picture.write_bytes(b"x")
    mapping = get_mapping(MOT, base, data, tmp_path / "run")
    mapping["data"]["workers"] = 1
    with pytest.raises(DataError, match="32 records in a row cannot be used"):
        train(tmp_path, mapping)


def test_8_bit_adam_resumes_to_the_bit(base: Path, data: Path, tmp_path: Path) -> None:
    mapping = get_mapping(MOT, base, data, tmp_path / "straight")
    mapping |= {"adapter": {"num_experts": 3, "rank": 24}, "optimizer": {"name": "adamw8bit", "lr": 0.01}}
    straight = load_checkpoint(train(tmp_path, mapping) / "checkpoints" / "step-4")[0]
    assert any(tensor.dtype == torch.uint8 for tensor in straight.values())  # states of 4096 numbers and more

    def stop(step: int, total: int, row: dict[str, Any]) -> None:
        if step == 3:
            raise KeyboardInterrupt

    config = str(write_config(tmp_path, {**mapping, "output_dir": str(tmp_path / "parts")}))
    with pytest.raises(KeyboardInterrupt):
        run_train(config, progress=stop)
    run_train(config, resume="auto")
    resumed = load_checkpoint(tmp_path / "parts" / "checkpoints" / "step-4")[0]
    assert straight.keys() == resumed.keys()
    assert [name for name in straight if not torch.equal(straight[name], resumed[name])] == []


def test_the_terms_of_the_loss_are_logged_and_count(base: Path, data: Path, tmp_path: Path) -> None:
    mapping = get_mapping(MOT, base, data, tmp_path / "plain")
    plain = read_rows(train(tmp_path, mapping))
    mapping["loss"] = {"region_alpha": 2.0, "balance": 0.1, "contrastive": 0.2, "contrastive_blocks": "all"}
    run = train(tmp_path, mapping, f"output_dir={tmp_path / 'terms'}")
    rows = read_rows(run)
    assert all(row["contrastive"] >= 0 and row["balance"] > 0 for row in rows)
    assert "contrastive" not in plain[0]
    assert rows[0]["loss"] > plain[0]["loss"] and rows[-1]["grad_norm"] != plain[-1]["grad_norm"]
    usage = json.loads((run / "usage.json").read_text())
    assert usage["experts"] == 3 and len(usage["blocks"]) == 2
    assert (
        sum(entry["samples"] for entry in usage["categories"].values()) == 2 * 3
    )  # since the last checkpoint
    for entry in usage["categories"].values():
        assert all(
            share[0] == 1 and sum(share) >= 2 for share in entry["share"]
        )  # the anchor and one at least


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"train": "base"}, "adapter": None}, "only adapters are trained"),
        ({"data": {"repose": 0.5}}, "repose needs synthesised pairs"),
        ({"data": {"path": None, "cache_latents": True}}, "the pairs never end"),
        ({"lora": {"rank": 2}}, "section 'lora' goes with"),
        ({"trackers": ["wandb"]}, "wandb is not installed"),
    ],
)
def test_what_cannot_be_is_said_before_the_first_step(
    changes: dict[str, Any], message: str, base: Path, data: Path, tmp_path: Path
) -> None:
    mapping = get_mapping(MOT, base, data, tmp_path / "run")
    for key, value in changes.items():
        mapping[key] = {**mapping[key], **value} if isinstance(value, dict) and mapping.get(key) else value
    with pytest.raises(ConfigError, match=message):
        train(tmp_path, mapping)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


@pytest.mark.slow
def test_blocks_of_full_width_train_a_step(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real linears of FLUX.1 Fill (3072 wide, 1 + 1 of its 19 + 38 blocks), eight experts of rank 32 on each."""
    for name, value in {"LATENTS": 16, "TEXT": 4096, "POOLED": 768}.items():
        monkeypatch.setattr(flux_folder, name, value)
    monkeypatch.setattr(flux_folder, "build_transformer", build_wide_transformer)
    (tmp_path / "flux").mkdir()
    folder = flux_folder.build_flux_folder(tmp_path / "flux", redux=False)
    mapping = get_mapping(MOT, folder, data, tmp_path / "run")
    mapping |= {"adapter": {"num_experts": 8, "rank": 32}, "steps": 2, "gradient_checkpointing": True}
    mapping["data"]["batch_size"] = 1
    run = train(tmp_path, mapping)
    rows = read_rows(run)
    assert len(rows) == 2 and all(row["grad_norm"] > 0 for row in rows)
    trained = load_checkpoint(run / "checkpoints" / "step-2")[0]
    experts = [name for name in trained if name.endswith(".B")]
    assert len(experts) == 17 and all(trained[name].any() for name in experts)
    assert trained["model.single_transformer_blocks.0.proj_out.A"].shape == (15360, 256)


def build_wide_transformer() -> FluxTransformer2DModel:
    with torch.device("meta"):
        model = FluxTransformer2DModel(
            in_channels=384, out_channels=64, num_layers=1, num_single_layers=1, guidance_embeds=True
        )
    model = model.to_empty(device="cpu")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(1.0) if "norm" in name and parameter.ndim == 1 else parameter.uniform_(
                -0.01, 0.01
            )
    return model
