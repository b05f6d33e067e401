"""FLUX Fill from a folder of its own components, against diffusers' own pipeline on the same parts."""

from __future__ import annotations

import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxFillPipeline
from flux_folder import LATENTS, POOLED, TEXT, build_flux_folder

from a2cli.backbones.base import Traits
from a2cli.backbones.flux import TRAITS_FILE, FluxFillBackbone, NanoBackbone
from a2cli.context import TwoPass, pack_latents, pack_mask, unpack_latents
from a2cli.errors import BackboneError, CheckpointError, ConfigError
from a2cli.testing import check_backbone
from a2cli.training.config import ModelConfig
from a2cli.training.nano import build_or_load_nano, save_nano

PROMPTS = ["a red cup", ""]
NANO: dict[str, Any] = {
    "traits": {"resolution": 64, "collage": True, "steps": 2, "guidance": 1.0, "shift": 1.0},
    "transformer": {
        "in_channels": 288,
        "out_channels": 16,
        "num_layers": 1,
        "num_single_layers": 1,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "joint_attention_dim": 16,
        "pooled_projection_dim": 16,
        "axes_dims_rope": [4, 6, 6],
    },
    "vae": {
        "latent_channels": 4,
        "block_out_channels": [4, 4, 8, 8],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "norm_num_groups": 4,
        "scaling_factor": 1.0,
        "shift_factor": 0.0,
    },
    "text_encoder_2": {
        "vocab_size": 384,
        "d_model": 16,
        "d_kv": 8,
        "num_heads": 2,
        "d_ff": 16,
        "num_layers": 1,
    },
    "image_encoder": {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 16,
    },
    "image_embedder": {"redux_dim": 16, "txt_in_features": 16},
}


@pytest.fixture(scope="module")
def backbone(folder: Path) -> FluxFillBackbone:
    return FluxFillBackbone.load(str(folder))


@pytest.fixture(scope="module")
def pipeline(backbone: FluxFillBackbone) -> FluxFillPipeline:
    parts = {k: v for k, v in backbone.components.items() if not k.startswith("image_")}
    return FluxFillPipeline(scheduler=FlowMatchEulerDiscreteScheduler(), **parts)


def get_pictures(height: int = 48, width: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """Two pictures with a hole and its mask, an uneven one."""
    generator = torch.Generator().manual_seed(3)
    pixels = torch.rand(2, 3, height, width, generator=generator) * 2 - 1
    mask = (torch.rand(2, 1, height, width, generator=generator) > 0.7).float()
    mask[:, :, :16] = 0
    return pixels * (1 - mask), mask


def build_nano(folder: Path, **changes: Any) -> NanoBackbone:
    architecture = {**NANO, **changes}
    return build_or_load_nano(ModelConfig("base", str(folder), architecture), seed=0)


def test_flux_conforms_with_redux_without_it_and_in_half_precision(folder: Path, tmp_path: Path) -> None:
    check_backbone(FluxFillBackbone, str(folder))
    check_backbone(FluxFillBackbone, str(folder), dtype="bfloat16")
    plain = build_flux_folder(tmp_path, redux=False)
    check_backbone(FluxFillBackbone, str(plain))
    assert "image_encoder" not in FluxFillBackbone.load(str(plain)).components


def test_components_come_as_diffusers_reads_them(folder: Path, backbone: FluxFillBackbone) -> None:
    names = {"scheduler", *backbone.components}
    assert names == {p.name for p in folder.iterdir() if p.is_dir()}
    assert not any(p.requires_grad for p in backbone.transformer.parameters())
    assert not backbone.transformer.training and not backbone.vae.training
    assert backbone.traits == FluxFillBackbone.traits and backbone.downscale == 8
    assert backbone.device == torch.device("cpu")
    assert len(backbone.get_blocks()) == 2


def test_latents_are_packed_as_the_pipeline_packs_them() -> None:
    latents = torch.randn(2, 5, 6, 8, generator=torch.Generator().manual_seed(0))
    packed = pack_latents(latents)
    assert torch.equal(packed, FluxFillPipeline._pack_latents(latents, 2, 5, 6, 8))
    assert torch.equal(FluxFillPipeline._unpack_latents(packed, 48, 64, 8), latents)
    assert torch.equal(unpack_latents(packed, (3, 4)), latents)


def test_masked_image_and_mask_are_the_tokens_the_pipeline_prepares(
    backbone: FluxFillBackbone, pipeline: FluxFillPipeline
) -> None:
    masked, mask = get_pictures()
    condition = backbone.build_condition(masked, mask, masked, PROMPTS)
    bits, tokens = pipeline.prepare_mask_latents(
        mask, masked, 2, LATENTS, 1, 48, 64, torch.float32, backbone.device, None
    )
    assert condition.mask.shape == (2, 12, 256) and condition.masked.shape == (2, 12, 16)
    assert torch.equal(condition.mask, bits) and torch.equal(pack_mask(mask, 8), bits)
    torch.testing.assert_close(condition.masked, tokens, atol=1e-5, rtol=1e-5)
    assert condition.visible[:, :4].all() and (condition.mask[condition.visible] == 0).all()
    assert (condition.mask[~condition.visible].sum(-1) > 0).all()


def test_text_is_encoded_as_the_pipeline_encodes_it(
    backbone: FluxFillBackbone, pipeline: FluxFillPipeline
) -> None:
    hidden, pooled = backbone.encode_text(PROMPTS)
    theirs, their_pooled, _ = pipeline.encode_prompt(PROMPTS, None, max_sequence_length=512)
    assert hidden.shape == (2, 512, TEXT) and pooled.shape == (2, POOLED)
    assert torch.equal(hidden, theirs) and torch.equal(pooled, their_pooled)
    assert not torch.equal(hidden[0], hidden[1])


def test_redux_tokens_follow_the_text(backbone: FluxFillBackbone) -> None:
    masked, mask = get_pictures()
    condition = backbone.build_condition(masked, mask, masked, PROMPTS)
    assert condition.text.shape == (2, 512 + 4, TEXT)  # 32 px in tiles of 16
    other = backbone.build_condition(masked, mask, -masked, PROMPTS)
    assert torch.equal(condition.text[:, :512], other.text[:, :512])
    assert not torch.equal(condition.text[:, 512:], other.text[:, 512:])


def test_half_precision_weights_take_float_pictures(folder: Path) -> None:
    backbone = FluxFillBackbone.load(str(folder), dtype="bfloat16")
    masked, mask = (x[:1] for x in get_pictures())
    condition = backbone.build_condition(masked, mask, masked, PROMPTS[:1])
    passes = TwoPass(backbone.transformer, guidance=30.0)
    with torch.no_grad():
        cache = passes.encode_context(condition)
        region = condition.get_region()
        noisy = torch.randn(1, len(region), 16).to(condition.masked)
        velocity = passes.predict_velocity(noisy, 0.5, condition, cache, region)
    assert velocity.dtype == condition.mask.dtype == torch.bfloat16 and velocity.isfinite().all()
    assert backbone.decode_tokens(condition.masked, condition.grid).dtype == torch.float32


def test_nano_conforms_and_survives_saving(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    built = build_nano(tmp_path / "none")
    save_nano(built, tmp_path / "one")
    first = NanoBackbone.load(str(tmp_path / "one"))
    for name in ("transformer", "vae", "text_encoder_2", "image_encoder", "image_embedder"):
        before, after = (b.components[name].state_dict() for b in (built, first))
        assert list(before) == list(after)
        for key, tensor in before.items():
            half = tensor.half().float() if tensor.is_floating_point() else tensor
            assert torch.equal(half, after[key]), f"{name}.{key}"
    save_nano(first, tmp_path / "two")
    assert NanoBackbone.load(str(tmp_path / "two")).base_hash == first.base_hash
    assert first.traits == built.traits == Traits(64, collage=True, steps=2, guidance=1.0, shift=1.0)
    check_backbone(NanoBackbone, str(tmp_path / "one"))


def test_diffusers_opens_a_saved_nano(tmp_path: Path) -> None:
    """An ordinary diffusers folder, only without CLIP."""
    from diffusers import FluxFillPipeline

    (tmp_path / "none").mkdir()
    save_nano(build_nano(tmp_path / "none"), tmp_path / "nano")
    pipeline = FluxFillPipeline.from_pretrained(tmp_path / "nano", text_encoder=None, tokenizer=None)
    ours = NanoBackbone.load(str(tmp_path / "nano"))
    assert torch.equal(pipeline.transformer.proj_out.weight, ours.transformer.proj_out.weight)
    ids = [part(["a red cup"]).input_ids for part in (pipeline.tokenizer_2, ours.components["tokenizer_2"])]
    assert ids[0] == ids[1]


def test_a_saved_nano_replaces_the_old_one_whole(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    built = build_nano(tmp_path / "none")
    save_nano(built, tmp_path / "model")
    hashed = NanoBackbone.load(str(tmp_path / "model")).base_hash
    (tmp_path / "model" / "stray").write_text("of an older layout")
    with torch.no_grad():
        built.transformer.proj_out.weight[0, 0] = 1e6  # half precision ends at 65504
    with pytest.raises(CheckpointError, match=r"transformer: tensor proj_out\.weight .*half precision"):
        save_nano(built, tmp_path / "model")
    assert NanoBackbone.load(str(tmp_path / "model")).base_hash == hashed
    with torch.no_grad():
        built.transformer.proj_out.weight[0, 0] = 2
    save_nano(built, tmp_path / "model")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "none"]
    again = NanoBackbone.load(str(tmp_path / "model"))
    assert again.base_hash != hashed
    save_nano(again, tmp_path / "again")
    for config in (tmp_path / "again").glob("*/config.json"):
        assert str(tmp_path) not in config.read_text(), config  # a model tells nothing of where it was made
    shutil.rmtree(tmp_path / "again")
    assert not (tmp_path / "model" / "stray").exists()


def test_traits_of_a_folder(folder: Path, tmp_path: Path) -> None:
    mine = shutil.copytree(folder, tmp_path / "mine")
    path = mine / TRAITS_FILE
    path.write_text('{"resolution": 512, "shift": null, "guidance": 7}')
    assert FluxFillBackbone.load(str(mine)).traits == Traits(512, guidance=7.0)
    assert asdict(Traits(512, guidance=7.0))["steps"] == 20
    for text, message in (
        ('{"resolutoin": 512}', r"a2_traits\.json.*resolution"),
        ('{"resolution": "512"}', r"a2_traits\.json.*whole number"),
        ('{"resolution": 500}', r"traits\.resolution: 500"),
        ('{"resolution": 512, "steps": 0}', r"traits\.steps: 0"),
        ('{"resolution": 512, "prior_noise": 0.5}', r"traits\.prior_noise: 0\.5"),
        ("{", r"a2_traits\.json"),
    ):
        path.write_text(text)
        with pytest.raises(BackboneError, match=message):
            FluxFillBackbone.load(str(mine))


def test_what_cannot_be_loaded_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="float8"):
        FluxFillBackbone.load(str(folder), dtype="float8")
    with pytest.raises(BackboneError, match="no such model folder"):
        FluxFillBackbone.load(str(tmp_path / "nowhere"))
    for part in ("transformer", "tokenizer_2", "text_encoder"):
        mine = shutil.copytree(folder, tmp_path / part)
        shutil.rmtree(mine / part)
        with pytest.raises(BackboneError, match=f"{part}: cannot be loaded"):
            FluxFillBackbone.load(str(mine))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"transfomer": {}}, "unknown part 'transfomer'.*'transformer'"),
        ({"vae": 8}, r"architecture\.vae: expected keys"),
        ({"vae": {**NANO["vae"], "chanels": 1}}, "AutoencoderKL cannot be built.*chanels"),
        (
            {"text_encoder_2": {**NANO["text_encoder_2"], "d_modle": 8}},
            "T5Config has no 'd_modle'.*'d_model'",
        ),
        ({"image_encoder": {**NANO["image_encoder"], "hidden_sise": 8}}, "SiglipVisionConfig.*hidden_sise"),
        ({"transformer": {**NANO["transformer"], "in_channels": 64}}, r"transformer\.in_channels: 64.*288"),
        ({"image_embedder": {"redux_dim": 8, "txt_in_features": 16}}, r"image_embedder\.redux_dim: 8.*16"),
        ({"traits": {"token_px": 8}}, r"traits\.token_px: 8.*16"),
        ({"traits": {"resolutoin": 64}}, r"model\.architecture\.traits.*resolutoin"),
    ],
)
def test_wrong_architectures_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_nano(tmp_path, **changes)


def test_parts_come_from_the_folder_or_the_config(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    built = build_nano(tmp_path / "none")
    save_nano(built, tmp_path / "model")
    fresh = build_or_load_nano(
        ModelConfig("base", str(tmp_path / "model"), {"transformer": NANO["transformer"]}), seed=5
    )
    kept, changed = (
        torch.equal(
            fresh.components[part].state_dict()[key].half(), built.components[part].state_dict()[key].half()
        )
        for part, key in (("vae", "encoder.conv_in.weight"), ("transformer", "context_embedder.weight"))
    )
    assert kept and not changed and fresh.traits == replace(built.traits)
    with pytest.raises(ConfigError, match=r"holds no transformer.*model\.architecture\.transformer"):
        build_or_load_nano(ModelConfig("base", str(tmp_path / "none"), {}), seed=0)
    (tmp_path / "model" / "vae" / "extra.bin").write_bytes(b"")
    with pytest.raises(BackboneError, match="pickled"):
        build_or_load_nano(ModelConfig("base", str(tmp_path / "model"), {}), seed=0)
