"""Where an instruction will change a picture, from its latents alone (Edit Where You Mean, equation 8)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from a2cli.region.attention import Attention, FeedForward, get_grid_positions
from a2cli.region.config import PredictorConfig

PRIOR = 0.1  # a fresh predictor's answer everywhere: edits cover little of a picture
KERNEL = 3  # side of the encoder's convolutions, in tokens: 5 costs a quarter more, and the decoder sees all anyway


class MaskPredictor(nn.Module):
    """A decoder over a learned query grid, FiLMed by the pooled instruction, attending to patchified latents.

    Equation 8 as a transformer's decoder: what the queries attend to is added to them, and a feed-forward follows; they
    are brought to the token grid before the head, whose four channels are a token's 2 x 2 latent pixels, not behind it.
    Behind an encoder the queries begin with what it found at their place besides, so that the FiLM weighs that by the
    words. Any grid will do: they are interpolated to its aspect, about query_grid^2 of them and never more than tokens.
    What the predictor reads is detached, so that its loss trains nothing else. Source: section 3.6.
    """

    def __init__(self, latent_dim: int, text_dim: int, config: PredictorConfig) -> None:
        super().__init__()
        heads, side = config.num_heads, config.query_grid
        width = config.decoder_width or config.width
        self.config = config
        self.patchify = nn.Linear(latent_dim, config.width)
        self.encoder = nn.ModuleList(ConvBlock(config.width) for _ in range(config.encoder_layers))
        self.norm_features = nn.LayerNorm(config.width) if self.encoder else nn.Identity()
        self.narrow = nn.Linear(config.width, width) if width != config.width else nn.Identity()
        self.instruction = InstructionPool(text_dim, width, config)
        places = get_grid_positions((side, side), side, width).unflatten(0, (side, side))
        self.queries = nn.Parameter(places.permute(2, 0, 1)[None].contiguous())  # (1, width, side, side)
        self.norm_keys = nn.LayerNorm(width)
        self.decoder = nn.ModuleList(DecoderLayer(width, heads) for _ in range(config.layers))
        self.norm_out = nn.LayerNorm(width)
        self.head_in = nn.Conv2d(width, width // 2, 3, padding=1)
        self.head_out = nn.Conv2d(width // 2, 4, 3, padding=1)
        assert self.head_out.bias is not None
        nn.init.constant_(self.head_out.bias, math.log(PRIOR / (1 - PRIOR)))

    def forward(self, latents: Tensor, grid: tuple[int, int], text: Tensor) -> Tensor:
        """Logits (B, 2 rows, 2 columns) on the latent grid.

        `latents` (B, N, C) are packed 2 x 2, as the backbone's tokens are; `text` (B, T, L_h * J) its states of the
        instruction, padding included: which rows matter is learned.
        """
        return self.decode(self.encode(latents, grid), self.pool(text))

    def encode(self, latents: Tensor, grid: tuple[int, int]) -> Tensor:
        """Features (B, rows, columns, width) of pictures, latents (B, N, C): the same for every instruction."""
        features = self.patchify(latents.detach().to(self.patchify.weight.dtype))
        features = (features + self._get_places(grid, features)).unflatten(1, grid)
        for block in self.encoder:
            features = block(features)
        return self.norm_features(features)

    def pool(self, text: Tensor) -> Tensor:
        """One vector (B, decoder width) of an instruction's states (B, T, L_h * J); no gradient goes into these."""
        pooled: Tensor = self.instruction(text.detach().to(self.patchify.weight.dtype))
        return pooled

    def decode(self, features: Tensor, pooled: Tensor) -> Tensor:
        """Logits (B, 2 rows, 2 columns) from pictures' features and instructions, as `encode` and `pool` give them."""
        features = self.narrow(features)
        grid = features.shape[1], features.shape[2]
        keys = self.norm_keys(features.flatten(1, 2))
        cells = get_query_grid(grid, self.config.query_grid)
        answer = self._get_queries(cells).expand(len(keys), -1, -1)
        if self.encoder:
            answer = answer + _resize(features, cells).flatten(1, 2)
        for layer in self.decoder:
            answer = layer(answer, keys, pooled)
        answer = _resize(self.norm_out(answer).unflatten(1, cells), grid)
        if self.encoder and cells != grid:
            answer = answer + features
        return F.pixel_shuffle(self.head_out(F.gelu(self.head_in(_to_maps(answer)))), 2)[:, 0]

    def _get_places(self, grid: tuple[int, int], like: Tensor) -> Tensor:
        return get_grid_positions(grid, self.config.query_grid, like.shape[-1], like.device).to(like.dtype)

    def _get_queries(self, cells: tuple[int, int]) -> Tensor:
        queries: Tensor = self.queries
        if cells != tuple(queries.shape[-2:]):
            queries = F.interpolate(queries, cells, mode="bilinear", align_corners=False)
        return queries.flatten(2).transpose(1, 2)  # (1, rows * columns, width)


class InstructionPool(nn.Module):
    """Pool an instruction's states by attention: (B, T, text_dim) -> (B, width)."""

    def __init__(self, text_dim: int, width: int, config: PredictorConfig) -> None:
        super().__init__()
        self.project = nn.Linear(text_dim, width)
        self.norm = nn.LayerNorm(width)
        self.queries = nn.Parameter(torch.randn(config.text_queries, width))
        self.attention = Attention(width, width, width, config.num_heads)
        self.merge = nn.Linear(config.text_queries * width, width)

    def forward(self, text: Tensor) -> Tensor:
        states = self.norm(self.project(text))
        pooled = self.attention(self.queries.expand(len(text), -1, -1), states)
        return F.gelu(self.merge(pooled.flatten(1)))

    def get_weights(self, text: Tensor) -> Tensor:
        """How much each query reads of each row, (B, heads, text_queries, T): what `forward` attends with."""
        return self.attention.get_weights(
            self.queries.expand(len(text), -1, -1), self.norm(self.project(text))
        )


class Film(nn.Module):
    """gamma * x + beta, gamma - 1 and beta linear in the pooled instruction (B, width); x (B, ..., width).

    Source: Perez et al. 2018.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.to_factors = nn.Linear(width, 2 * width)

    def forward(self, x: Tensor, pooled: Tensor) -> Tensor:
        gamma, beta = self.to_factors(pooled).view(len(pooled), *(1,) * (x.ndim - 2), -1).chunk(2, -1)
        return (1 + gamma) * x + beta


class DecoderLayer(nn.Module):
    """FiLMed queries attend to the latents' features (B, N, width), then a feed-forward; both residual."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.norm_query, self.norm_ffn = nn.LayerNorm(width), nn.LayerNorm(width)
        self.film = Film(width)
        self.attention = Attention(width, width, width, num_heads)
        self.ffn = FeedForward(width, 4)

    def forward(self, queries: Tensor, keys: Tensor, pooled: Tensor) -> Tensor:
        queries = self.film(self.norm_query(queries), pooled)
        queries = queries + self.attention(queries, keys)
        return queries + self.ffn(self.norm_ffn(queries))


class ConvBlock(nn.Module):
    """A depthwise convolution and a feed-forward, residual; features (B, rows, columns, width).

    Source: Liu et al. 2022 (ConvNeXt), figure 4.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, KERNEL, padding=KERNEL // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.ffn = FeedForward(width, 2)

    def forward(self, features: Tensor) -> Tensor:
        mixed = self.depthwise(_to_maps(features)).permute(0, 2, 3, 1)
        return features + self.ffn(self.norm(mixed))


def get_query_grid(grid: tuple[int, int], side: int) -> tuple[int, int]:
    """Rows and columns of queries for a token grid: of its aspect, about side^2 or fewer, no more than tokens."""
    scale = min(1.0, side / math.sqrt(grid[0] * grid[1]))
    rows, columns = (min(max(1, round(length * scale)), side**2) for length in grid)  # a strip has one row
    return rows, columns


def _resize(features: Tensor, cells: tuple[int, int]) -> Tensor:
    """(B, rows, columns, width) on another grid; on a coarser one every token counts."""
    if tuple(features.shape[1:3]) == cells:
        return features
    coarser = cells[0] < features.shape[1] or cells[1] < features.shape[2]
    maps = _to_maps(features.float() if coarser else features)  # antialiased in float32 only
    resized = F.interpolate(maps, cells, mode="bilinear", align_corners=False, antialias=coarser)
    return resized.permute(0, 2, 3, 1).to(features.dtype)


def _to_maps(features: Tensor) -> Tensor:
    """(B, rows, columns, width) -> (B, width, rows, columns), channels last in memory: a view."""
    return features.permute(0, 3, 1, 2)
