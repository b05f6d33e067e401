"""The plain parts all modules of a region adapter are made of: attention, feed-forward, positions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BASE = 10_000.0  # longest wavelength of the sinusoids, over 2 pi

Kept = tuple[Tensor, Tensor]  # keys and values, (B, heads, N, head_dim) each


class Attention(nn.Module):
    """Multi-head attention from (B, Q, query_dim) to (B, N, context_dim); answers (B, Q, width)."""

    def __init__(self, query_dim: int, context_dim: int, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.to_q = nn.Linear(query_dim, width, bias=False)
        self.to_k = nn.Linear(context_dim, width, bias=False)
        self.to_v = nn.Linear(context_dim, width, bias=False)
        self.to_out = nn.Linear(width, width)

    def get_kept(self, context: Tensor) -> Kept:
        """Project a context to its keys and values."""
        return self._split(self.to_k(context)), self._split(self.to_v(context))

    def forward(self, query: Tensor, context: Tensor | None = None, kept: Kept | None = None) -> Tensor:
        """Attend to `context`, or to the keys and values `kept` of it."""
        if kept is None:
            assert context is not None
            kept = self.get_kept(context)
        attended = F.scaled_dot_product_attention(self._split(self.to_q(query)), *kept)
        return self.to_out(attended.transpose(1, 2).flatten(2))

    def get_weights(self, query: Tensor, context: Tensor) -> Tensor:
        """How much each query attends to each token, (B, heads, Q, N)."""
        query, key = self._split(self.to_q(query)), self._split(self.to_k(context))
        return (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(-1)

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class FeedForward(nn.Module):
    """Two layers with a GELU between them."""

    def __init__(self, width: int, expansion: int, out: int | None = None) -> None:
        super().__init__()
        self.fc_in = nn.Linear(width, expansion * width)
        self.fc_out = nn.Linear(expansion * width, out or width)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.fc_out(F.gelu(self.fc_in(tokens)))


class FusionBlock(nn.Module):
    """A transformer layer over one sequence (B, N, width), normalised before each part."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.norm_attention, self.norm_ffn = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, width, width, num_heads)
        self.ffn = FeedForward(width, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        normed = self.norm_attention(tokens)
        tokens = tokens + self.attention(normed, normed)
        return tokens + self.ffn(self.norm_ffn(tokens))


def get_positions(places: Tensor, width: int) -> Tensor:
    """Embed places (N, axes) by sinusoids, (N, width): each axis has its share, half sines, half cosines."""
    half = width // (2 * places.shape[1])
    frequencies = BASE ** (-torch.arange(half, device=places.device, dtype=torch.float32) / half)
    angles = places.float()[..., None] * frequencies  # (N, axes, half)
    return torch.cat([angles.sin(), angles.cos()], -1).flatten(1)


def get_grid_positions(
    grid: tuple[int, int], side: int, width: int, device: torch.device | None = None
) -> Tensor:
    """Embed the cells of a grid, (rows * columns, width), measured in cells of a side x side grid on the picture.

    So a place in the picture has one embedding whatever the resolution.
    """
    axes = [(torch.arange(n, device=device) + 0.5) * (side / n) for n in grid]
    return get_positions(torch.cartesian_prod(*axes), width)
