"""The block list of a FLUX transformer: what experts, recorders and adapters attach to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from a2cli.types import BlockSpec

if TYPE_CHECKING:
    from diffusers import FluxTransformer2DModel

# Attention and feed-forward linears only; modulation (norm*.linear) is conditioning, not W of equation 2.
DOUBLE_LINEARS = (
    "attn.to_q",
    "attn.to_k",
    "attn.to_v",
    "attn.to_out.0",
    "attn.add_q_proj",
    "attn.add_k_proj",
    "attn.add_v_proj",
    "attn.to_add_out",
    "ff.net.0.proj",
    "ff.net.2",
    "ff_context.net.0.proj",
    "ff_context.net.2",
)
SINGLE_LINEARS = ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp", "proj_out")


def get_blocks(transformer: FluxTransformer2DModel) -> list[BlockSpec]:
    """List the blocks of a FLUX transformer in execution order, double-stream ones first.

    Returns one `BlockSpec` a block; 19 + 38 blocks and 418 linears for FLUX.1.
    """
    blocks = []
    for i, module in enumerate(transformer.transformer_blocks):
        linears = {path: module.get_submodule(path) for path in DOUBLE_LINEARS}
        blocks.append(BlockSpec(f"transformer_blocks.{i}", module, "double", linears))
    for i, module in enumerate(transformer.single_transformer_blocks):
        linears = {path: module.get_submodule(path) for path in SINGLE_LINEARS}
        blocks.append(BlockSpec(f"single_transformer_blocks.{i}", module, "single", linears))
    return blocks
