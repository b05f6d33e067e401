"""kohya's names: complete for FLUX.1, of the original's shapes, the same products, read back by diffusers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import FluxTransformer2DModel
from diffusers.loaders.lora_conversion_utils import _convert_kohya_flux_lora_to_diffusers
from export_things import make_delta
from torch import Tensor

from a2cli.backbones.blocks import get_blocks
from a2cli.errors import CheckpointError
from a2cli.exporting.deltas import LowRank
from a2cli.exporting.kohya import join, to_kohya

D = 3072  # of FLUX.1
# The linears of FLUX.1's own layout that hold attention and feed-forward: (out, in).
DOUBLE = {
    f"{stream}_{name}": shape
    for stream in ("img", "txt")
    for name, shape in {
        "attn_qkv": (3 * D, D),
        "attn_proj": (D, D),
        "mlp_0": (4 * D, D),
        "mlp_2": (D, 4 * D),
    }.items()
}
SINGLE = {"linear1": (3 * D + 4 * D, D), "linear2": (D, D + 4 * D)}


def list_original() -> dict[str, tuple[int, int]]:
    shapes = {f"lora_unet_double_blocks_{i}_{n}": shape for i in range(19) for n, shape in DOUBLE.items()}
    return shapes | {
        f"lora_unet_single_blocks_{i}_{n}": shape for i in range(38) for n, shape in SINGLE.items()
    }


def test_every_linear_of_flux_1_gets_a_pair_of_the_originals_shape() -> None:
    rank = 5
    with torch.device("meta"):
        flux = FluxTransformer2DModel(in_channels=384, out_channels=64, guidance_embeds=True)
        deltas = {
            f"{block.name}.{path}": LowRank(
                torch.empty(rank, linear.in_features), torch.empty(linear.out_features, rank)
            )
            for block in get_blocks(flux)
            for path, linear in block.linears.items()
        }
    assert len(deltas) == 418
    named = to_kohya(deltas)
    wanted = list_original()
    assert len(wanted) == 19 * 8 + 38 * 2 and len(named) == 3 * len(wanted)
    parts = {"qkv": 3, "linear1": 4}
    for name, (height, width) in wanted.items():
        total = rank * next((count for end, count in parts.items() if name.endswith(end)), 1)
        assert named[f"{name}.lora_down.weight"].shape == (total, width), name
        assert named[f"{name}.lora_up.weight"].shape == (height, total), name
        assert named[f"{name}.alpha"].shape == () and float(named[f"{name}.alpha"]) == total


def get_product(named: dict[str, Tensor], name: str) -> Tensor:
    down, up = named[f"{name}.lora_down.weight"], named[f"{name}.lora_up.weight"]
    return float(named[f"{name}.alpha"]) / down.shape[0] * (up @ down)


def test_joined_updates_are_the_separate_ones_in_rows() -> None:
    parts = {
        name: make_delta(rank, 8, height, seed)
        for seed, (name, rank, height) in enumerate(
            (("attn.to_q", 2, 8), ("attn.to_k", 3, 8), ("attn.to_v", 2, 8), ("proj_mlp", 4, 32))
        )
    }
    named = to_kohya({f"single_transformer_blocks.7.{path}": delta for path, delta in parts.items()})
    apart = torch.cat([delta.get_product() for delta in parts.values()])
    torch.testing.assert_close(get_product(named, "lora_unet_single_blocks_7_linear1"), apart)
    assert set(named) == {
        f"lora_unet_single_blocks_7_linear1.{e}" for e in ("lora_down.weight", "lora_up.weight", "alpha")
    }


@pytest.mark.parametrize("there", [("attn.to_v", "attn.to_q"), ("proj_mlp",), ("attn.to_k", "proj_mlp")])
def test_a_part_without_an_update_is_zero_in_the_joined_one(there: tuple[str, ...]) -> None:
    order = ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")
    heights = dict(zip(order, (8, 8, 8, 32), strict=True))
    parts = {part: make_delta(2, 8, heights[part], seed) for seed, part in enumerate(there)}
    whole = join(parts, order).get_product()
    wanted = [parts[p].get_product() if p in parts else torch.zeros(heights[p], 8) for p in order]
    torch.testing.assert_close(whole, torch.cat(wanted))


def test_diffusers_reads_back_what_went_in() -> None:
    """Its own converter, at FLUX.1's width, which it has in literals."""
    deltas: dict[str, LowRank] = {}
    sizes: dict[str, Any] = {"attn.to_q": D, "attn.to_k": D, "attn.to_v": D, "proj_mlp": 4 * D}
    for seed, (path, height) in enumerate(sizes.items()):
        deltas[f"single_transformer_blocks.37.{path}"] = make_delta(1, D, height, seed)
    deltas["single_transformer_blocks.37.proj_out"] = make_delta(2, 5 * D, D, 9)
    for seed, path in enumerate(("attn.to_q", "attn.to_k", "attn.to_v", "attn.to_out.0", "attn.to_add_out")):
        deltas[f"transformer_blocks.18.{path}"] = make_delta(3, 16, 16, 20 + seed)
    for seed, path in enumerate(
        ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj", "ff.net.0.proj", "ff_context.net.2")
    ):
        deltas[f"transformer_blocks.18.{path}"] = make_delta(2, 16, 16, 30 + seed)
    deltas["norm_out.linear"] = make_delta(2, 16, 32, 40)
    deltas["proj_out"] = make_delta(2, 16, 8, 41)
    deltas["x_embedder"] = make_delta(2, 12, 16, 42)
    converted = _convert_kohya_flux_lora_to_diffusers(to_kohya(deltas))
    back = {name.removeprefix("transformer."): tensor for name, tensor in converted.items()}
    assert set(back) == {f"{path}.lora_{ab}.weight" for path in deltas for ab in "AB"}
    for path, delta in deltas.items():
        A, B = (back[f"{path}.lora_{ab}.weight"] for ab in "AB")
        # Only a slice of the largest: the products hold tens of millions of numbers.
        torch.testing.assert_close(B[:64] @ A, delta.B[:64] @ delta.A, msg=path)
        torch.testing.assert_close(B[-64:] @ A, delta.B[-64:] @ delta.A, msg=path)


def test_the_last_layers_shift_and_scale_change_places() -> None:
    delta = make_delta(2, 4, 6)
    named = to_kohya({"norm_out.linear": delta})
    product = get_product(named, "lora_unet_final_layer_adaLN_modulation_1")
    torch.testing.assert_close(product[:3], delta.get_product()[3:])
    torch.testing.assert_close(product[3:], delta.get_product()[:3])


@pytest.mark.parametrize("path", ["transformer_blocks.0.attn.to_z", "blocks.0.attn.to_q", "text_encoder.fc"])
def test_a_linear_that_flux_1_has_not_is_refused_by_name(path: str) -> None:
    with pytest.raises(CheckpointError, match=path):
        to_kohya({path: make_delta(1, 4, 4)})
