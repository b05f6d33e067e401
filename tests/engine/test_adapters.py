"""Adapters of every kind, one or several: sorted, loaded in order, refused where they do not go together."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from edits import make_pipeline, make_reference
from pictures import make_scene

from a2cli.backbones.flux import NanoBackbone
from a2cli.context.passes import TwoPass
from a2cli.engine.adapters import SHIPPED, bare, choose_adapters, get_kind
from a2cli.engine.localize import localize
from a2cli.engine.pipeline import EditOptions, EditPipeline
from a2cli.errors import CheckpointError, ConfigError
from a2cli.images.cutout import cut_out
from a2cli.images.write import build_photo
from a2cli.lora.adapter import inject_lora
from a2cli.lora.config import LoraConfig
from a2cli.mot import MotConfig, inject_mot, save_adapter
from a2cli.region import PredictorConfig, RegionConfig, inject_region, save_region

PHOTO = make_scene(70, 90)
SUBJECT = cut_out(build_photo(make_reference()))
ORIGIN = {"backbone": "nano", "base_id": "tiny", "recipe": {}}


@pytest.fixture(scope="module")
def folders(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An adapter of each kind for the tiny model; each of them does something."""
    root = tmp_path_factory.mktemp("adapters")
    torch.manual_seed(0)
    backbone = NanoBackbone.load(str(tiny_model))
    experts = inject_mot(
        backbone.transformer, backbone.get_blocks(), MotConfig(num_experts=3, rank=2, alpha=2.0)
    )
    _stir(experts.named_parameters(), ".B")
    save_adapter(experts, root / "mot", base_hash=backbone.base_hash, **ORIGIN)  # type: ignore[arg-type]
    experts.remove()
    save_small_region(backbone, root / "region")
    lora = inject_lora(backbone.transformer, backbone.get_blocks(), LoraConfig(rank=2, alpha=4.0))
    named = lora.named_parameters()
    _stir(named, "lora_B.weight")
    lora.save(root / "lora", {n: p.detach() for n, p in named.items()}, {"base_hash": backbone.base_hash})
    return {name: str(root / name) for name in ("mot", "region", "lora")}


def save_small_region(backbone: NanoBackbone, folder: Path) -> None:
    two_pass = TwoPass(backbone.transformer)
    predictor = PredictorConfig(width=16, query_grid=4, num_heads=2, text_queries=2)
    config = RegionConfig(num_heads=1, head_dim=8, num_instruction_tokens=4, predictor=predictor)
    model = inject_region(
        backbone.transformer, backbone.get_blocks(), config, text_dim=32, latent_dim=16, state=two_pass.state
    )
    _stir(model.named_parameters(), "ffn.fc_out.weight")
    save_region(model, folder, base_hash=backbone.base_hash, **ORIGIN)  # type: ignore[arg-type]
    model.remove()
    two_pass.remove()


@torch.no_grad()
def _stir(parameters: dict[str, torch.nn.Parameter], ending: str) -> None:
    for name, parameter in parameters.items():
        if name.endswith(ending):
            parameter.normal_(std=0.3)


def load(model: Path, *adapters: str) -> EditPipeline:
    return EditPipeline.load("nano", model=str(model), adapter=adapters, device="cpu")


def edit(pipeline: EditPipeline, *, region: bool = False) -> np.ndarray:
    mask = np.zeros((70, 90), np.float32)
    mask[20:50, 20:60] = 1
    options = EditOptions("a cup", steps=2, seed=1)
    return pipeline.generate(PHOTO, mask, SUBJECT, options, region=mask if region else None)[0]


def test_kinds_are_read_from_the_folder(folders: dict[str, str], tmp_path: Path) -> None:
    assert {kind: get_kind(folder) for kind, folder in folders.items()} == {k: k for k in folders}
    assert get_kind(str(tmp_path)) == "mot"  # whose loader says what is missing
    (tmp_path / "adapter_config.json").write_text("[1]")
    assert get_kind(str(tmp_path)) == "mot"


def test_sorted_by_kind_whatever_the_order(folders: dict[str, str]) -> None:
    given = (folders["region"], folders["mot"], folders["lora"])
    chosen = choose_adapters(given, backbone="nano", model=None)
    assert list(chosen.folders.items()) == [(k, folders[k]) for k in ("lora", "mot", "region")]
    alone = choose_adapters(folders["mot"], backbone="nano", model="x")
    both = choose_adapters((folders["mot"], folders["lora"]), backbone="nano", model=None)
    assert len({alone.hash, both.hash, chosen.hash}) == 2 and chosen.hash == both.hash
    assert alone.region_hash == "" and len(chosen.region_hash) == 64 == len(alone.hash)


def test_shipped_ones_go_with_the_shipped_model() -> None:
    shipped = choose_adapters(None, backbone="nano", model=None).folders
    assert shipped["mot"] == str(SHIPPED / "nano-mot")
    assert ("region" in shipped) == (SHIPPED / "nano-region").is_dir()
    for adapter, backbone, model in (
        (None, "nano", "/elsewhere"),
        (None, "flux-fill", None),
        ("none", "nano", None),
    ):
        none = choose_adapters(adapter, backbone=backbone, model=model)
        assert (none.folders, none.hash, none.region_hash) == ({}, "", "")


def test_what_does_not_go_together(folders: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="adapters of one kind"):
        choose_adapters((folders["mot"], folders["mot"]), backbone="nano", model=None)
    with pytest.raises(CheckpointError, match=r"typo: no such folder \(--adapter takes"):
        choose_adapters((folders["mot"], "typo"), backbone="nano", model=None)
    with pytest.raises(ConfigError, match="none stands beside a folder"):
        choose_adapters(("none", folders["mot"]), backbone="nano", model=None)


def test_each_kind_does_its_part(tiny_model: Path, folders: dict[str, str]) -> None:
    plain = edit(make_pipeline(tiny_model))
    results = [
        edit(load(tiny_model, *(folders[k] for k in kinds)))
        for kinds in (("mot",), ("lora",), ("mot", "lora"))
    ]
    for i, result in enumerate(results):
        assert not np.allclose(result, plain, atol=0.5)
        assert not any(np.allclose(result, other, atol=0.5) for other in results[:i])
    region = load(tiny_model, folders["region"])
    assert region.region is not None and region.experts is None and region.adapter_hash == ""
    assert np.array_equal(edit(region), plain)  # off under a plain mask
    assert not np.allclose(edit(region, region=True), plain, atol=0.5)
    all_three = load(tiny_model, folders["region"], folders["lora"], folders["mot"])
    assert np.array_equal(edit(all_three), results[2])
    assert not np.allclose(edit(all_three, region=True), results[2], atol=0.1)


def test_a_low_rank_adapter_looks_away_and_comes_back(tiny_model: Path, folders: dict[str, str]) -> None:
    plain, adapted = make_pipeline(tiny_model), load(tiny_model, folders["lora"])
    before, needed = edit(adapted), [p.requires_grad for p in adapted.backbone.transformer.parameters()]
    found = localize(adapted, PHOTO, "replace the cup")
    assert np.array_equal(found.soft, localize(plain, PHOTO, "replace the cup").soft)
    assert [p.requires_grad for p in adapted.backbone.transformer.parameters()] == needed
    assert np.array_equal(edit(adapted), before)
    with pytest.raises(RuntimeError, match="within"), bare(adapted.two_pass):
        assert np.array_equal(edit(adapted), edit(plain))
        raise RuntimeError("within")
    assert np.array_equal(edit(adapted), before)


def test_a_region_adapter_of_another_base_is_refused(
    tiny_model: Path, folders: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="this base has") as error:
        EditPipeline.load("nano", adapter=folders["region"], device="cpu")
    assert error.value.hint
    config = json.loads(Path(folders["region"], "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"no adapter_model\.safetensors"):
        load(tiny_model, str(tmp_path))
