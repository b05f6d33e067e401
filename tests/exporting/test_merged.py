"""A merged model folder in a2 and in diffusers, and what a base must be like to be merged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import FluxFillPipeline, FluxTransformer2DModel
from edits import make_pipeline
from export_things import get_gates, make_delta, make_sample
from safetensors.torch import load_file, save_file

from a2cli.backbones.blocks import get_blocks
from a2cli.engine.pipeline import EditPipeline
from a2cli.errors import CheckpointError
from a2cli.exporting.deltas import Deltas, get_frozen_deltas
from a2cli.exporting.merged import write_merged
from a2cli.mot import load_adapter

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def base(tiny_base: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model that a test may damage."""
    return Path(shutil.copytree(tiny_base, tmp_path / "base"))


def load_flux(model: Path) -> FluxTransformer2DModel:
    return FluxTransformer2DModel.from_pretrained(model, subfolder="transformer", torch_dtype=torch.float32)


def answer(flux: FluxTransformer2DModel) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        return flux(
            hidden_states=torch.randn(1, 6, flux.config.in_channels, generator=generator),
            encoder_hidden_states=torch.randn(1, 3, flux.config.joint_attention_dim, generator=generator),
            pooled_projections=torch.randn(1, flux.config.pooled_projection_dim, generator=generator),
            timestep=torch.tensor([0.4]),
            guidance=torch.tensor([3.0]) if flux.config.guidance_embeds else None,
            img_ids=torch.zeros(6, 3),
            txt_ids=torch.zeros(3, 3),
            return_dict=False,
        )[0]


def freeze_experts(model: Path, adapter: Path) -> tuple[Deltas, torch.Tensor]:
    """The updates of a frozen routing, and what a2's own merged experts answer."""
    bare = make_pipeline(model).backbone
    handle, _ = load_adapter(bare.transformer, bare.get_blocks(), adapter, base_hash=bare.base_hash)
    gates = get_gates([block.name for block in handle.blocks])
    deltas = get_frozen_deltas(handle.state_dict(), handle.config, gates)
    handle.merge({name: values[None] for name, values in gates.items()})
    return deltas, answer(bare.transformer)


def test_diffusers_and_a2_load_it_and_answer_as_the_frozen_experts(
    base: Path, tiny_experts: Path, tmp_path: Path
) -> None:
    deltas, wanted = freeze_experts(base, tiny_experts)
    assert float((answer(load_flux(base)) - wanted).abs().max()) > 0.05
    out = tmp_path / "merged"
    write_merged(out, base, deltas, dtype=torch.float32)
    torch.testing.assert_close(answer(load_flux(out)), wanted, rtol=0, atol=1e-5)
    pipeline = EditPipeline.load("nano", model=str(out), adapter="none", device="cpu")
    assert pipeline.experts is None and pipeline.backbone.traits.resolution == 64
    torch.testing.assert_close(answer(pipeline.backbone.transformer), wanted, rtol=0, atol=1e-5)


def test_what_no_update_is_for_is_copied_byte_for_byte(base: Path, tmp_path: Path) -> None:
    (base / "LICENSE.md").write_text("of the base")
    (base / "README.md").write_text("the base's card")
    save_file({"all": torch.ones(3)}, base / "flux1-fill-dev.safetensors")  # the layout of another program
    (base / ".cache").mkdir()
    (base / ".cache" / "model.json").write_text("{}")
    name = "transformer_blocks.0.attn.to_q"
    write_merged(tmp_path / "out", base, {name: make_delta(2, 64, 64)})
    left_out = {"README.md", "flux1-fill-dev.safetensors", ".cache/model.json"}
    files = {str(p.relative_to(base)) for p in base.rglob("*") if p.is_file()}
    assert {
        str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*") if p.is_file()
    } == files - left_out
    for file in files - left_out - {f"transformer/{WEIGHTS}"}:
        assert (tmp_path / "out" / file).read_bytes() == (base / file).read_bytes(), file
    before, after = (load_file(folder / "transformer" / WEIGHTS) for folder in (base, tmp_path / "out"))
    changed = [n for n in before if not torch.equal(before[n], after[n])]
    assert changed == [f"{name}.weight"] and before.keys() == after.keys()
    assert {after[n].dtype for n in after} == {before[n].dtype for n in before}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_a_sum_is_taken_in_float32_and_rounded_once(base: Path, tmp_path: Path, dtype: torch.dtype) -> None:
    delta, name = make_delta(2, 64, 64), "single_transformer_blocks.0.attn.to_k"
    write_merged(tmp_path / "out", base, {name: delta}, dtype=dtype)
    before, after = (load_file(folder / "transformer" / WEIGHTS) for folder in (base, tmp_path / "out"))
    assert {tensor.dtype for tensor in after.values()} == {dtype}
    wanted = (before[f"{name}.weight"].float() + delta.get_product()).to(dtype)
    assert torch.equal(after[f"{name}.weight"], wanted)


def test_shards_stay_shards(base: Path, tiny_experts: Path, tmp_path: Path) -> None:
    deltas, wanted = freeze_experts(base, tiny_experts)
    flux = load_flux(base)
    shutil.rmtree(base / "transformer")
    flux.save_pretrained(base / "transformer", max_shard_size="200KB")
    shards = sorted(p.name for p in (base / "transformer").glob("*.safetensors"))
    assert len(shards) > 2
    out = tmp_path / "merged"
    write_merged(out, base, deltas, dtype=torch.bfloat16)
    assert sorted(p.name for p in (out / "transformer").glob("*.safetensors")) == shards
    index = json.loads((out / "transformer" / f"{WEIGHTS}.index.json").read_text())
    assert index["metadata"]["total_size"] == 2 * sum(p.numel() for p in flux.parameters())
    write_merged(tmp_path / "wide", base, deltas)
    torch.testing.assert_close(answer(load_flux(tmp_path / "wide")), wanted, rtol=0, atol=1e-5)


def test_a_whole_pipeline_opens_the_folder(tmp_path: Path) -> None:
    from flux_folder import build_flux_folder

    (tmp_path / "base").mkdir()
    base = build_flux_folder(tmp_path / "base", redux=False)
    blocks = get_blocks(load_flux(base))
    linear = blocks[0].linears["ff.net.2"]
    delta = make_delta(3, linear.in_features, linear.out_features)
    write_merged(tmp_path / "out", base, {f"{blocks[0].name}.ff.net.2": delta})
    pipe = FluxFillPipeline.from_pretrained(tmp_path / "out")
    weight = pipe.transformer.get_submodule(blocks[0].name).ff.net[2].weight
    torch.testing.assert_close(weight, linear.weight + delta.get_product())


def test_parts_that_are_links_are_copied_as_folders(base: Path, tmp_path: Path) -> None:
    (base / "vae").rename(tmp_path / "elsewhere")
    (base / "vae").symlink_to(tmp_path / "elsewhere")
    write_merged(tmp_path / "out", base, {})
    copy = tmp_path / "out" / "vae" / WEIGHTS
    assert copy.read_bytes() == (tmp_path / "elsewhere" / WEIGHTS).read_bytes() and not copy.is_symlink()
    assert not (tmp_path / "out" / "vae").is_symlink()


def spoil_shape(base: Path) -> Deltas:
    return {"transformer_blocks.0.attn.to_q": make_delta(2, 64, 32)}


def spoil_name(base: Path) -> Deltas:
    return {"transformer_blocks.9.attn.to_q": make_delta(2, 64, 64)}


def spoil_range(base: Path) -> Deltas:
    delta = make_delta(2, 64, 64)
    delta.B[0, 0] = 1e38
    delta.A[:, 0] = 1e38
    return {"transformer_blocks.0.attn.to_q": delta}


def spoil_file(base: Path) -> Deltas:
    path = base / "transformer" / WEIGHTS
    path.write_bytes(path.read_bytes()[:-9])
    return {}


def spoil_variants(base: Path) -> Deltas:
    shutil.copy(
        base / "transformer" / WEIGHTS, base / "transformer" / "diffusion_pytorch_model.fp16.safetensors"
    )
    return {}


def spoil_weights(base: Path) -> Deltas:
    (base / "transformer" / WEIGHTS).unlink()
    return {}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (spoil_shape, r"attn\.to_q\.weight has shape \(64, 64\), the adapter's update \(32, 64\)"),
        (spoil_name, r"base: no weight for transformer_blocks\.9"),
        (spoil_range, r"attn\.to_q\.weight holds NaN or infinite"),
        (spoil_file, r"diffusion_pytorch_model\.safetensors: .*truncated"),
        (spoil_variants, r"tensor .* is in diffusion_pytorch_model\.fp16\.safetensors too"),
        (spoil_weights, r"transformer: no safetensors there"),
    ],
)
def test_a_base_that_does_not_fit_is_refused(
    base: Path, tmp_path: Path, spoil: Callable[[Path], Deltas], said: str
) -> None:
    deltas = spoil(base)
    with pytest.raises(CheckpointError, match=said):
        write_merged(tmp_path / "out", base, deltas)
    assert not list((tmp_path / "out").rglob("*.tmp"))


@pytest.mark.slow
def test_nano_in_half_precision_steps_as_its_frozen_experts(tmp_path: Path) -> None:
    """Its weights lie on disk as float16, and the merged ones are rounded to that."""
    from a2cli.backbones.flux import NANO_FOLDER
    from a2cli.exporting.example import build_example, get_difference
    from a2cli.exporting.functional import freeze, functional_passes
    from a2cli.exporting.routing import get_gates as get_routed_gates

    pipeline, sample = EditPipeline.load("nano", device="cpu"), make_sample(256)
    experts = pipeline.experts
    deltas = get_frozen_deltas(experts.state_dict(), experts.config, get_routed_gates(pipeline, sample))
    write_merged(tmp_path / "out", NANO_FOLDER, deltas)
    freeze(pipeline, deltas)
    example = build_example(pipeline, sample)
    other = EditPipeline.load("nano", model=str(tmp_path / "out"), adapter="none", device="cpu")
    with functional_passes(pipeline) as (_, step), functional_passes(other) as (_, merged), torch.no_grad():
        inputs = {**example.target, **example.kept}
        assert get_difference(merged(inputs), step(inputs)) < 1e-3
    assert get_difference({"edited": build_example(other, sample).edited}, {"edited": example.edited}) < 1e-3
