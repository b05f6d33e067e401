"""A region adapter's folder: whole, strict, and the same numbers back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_region import CONFIG, GRID, LATENT, TEXT, build_flux, get_condition, get_mask, inject, noise
from torch import Tensor

from a2cli.backbones.blocks import get_blocks
from a2cli.context.passes import TwoPass
from a2cli.errors import CheckpointError
from a2cli.mot import MotConfig, hash_base, inject_mot, read_adapter, save_adapter
from a2cli.mot.header import read_header
from a2cli.region import RegionInfo, RegionModel, load_region, read_region, save_region

RECIPE = {"steps": 5000, "loss": {"region_alpha": 2.0, "mask": 0.1}}
WEIGHTS = "adapter_model.safetensors"
NAME = "transformer_blocks.1.attention.to_q.weight"


def save(model: RegionModel, folder: Path, base_hash: str, **options: Any) -> RegionInfo:
    options = {"recipe": RECIPE, "dtype": torch.float32, **options}
    return save_region(model, folder, backbone="nano", base_id="tiny/flux", base_hash=base_hash, **options)


def load(two_pass: TwoPass, folder: Path, base_hash: str, **options: Any) -> tuple[RegionModel, RegionInfo]:
    flux = two_pass.transformer
    return load_region(flux, get_blocks(flux), folder, base_hash=base_hash, state=two_pass.state, **options)


@torch.no_grad()
def answer(two_pass: TwoPass, model: RegionModel) -> tuple[Tensor, Tensor]:
    condition = get_condition()
    inputs = model.encode(get_mask(), GRID, condition.text)
    cache = two_pass.encode_context(condition, full_grid=True)
    velocity = two_pass.predict_velocity(noise(2, 20, LATENT), 0.5, condition, cache, region_inputs=inputs)
    assert model.predictor is not None
    return velocity, model.predictor(condition.masked, GRID, condition.text)


@pytest.fixture()
def saved(tmp_path: Path) -> tuple[Path, str, tuple[Tensor, Tensor]]:
    """A folder, its base's hash, and the answers it must give."""
    two_pass = TwoPass(build_flux())
    base_hash = hash_base(two_pass.transformer)
    model = inject(two_pass)
    save(model, tmp_path / "adapter", base_hash)
    return tmp_path / "adapter", base_hash, answer(two_pass, model)


def test_round_trip(saved: tuple[Path, str, tuple[Tensor, Tensor]]) -> None:
    folder, base_hash, expected = saved
    two_pass = TwoPass(build_flux())
    model, info = load(two_pass, folder, base_hash)
    assert all(torch.equal(a, b) for a, b in zip(answer(two_pass, model), expected, strict=True))
    assert model.config == info.config == CONFIG
    assert (info.backbone, info.base_id, info.base_hash) == ("nano", "tiny/flux", base_hash)
    assert info.recipe == RECIPE and info.dtype == "F32" and read_region(folder) == info


def test_it_lies_beside_experts_and_does_not_change_the_bases_hash(
    saved: tuple[Path, str, tuple[Tensor, Tensor]],
) -> None:
    folder, base_hash, _ = saved
    flux = build_flux()
    handle = inject_mot(flux, get_blocks(flux), MotConfig(num_experts=2, rank=2))
    two_pass = TwoPass(flux, experts=handle)
    model, _ = load(two_pass, folder, base_hash)
    assert hash_base(flux) == base_hash and not set(model.named_parameters()) & set(handle.named_parameters())
    answer(two_pass, model)


def test_half_precision_is_the_default(
    saved: tuple[Path, str, tuple[Tensor, Tensor]], tmp_path: Path
) -> None:
    folder, base_hash, expected = saved
    two_pass = TwoPass(build_flux())
    model, _ = load(two_pass, folder, base_hash)
    info = save_region(model, tmp_path / "half", backbone="n", base_id="b", base_hash=base_hash, recipe={})
    assert info.dtype == "F16"
    model.remove()
    narrow, _ = load(two_pass, tmp_path / "half", base_hash)
    for name, parameter in narrow.named_parameters().items():
        assert parameter.dtype == torch.float32
        assert torch.equal(parameter, model.named_parameters()[name].half().float())
    for mine, theirs in zip(answer(two_pass, narrow), expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0.05, atol=0.05)


def test_the_folder_tells_what_it_is(saved: tuple[Path, str, tuple[Tensor, Tensor]], tmp_path: Path) -> None:
    folder, base_hash, _ = saved
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "adapter_config.json", WEIGHTS]
    content = json.loads((folder / "adapter_config.json").read_text())
    assert content["format"] == "a2-region" and content["version"] == 1
    assert content["config"]["predictor"]["layers"] == 2
    card = (folder / "README.md").read_text()
    assert base_hash[:16] in card and '"steps": 5000' in card
    assert "mask predictor" in card and "with a spatial gate" in card
    with pytest.raises(CheckpointError, match="format 'a2-region' version 1, not 'a2-mot'"):
        read_adapter(folder)
    flux = build_flux()
    handle = inject_mot(flux, get_blocks(flux), MotConfig(num_experts=2, rank=2))
    save_adapter(handle, tmp_path / "mot", backbone="n", base_id="b", base_hash=base_hash, recipe={})
    with pytest.raises(CheckpointError, match="format 'a2-mot' version 1, not 'a2-region'"):
        read_region(tmp_path / "mot")


def _drop(tensors: dict[str, Tensor]) -> None:
    del tensors[NAME]


def _add(tensors: dict[str, Tensor]) -> None:
    tensors["transformer_blocks.7.norm.weight"] = tensors[NAME].clone()


def _reshape(tensors: dict[str, Tensor]) -> None:
    tensors[NAME] = tensors[NAME].T.contiguous()


def _retype(tensors: dict[str, Tensor]) -> None:
    tensors[NAME] = tensors[NAME].half()


def _poison(tensors: dict[str, Tensor]) -> None:
    tensors[NAME][0, 0] = float("nan")


@pytest.mark.parametrize(
    ("damage", "word"),
    [(_drop, "missing"), (_add, "no block"), (_reshape, "shape"), (_retype, "F16"), (_poison, "NaN")],
)
def test_a_wrong_tensor_is_named_and_nothing_changes(
    saved: tuple[Path, str, tuple[Tensor, Tensor]], damage: Callable[[dict[str, Tensor]], None], word: str
) -> None:
    folder, base_hash, _ = saved
    metadata, _ = read_header(folder / WEIGHTS)
    tensors = load_file(folder / WEIGHTS)
    damage(tensors)
    save_file(tensors, folder / WEIGHTS, metadata=metadata)
    two_pass = TwoPass(build_flux())
    with pytest.raises(CheckpointError, match=word) as caught:
        load(two_pass, folder, base_hash)
    assert NAME in str(caught.value) or "transformer_blocks.7" in str(caught.value)
    assert all(p.requires_grad for p in two_pass.transformer.parameters())
    assert not any(block._forward_hooks for block in two_pass.transformer.transformer_blocks)


def test_another_base_is_refused(saved: tuple[Path, str, tuple[Tensor, Tensor]]) -> None:
    folder, base_hash, _ = saved
    with pytest.raises(CheckpointError, match="made for tiny/flux"):
        load(TwoPass(build_flux(1)), folder, "0" * 64)
    with pytest.raises(CheckpointError, match="shape"):
        load(TwoPass(build_flux(heads=3)), folder, base_hash)
    with pytest.raises(CheckpointError, match=r"encoder\.project\.weight has shape"):
        load(TwoPass(build_flux()), folder, base_hash, text_dim=TEXT + 1)
    with pytest.raises(CheckpointError, match=r"predictor\.patchify\.weight has shape"):
        load(TwoPass(build_flux()), folder, base_hash, latent_dim=LATENT + 1)


@pytest.mark.parametrize(
    "change",
    [
        {"head_dim": 10**9},
        {"fusion_layers": 10**9},
        {"gates": 1},
        {"predictor": {"width": "wide"}},
        {"predictor": 3},
    ],
)
def test_absurd_settings_are_refused_before_anything_is_built(
    saved: tuple[Path, str, tuple[Tensor, Tensor]], change: dict[str, Any]
) -> None:
    path = saved[0] / WEIGHTS
    metadata, _ = read_header(path)
    content = json.loads(metadata["a2"])
    content["config"].update(change)
    save_file(load_file(path), path, metadata={"a2": json.dumps(content)})
    with pytest.raises(CheckpointError, match=f"configuration cannot be read: config.*{next(iter(change))}"):
        load(TwoPass(build_flux()), saved[0], saved[1])


@pytest.mark.parametrize(
    "change",
    [{"base_hash": 7}, {"base_id": None}, {"backbone": []}, {"recipe": []}, {"dtype": {}}, {"config": []}],
)
def test_what_it_says_of_itself_is_of_the_right_kind(
    saved: tuple[Path, str, tuple[Tensor, Tensor]], change: dict[str, Any]
) -> None:
    path = saved[0] / WEIGHTS
    metadata, _ = read_header(path)
    content = {**json.loads(metadata["a2"]), **change}
    save_file(load_file(path), path, metadata={"a2": json.dumps(content)})
    with pytest.raises(CheckpointError, match=f"{WEIGHTS}: its configuration .*{next(iter(change))}"):
        read_region(saved[0])


def test_a_bottomless_configuration_is_refused(saved: tuple[Path, str, tuple[Tensor, Tensor]]) -> None:
    path = saved[0] / WEIGHTS
    save_file(load_file(path), path, metadata={"a2": "[" * 100_000})
    with pytest.raises(CheckpointError, match="its configuration cannot be read"):
        read_region(saved[0])


def test_large_settings_ask_for_no_memory(saved: tuple[Path, str, tuple[Tensor, Tensor]]) -> None:
    path = saved[0] / WEIGHTS
    metadata, _ = read_header(path)
    content = json.loads(metadata["a2"])
    content["config"].update(num_heads=256, head_dim=1024)  # 256 Ki wide: 256 GiB a projection
    save_file(load_file(path), path, metadata={"a2": json.dumps(content)})
    with pytest.raises(CheckpointError, match="has shape"):
        load(TwoPass(build_flux()), saved[0], saved[1])


def test_nan_is_not_saved_and_the_old_adapter_stays(saved: tuple[Path, str, tuple[Tensor, Tensor]]) -> None:
    folder, base_hash, _ = saved
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    model, _ = load(TwoPass(build_flux()), folder, base_hash)
    parameter = model.named_parameters()[NAME]
    for value, options in ((float("nan"), {}), (1e6, {"dtype": torch.float16})):
        with torch.no_grad():
            parameter[0, 0] = value
        with pytest.raises(CheckpointError, match=NAME):
            save(model, folder, base_hash, **options)
    with torch.no_grad():
        parameter[0, 0] = 0
    with pytest.raises(CheckpointError, match="JSON"):
        save(model, folder, base_hash, recipe={"path": Path()})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_pickles_and_empty_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "adapter_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(CheckpointError, match="pickled weights are never opened"):
        read_region(tmp_path)
    with pytest.raises(CheckpointError, match="no adapter_model"):
        read_region(tmp_path / "nowhere")
