"""What the block adapters read: where, what, and how much (Edit Where You Mean, equations 3 to 6)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from a2cli.region.attention import Attention, FusionBlock, get_grid_positions, get_positions
from a2cli.region.config import RegionConfig

OPEN = 2.0  # a fresh gate's logit: 0.88 in the region, 0.12 outside


class ConditionEncoder(nn.Module):
    """Mask and instruction in two streams, fused by a small transformer: c (B, N_m + N_q, width).

    text_dim: L_h * J, the width of the text's states. Mask tokens have positions of rows and columns, which mean the
    same place at every resolution; instruction tokens are numbered.
    """

    def __init__(self, width: int, num_heads: int, text_dim: int, config: RegionConfig) -> None:
        super().__init__()
        self.mask_grid = config.mask_grid
        self.edit = nn.Parameter(torch.randn(width))
        self.keep = nn.Parameter(torch.randn(width))
        self.queries = nn.Parameter(torch.randn(config.num_instruction_tokens, width))
        self.project = nn.Linear(text_dim, width)
        self.norm_text = nn.LayerNorm(width)
        self.perceiver = Attention(width, width, width, num_heads)
        self.types = nn.Parameter(torch.randn(2, width))
        self.blocks = nn.ModuleList(FusionBlock(width, num_heads) for _ in range(config.fusion_layers))
        self.norm_out = nn.LayerNorm(width)

    def forward(self, mask: Tensor, grid: tuple[int, int], text: Tensor) -> Tensor:
        """Encode a mask (B, N) in [0, 1] on a token grid and the text's states (B, T, L_h * J)."""
        dtype = self.edit.dtype
        cells = (min(grid[0], self.mask_grid), min(grid[1], self.mask_grid))
        mask = F.adaptive_avg_pool2d(mask.to(dtype).unflatten(1, grid)[:, None], cells).flatten(1)
        where = embed_mask(mask, self.edit, self.keep)  # (B, N_m, width)
        states = self.norm_text(self.project(text.to(dtype)))
        what = self.perceiver(self.queries.expand(len(text), -1, -1), states)  # (equation 4)
        count, width = what.shape[1:]
        places = [
            get_grid_positions(cells, self.mask_grid, width, mask.device),
            get_positions(torch.arange(count, device=mask.device)[:, None], width),
        ]
        streams = [where + self.types[0], what + self.types[1]]
        tokens = torch.cat([s + p.to(s.dtype) for s, p in zip(streams, places, strict=True)], 1)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm_out(tokens)  # (equation 5)


class SpatialGate(nn.Module):
    """How far the adapters may change each token, in [0, 1], learned from the mask (equation 6).

    One gate for all blocks, as the equation reads (table 5 counts one a block). A fresh one is open under the mask and
    nearly shut outside.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.edit = nn.Parameter(torch.randn(width))
        self.keep = nn.Parameter(torch.randn(width))
        self.fc_in = nn.Linear(width, max(8, width // 4))
        self.fc_out = nn.Linear(self.fc_in.out_features, 1)
        with torch.no_grad():
            inside, outside = (F.gelu(self.fc_in(e)) for e in (self.edit, self.keep))
            apart = inside - outside
            self.fc_out.weight.copy_(2 * OPEN * apart / apart.square().sum())
            self.fc_out.bias.copy_(OPEN - self.fc_out.weight[0] @ inside)

    def forward(self, mask: Tensor) -> Tensor:
        """The gate (B, N, 1) float32 of a mask (B, N) in [0, 1]."""
        hidden = F.gelu(self.fc_in(embed_mask(mask.to(self.edit.dtype), self.edit, self.keep)))
        return self.fc_out(hidden).float().sigmoid()


def embed_mask(mask: Tensor, edit: Tensor, keep: Tensor) -> Tensor:
    """Interpolate between two vectors (width,): (B, N) -> (B, N, width) (equation 3)."""
    return mask[..., None] * edit + (1 - mask[..., None]) * keep
