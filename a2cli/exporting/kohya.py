"""One file in kohya's names for FLUX.1's own layout, as ComfyUI and sd-scripts read it.

The original layout joins linears that diffusers keeps apart: q, k and v of a stream, and in a single-stream block the
first feed-forward linear too. Their updates stand side by side in `lora_down` and on the diagonal of `lora_up`, so the
rank adds up and the product stays the same. Gates and scales are inside `lora_up`; alpha equals the rank.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from a2cli.errors import CheckpointError
from a2cli.exporting.card import Written, tell_limits
from a2cli.exporting.deltas import LowRank
from a2cli.exporting.source import EMBEDDED, Source
from a2cli.mot.folder import convert_tensors, write_tensors

# What one linear of the original holds of a block's, in its order of output rows.
DOUBLE: dict[str, tuple[str, ...]] = {
    "img_attn_qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "img_attn_proj": ("attn.to_out.0",),
    "img_mlp_0": ("ff.net.0.proj",),
    "img_mlp_2": ("ff.net.2",),
    "img_mod_lin": ("norm1.linear",),
    "txt_attn_qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    "txt_attn_proj": ("attn.to_add_out",),
    "txt_mlp_0": ("ff_context.net.0.proj",),
    "txt_mlp_2": ("ff_context.net.2",),
    "txt_mod_lin": ("norm1_context.linear",),
}
SINGLE: dict[str, tuple[str, ...]] = {
    "linear1": ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"),
    "linear2": ("proj_out",),
    "modulation_lin": ("norm.linear",),
}
OUTSIDE = {
    "x_embedder": "img_in",
    "context_embedder": "txt_in",
    "time_text_embed.timestep_embedder.linear_1": "time_in_in_layer",
    "time_text_embed.timestep_embedder.linear_2": "time_in_out_layer",
    "time_text_embed.text_embedder.linear_1": "vector_in_in_layer",
    "time_text_embed.text_embedder.linear_2": "vector_in_out_layer",
    "time_text_embed.guidance_embedder.linear_1": "guidance_in_in_layer",
    "time_text_embed.guidance_embedder.linear_2": "guidance_in_out_layer",
    "norm_out.linear": "final_layer_adaLN_modulation_1",
    "proj_out": "final_layer_linear",
}
SWAPPED = "norm_out.linear"  # diffusers has scale before shift here, the original shift before scale
_KINDS = {
    "transformer_blocks": ("lora_unet_double_blocks_{}_{}", DOUBLE),
    "single_transformer_blocks": ("lora_unet_single_blocks_{}_{}", SINGLE),
}


MLP_RATIO = 4  # of FLUX.1: rows of the first feed-forward linear over those of the stream


def write_kohya(source: Source, folder: Path) -> Written:
    """Write one file, named after adapter and routing. Raises CheckpointError for linears that FLUX.1 has not."""
    named = to_kohya(source.deltas)
    alphas = {name: tensor for name, tensor in named.items() if name.endswith(".alpha")}
    tensors, _ = convert_tensors({n: t for n, t in named.items() if n not in alphas}, source.dtype)
    routing = "" if source.routing is None else f"-{source.routing.label}"
    file = re.sub(r"[^\w.-]+", "-", f"{source.origin.name}{routing}") + ".safetensors"
    write_tensors({**tensors, **alphas}, folder / file)
    toy = "; and nano has FLUX.1's layout at another width, which ComfyUI cannot run"
    return Written(
        tell_limits(source, "ComfyUI") + (toy if source.origin.base_id == EMBEDDED else ""),
        f"Copy `{file}` to ComfyUI's `models/loras` and load it at strength 1 (`LoraLoaderModelOnly`). `--rank` makes "
        "it smaller: joined linears have the sum of their parts' ranks.",
        facts={"modules": len(alphas)},
    )


def to_kohya(deltas: Mapping[str, LowRank]) -> dict[str, Tensor]:
    """Name updates as kohya does for FLUX.1: NAME.lora_down.weight (r, in), .lora_up.weight (out, r), .alpha ().

    A joined linear some parts of which have no update gets zeros there. Raises CheckpointError naming a linear that has
    no place in FLUX.1.
    """
    groups: dict[str, dict[str, LowRank]] = {}
    orders: dict[str, tuple[str, ...]] = {}
    for path, delta in deltas.items():
        name, part, order = _get_place(path)
        if path == SWAPPED:
            delta = LowRank(delta.A, torch.cat(delta.B.chunk(2)[::-1]))
        groups.setdefault(name, {})[part] = delta
        orders[name] = order
    named = {}
    for name, parts in groups.items():
        joined = join(parts, orders[name])
        named[f"{name}.lora_down.weight"] = joined.A
        named[f"{name}.lora_up.weight"] = joined.B
        named[f"{name}.alpha"] = torch.tensor(float(joined.rank))
    return named


def join(parts: Mapping[str, LowRank], order: Sequence[str]) -> LowRank:
    """Make one update of several that read the same input and whose outputs follow each other in `order`."""
    if list(parts) == list(order) and len(order) == 1:
        return parts[order[0]]
    width = next(iter(parts.values())).A.shape[1]
    rows = [_get_rows(part, width) if part not in parts else parts[part].B.shape[0] for part in order]
    there = [part for part in order if part in parts]
    A = torch.cat([parts[part].A for part in there])
    B = A.new_zeros(sum(rows), A.shape[0])
    top = left = 0
    for part, height in zip(order, rows, strict=True):
        if part in parts:
            B[top : top + height, left : left + parts[part].rank] = parts[part].B
            left += parts[part].rank
        top += height
    return LowRank(A, B)


def _get_rows(part: str, width: int) -> int:
    return MLP_RATIO * width if part == "proj_mlp" else width


def _get_place(path: str) -> tuple[str, str, tuple[str, ...]]:
    """Which linear of the original a path is in: its name, the part it is, all parts in order."""
    kind, _, rest = path.partition(".")
    index, _, part = rest.partition(".")
    if kind in _KINDS and index.isdigit():
        pattern, table = _KINDS[kind]
        for name, order in table.items():
            if part in order:
                return pattern.format(index, name), part, order
    if path in OUTSIDE:
        return f"lora_unet_{OUTSIDE[path]}", path, (path,)
    raise CheckpointError(f"{path}: FLUX.1 has no such linear", hint="--format diffusers takes any name")
