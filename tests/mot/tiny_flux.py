"""A FLUX of two double and two single blocks, and inputs for it."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor

from a2cli.mot import MotModel

DIM, TEXT, IMAGE = 32, 3, 6


def build_tiny_flux(seed: int = 0) -> FluxTransformer2DModel:
    torch.manual_seed(seed)
    return FluxTransformer2DModel(
        patch_size=1,
        in_channels=12,
        out_channels=4,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=DIM // 16,
        joint_attention_dim=8,
        pooled_projection_dim=8,
        guidance_embeds=True,
        axes_dims_rope=(4, 6, 6),
    )


def get_inputs(batch: int = 2, text: int = TEXT, image: int = IMAGE, seed: int = 1) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.zeros(image, 3)
    ids[:, 2] = torch.arange(image)
    return {
        "hidden_states": torch.randn(batch, image, 12, generator=generator),
        "encoder_hidden_states": torch.randn(batch, text, 8, generator=generator),
        "pooled_projections": torch.randn(batch, 8, generator=generator),
        "timestep": torch.rand(batch, generator=generator),
        "guidance": torch.ones(batch),
        "img_ids": ids,
        "txt_ids": torch.zeros(text, 3),
    }


def run(transformer: FluxTransformer2DModel, **changes: Any) -> Tensor:
    batch = {key: changes.pop(key) for key in ("batch", "text", "image", "seed") if key in changes}
    return transformer(**{**get_inputs(**batch), **changes}, return_dict=False)[0]


def wake_experts(handle: MotModel, seed: int = 2, std: float = 0.2) -> None:
    """Give every B random values and the routers opinions, as after training."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for linear in handle.linears.values():
            linear.B.normal_(std=std, generator=generator)
        for router in handle.routers.values():
            router.fc_out.weight.mul_(10)
