"""Putting a region adapter onto a transformer, and taking it off."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from tiny_region import CONFIG, GRID, LATENT, SMALL, TEXT, build_flux, get_mask, inject, noise

from a2cli.backbones.blocks import get_blocks
from a2cli.context.passes import TwoPass
from a2cli.errors import BackboneError, CheckpointError, ConfigError
from a2cli.region import RegionConfig
from a2cli.region.inject import get_parameter_shapes, get_sizes
from a2cli.types import BlockSpec

SIZES: Mapping[str, int] = {"text_dim": TEXT, "latent_dim": LATENT}


@pytest.mark.parametrize(("heads", "double"), [(2, 2), (3, 1), (1, 0)])
def test_sizes_come_from_the_backbone(heads: int, double: int) -> None:
    flux = build_flux(heads=heads, double=double)
    config = RegionConfig(head_dim=16, num_instruction_tokens=5, fusion_layers=1, predictor=SMALL)
    model = inject(TwoPass(flux), config)
    width = heads * 16
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters().items()}
    assert shapes == get_parameter_shapes(get_blocks(build_flux(heads=heads, double=double)), config, **SIZES)
    assert len(
        {name.split(".attention")[0] for name in shapes if "transformer_blocks" in name and "to_q" in name}
    ) == (double + 2)
    assert shapes["single_transformer_blocks.1.attention.to_q.weight"] == (width, width)
    assert shapes["single_transformer_blocks.1.ffn.fc_out.weight"] == (width, 2 * width)
    assert shapes["encoder.project.weight"] == (width, TEXT)
    assert shapes["predictor.patchify.weight"] == (16, LATENT)


def test_the_transformers_config_tells_the_widths_of_its_inputs() -> None:
    assert get_sizes(build_flux()) == SIZES
    with pytest.raises(BackboneError, match="does not say"):
        get_sizes(torch.nn.Linear(2, 2))


def test_the_adapters_may_be_narrower_than_the_backbone() -> None:
    shapes = get_parameter_shapes(get_blocks(build_flux()), CONFIG, **SIZES)
    assert shapes["transformer_blocks.0.attention.to_q.weight"] == (16, 32)
    assert shapes["transformer_blocks.0.attention.to_k.weight"] == (16, 16)
    assert shapes["transformer_blocks.0.ffn.fc_out.weight"] == (32, 32)


def test_the_sizes_are_the_papers() -> None:
    """Table 5: 4,674 M less the gates' 142 M in 60 block adapters, 226.6 M in the fusion, all at width 3072."""
    with torch.device("meta"):
        blocks = [
            BlockSpec(f"blocks.{i}", torch.nn.Identity(), "double", {"q": torch.nn.Linear(3072, 3072)})
            for i in range(60)
        ]
    shapes = get_parameter_shapes(blocks, RegionConfig(predictor=None), text_dim=3584, latent_dim=64)
    sizes = {name: torch.Size(shape).numel() for name, shape in shapes.items()}
    adapters = sum(size for name, size in sizes.items() if name.startswith("blocks."))
    fusion = sum(size for name, size in sizes.items() if name.startswith("encoder.blocks."))
    assert adapters / 1e6 == pytest.approx(4674 - 142, rel=1e-3)
    assert fusion / 1e6 == pytest.approx(226.6, rel=1e-3)


def test_the_base_is_frozen_until_the_adapter_goes() -> None:
    flux = build_flux()
    flux.proj_out.requires_grad_(False)
    names = list(flux.state_dict())
    model = inject(TwoPass(flux))
    assert not any(p.requires_grad for p in flux.parameters())
    assert all(p.requires_grad for p in model.named_parameters().values())
    assert list(flux.state_dict()) == names  # the adapters lie beside it
    model.remove()
    model.remove()
    assert {n for n, p in flux.named_parameters() if not p.requires_grad} == {
        "proj_out.weight",
        "proj_out.bias",
    }
    assert not any(block._forward_hooks for block in flux.transformer_blocks)


def test_two_region_adapters_are_refused() -> None:
    two_pass = TwoPass(build_flux())
    model = inject(two_pass)
    with pytest.raises(ConfigError, match="already has a region adapter"):
        inject(two_pass)
    model.remove()
    inject(two_pass)


def test_a_block_list_that_does_not_fit_is_refused() -> None:
    blocks = get_blocks(build_flux())
    for wrong in ([], [blocks[0], blocks[0]]):
        with pytest.raises(ConfigError, match=r"no blocks|share a name"):
            get_parameter_shapes(wrong, CONFIG, **SIZES)


def test_what_the_ablation_leaves_out_is_not_there() -> None:
    def get_parts(config: RegionConfig) -> set[str]:
        model = inject(TwoPass(build_flux()), config)
        return {
            "adapters" if "transformer_blocks" in n else n.split(".")[0] for n in model.named_parameters()
        }

    assert get_parts(CONFIG) == {"adapters", "encoder", "gate", "predictor"}
    assert get_parts(RegionConfig(head_dim=8, gate=False, predictor=None)) == {"adapters", "encoder"}
    assert get_parts(RegionConfig(head_dim=8, gate=False, predictor=SMALL)) == {
        "adapters",
        "encoder",
        "predictor",
    }
    assert get_parts(RegionConfig(adapter=False, predictor=SMALL)) == {"predictor"}


def test_a_predictor_alone_is_off_in_a_pass() -> None:
    flux = build_flux()
    model = inject(TwoPass(flux), RegionConfig(adapter=False, predictor=SMALL))
    assert model.encode(get_mask(), GRID, noise(2, 6, TEXT)) is None
    assert not any(block._forward_hooks for block in flux.transformer_blocks)
    assert model.predictor is not None and model.editor_parameters() == []
    assert not any(p.requires_grad for p in flux.parameters())
    model.remove()
    assert all(p.requires_grad for p in flux.parameters())


def test_editor_and_predictor_share_nothing() -> None:
    model = inject(TwoPass(build_flux()))
    editor, predictor = (
        {id(p) for p in ps} for ps in (model.editor_parameters(), model.predictor_parameters())
    )
    assert not editor & predictor and len(editor | predictor) == len(model.named_parameters())
    assert predictor == {id(p) for p in model.modules.predictor.parameters()}


def test_stacked_text_layers_widen_the_projection() -> None:
    config = RegionConfig(head_dim=8, instruction_layers=3, predictor=SMALL)
    model = inject(TwoPass(build_flux()), config)
    inputs = model.encode(get_mask(), GRID, noise(2, 6, 3 * TEXT))
    assert inputs is not None and inputs.condition.shape == (2, 20 + 64, 32)
    assert model.predictor is not None
    assert model.predictor(noise(2, 20, LATENT), GRID, noise(2, 6, 3 * TEXT)).shape == (2, 8, 10)
    with pytest.raises(BackboneError, match="reads 24"):
        model.encode(get_mask(), GRID, noise(2, 6, TEXT))
    with pytest.raises(BackboneError, match="4 x 4"):
        model.encode(get_mask(), (4, 4), noise(2, 6, 3 * TEXT))


def test_a_state_that_does_not_fit_is_refused_whole() -> None:
    model = inject(TwoPass(build_flux()))
    good = {name: torch.full_like(p, 7.0) for name, p in model.state_dict().items()}
    last = list(good)[-1]
    for wrong, word in (
        ({n: t for n, t in good.items() if n != last}, "missing"),
        ({**good, last: good[last][..., None]}, "shape"),
        ({**good, "encoder.more": good[last]}, r"encoder\.more"),
    ):
        with pytest.raises(CheckpointError, match=word):
            model.load_state_dict(wrong)
        assert not any(bool((p == 7).all()) for p in model.named_parameters().values())
    model.load_state_dict(good)
    assert all(bool((p == 7).all()) for p in model.named_parameters().values())


def test_the_parameters_have_the_dtype_asked_for() -> None:
    model = inject(TwoPass(build_flux().bfloat16()), dtype=torch.bfloat16)
    assert {p.dtype for p in model.named_parameters().values()} == {torch.bfloat16}
    inputs = model.encode(get_mask(), GRID, noise(2, 6, TEXT))
    assert inputs is not None and inputs.condition.dtype == torch.bfloat16
    assert inputs.gate is not None and inputs.gate.dtype == torch.float32
