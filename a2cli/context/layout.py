"""How pictures become tokens in FLUX's order, and back. Pure functions of tensors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

PATCH = 2  # latent pixels a token side; FLUX packs 2 x 2


def pack_latents(latents: Tensor) -> Tensor:
    """Pack a latent picture into tokens: (B, C, h, w) -> (B, h/2 * w/2, 4 C), channel-major as FLUX has it."""
    b, c, h, w = latents.shape
    tiles = latents.reshape(b, c, h // PATCH, PATCH, w // PATCH, PATCH)
    return tiles.permute(0, 2, 4, 1, 3, 5).reshape(b, (h // PATCH) * (w // PATCH), c * PATCH * PATCH)


def unpack_latents(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """Undo `pack_latents`: (B, gh * gw, 4 C) -> (B, C, 2 gh, 2 gw)."""
    b, _, d = tokens.shape
    gh, gw = grid
    tiles = tokens.reshape(b, gh, gw, d // (PATCH * PATCH), PATCH, PATCH)
    return tiles.permute(0, 3, 1, 4, 2, 5).reshape(b, d // (PATCH * PATCH), gh * PATCH, gw * PATCH)


def pack_mask(mask: Tensor, downscale: int) -> Tensor:
    """Pack a pixel mask beside its latents: (B, 1, H, W) in {0, 1} -> (B, N, 4 downscale^2).

    `downscale` is pixels a latent side; 8 gives FLUX.1 Fill's 256 mask channels a token.
    """
    b, _, h, w = mask.shape
    tiles = mask[:, 0].reshape(b, h // downscale, downscale, w // downscale, downscale)
    return pack_latents(tiles.permute(0, 2, 4, 1, 3).reshape(b, downscale**2, h // downscale, w // downscale))


def get_token_mask(mask: Tensor, token_px: int) -> Tensor:
    """Find the tokens that hold any masked pixel: (B, 1, H, W) -> (B, N) bool."""
    return F.max_pool2d(mask.float(), token_px).flatten(1) > 0


def get_image_ids(grid: tuple[int, int], frame: int, device: torch.device | None = None) -> Tensor:
    """List RoPE positions of a token grid, (gh * gw, 3): frame, row, column.

    Frame 0 is the photo (known and unknown tokens share positions), frame 1 the reference.
    """
    rows, columns = torch.meshgrid(
        torch.arange(grid[0], device=device), torch.arange(grid[1], device=device), indexing="ij"
    )
    return torch.stack([torch.full_like(rows, frame), rows, columns], -1).reshape(-1, 3).float()
