"""A FLUX of two double and two single blocks with a region adapter, and an edit for it."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor

from a2cli.backbones.blocks import get_blocks
from a2cli.context.passes import Condition, TwoPass
from a2cli.region import PredictorConfig, RegionConfig, RegionModel, inject_region

GRID = (4, 5)
LATENT, TEXT = 4, 8  # widths
SMALL = PredictorConfig(width=16, query_grid=4, layers=2, encoder_layers=1, num_heads=2, text_queries=2)
CONFIG = RegionConfig(
    num_heads=2, head_dim=8, num_instruction_tokens=5, fusion_layers=1, mask_grid=3, predictor=SMALL
)


def build_flux(seed: int = 0, *, heads: int = 2, double: int = 2) -> FluxTransformer2DModel:
    torch.manual_seed(seed)
    return FluxTransformer2DModel(
        in_channels=3 * LATENT,
        out_channels=LATENT,
        num_layers=double,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=heads,
        joint_attention_dim=TEXT,
        pooled_projection_dim=8,
        axes_dims_rope=(4, 6, 6),
    )


def inject(
    two_pass: TwoPass, config: RegionConfig = CONFIG, *, awake: bool = True, **options: Any
) -> RegionModel:
    """Put a region adapter onto a two-pass transformer; `awake`: as after training, its last layers not zero."""
    torch.manual_seed(1)
    model = inject_region(
        two_pass.transformer,
        get_blocks(two_pass.transformer),
        config,
        text_dim=TEXT,
        latent_dim=LATENT,
        state=two_pass.state,
        **options,
    )
    if awake:
        with torch.no_grad():
            for name, parameter in model.named_parameters().items():
                if name.endswith("ffn.fc_out.weight"):
                    parameter.normal_(std=0.3)
    return model


def noise(*shape: int, seed: int = 2) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def get_condition(batch: int = 2) -> Condition:
    """A coarse mask of 3 x 4 tokens."""
    visible = torch.ones(GRID, dtype=torch.bool)
    visible[1:, 1:] = False
    tokens = visible.numel()
    visible = visible.flatten().expand(batch, -1)
    return Condition(
        masked=noise(batch, tokens, LATENT),
        mask=(~visible)[..., None].float().expand(-1, -1, LATENT),
        visible=visible,
        reference=noise(batch, 4, LATENT, seed=3),
        text=noise(batch, 6, TEXT, seed=4),
        pooled=noise(batch, 8, seed=5),
        grid=GRID,
        ref_grid=(2, 2),
    )


def get_mask(batch: int = 2) -> Tensor:
    """The region itself, two by two tokens and one half, other in each sample."""
    mask = torch.zeros(batch, *GRID)
    for row in range(batch):
        mask[row, 1 + row % 2 : 3 + row % 2, 1:3] = 1
        mask[row, 2, 3] = 0.5
    return mask.flatten(1)
