"""Plain low-rank adapters: what is written is what peft reads, and what does not fit is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from diffusers import FluxTransformer2DModel
from peft import PeftModel
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).parents[1] / "mot"))
from tiny_flux import build_tiny_flux, run

from a2cli.backbones.blocks import get_blocks
from a2cli.errors import CheckpointError, ConfigError
from a2cli.lora.adapter import LoraAdapter, inject_lora, is_lora, load_lora
from a2cli.lora.config import LoraConfig
from a2cli.mot.inject import is_target

BASE = "0" * 64


def make_adapter(flux: FluxTransformer2DModel, config: LoraConfig | None = None) -> LoraAdapter:
    """An adapter whose B is no longer zero."""
    adapter = inject_lora(flux, get_blocks(flux), config or LoraConfig(rank=3, alpha=6.0))
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in adapter.named_parameters().values():
            parameter.normal_(0, 0.1)
    return adapter


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, torch.Tensor]:
    """A folder, and what the adapted model answers."""
    flux = build_tiny_flux()
    adapter = make_adapter(flux)
    adapter.save(tmp_path / "adapter", dict(adapter.named_parameters()), {"base_hash": BASE})
    return tmp_path / "adapter", run(flux)


def test_a_fresh_adapter_changes_nothing_and_trains_alone() -> None:
    flux = build_tiny_flux()
    before = run(flux)
    specs = get_blocks(flux)
    adapter = inject_lora(flux, specs, LoraConfig(rank=2, targets="attention"))
    assert torch.equal(run(flux), before)
    trained = {id(p) for p in adapter.named_parameters().values()}
    assert trained == {id(p) for p in flux.parameters() if p.requires_grad}
    targets = sum(is_target(path, "attention") for spec in specs for path in spec.linears)
    assert len(trained) == 2 * targets


def test_peft_loads_the_folder_as_it_is(saved: tuple[Path, torch.Tensor]) -> None:
    folder, answer = saved
    flux = build_tiny_flux()
    PeftModel.from_pretrained(flux, str(folder))
    torch.testing.assert_close(run(flux), answer, rtol=0, atol=0)


def test_loading_gives_back_every_bit(saved: tuple[Path, torch.Tensor]) -> None:
    folder, answer = saved
    flux = build_tiny_flux()
    load_lora(flux, folder, base_hash=BASE)
    assert torch.equal(run(flux), answer) and is_lora(folder)
    assert not any(p.requires_grad for p in flux.parameters())
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1  # the weights are no more private


def test_damage_and_strangers_are_refused_by_name(saved: tuple[Path, torch.Tensor], tmp_path: Path) -> None:
    folder, _ = saved
    weights = folder / "adapter_model.safetensors"
    tensors = load_file(weights)
    name = sorted(tensors)[0]

    def refuse(match: str, base: str = BASE) -> None:
        flux = build_tiny_flux()
        with pytest.raises(CheckpointError, match=match):
            load_lora(flux, folder, base_hash=base)

    refuse("made for base 000.*this one has 111", base="1" * 64)
    save_file({k: v for k, v in tensors.items() if k != name}, weights)
    refuse("is missing")
    save_file({**tensors, name: torch.zeros(1, 1)}, weights)
    refuse(r"has shape \(1, 1\)")
    save_file({**tensors, "stranger": torch.zeros(1)}, weights)
    refuse("stranger belongs to no part")
    save_file({**tensors, name: torch.full_like(tensors[name], float("nan"))}, weights)
    refuse("NaN")
    weights.write_bytes(weights.read_bytes()[:100])
    refuse("damaged")
    weights.unlink()
    (folder / "adapter_model.bin").write_bytes(b"x")
    refuse("pickled")
    assert not is_lora(tmp_path)


def test_an_adapter_of_another_model_is_refused(saved: tuple[Path, torch.Tensor]) -> None:
    folder, _ = saved
    config = json.loads((folder / "adapter_config.json").read_text())
    config["target_modules"] = ["transformer_blocks.7.attn.to_q"]
    (folder / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="does not fit this model"):
        load_lora(build_tiny_flux(), folder, base_hash=BASE)


@pytest.mark.parametrize("wrong", [{"rank": 0}, {"alpha": 0.0}, {"alpha": float("inf")}, {"dropout": 1.0}])
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        LoraConfig(**wrong)  # type: ignore[arg-type]


def test_nan_is_not_saved(tmp_path: Path) -> None:
    adapter = make_adapter(build_tiny_flux())
    tensors = dict(adapter.named_parameters())
    tensors[next(iter(tensors))] = torch.full((1,), float("nan"))  # type: ignore[assignment]
    with pytest.raises(CheckpointError, match="NaN"):
        adapter.save(tmp_path / "adapter", tensors, {})
    assert not (tmp_path / "adapter").exists()
