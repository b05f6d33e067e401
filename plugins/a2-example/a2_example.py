"""Template of a backbone plugin: a FLUX transformer of random weights on bare pixels.

It makes noise, not pictures, but it is a whole backbone: `a2cli.testing.check_backbone` passes on it. To
build yours, replace `load` (your weights), the two pixel functions (your autoencoder) and `_encode_text`
(your text encoder). Heavy libraries are imported inside functions, so that listing plugins stays quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from a2cli.backbones.base import API_VERSION, Traits
from a2cli.errors import BackboneError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from a2cli.context import Condition
    from a2cli.types import BlockSpec

DOWNSCALE = 4  # pixels a latent side; FLUX packs 2 x 2 latents into a token
TOKEN_PX = 2 * DOWNSCALE
CHANNELS = 3 * TOKEN_PX**2
TEXT_TOKENS, TEXT_WIDTH = 8, 16


class ExampleBackbone:
    """The smallest thing `a2 edit --backbone example` can run."""

    api_version = API_VERSION
    name = "example"
    traits = Traits(resolution=64, token_px=TOKEN_PX, steps=2, guidance=1.0, shift=1.0)

    def __init__(self, transformer: Any) -> None:
        from a2cli.mot import hash_base

        self.transformer = transformer
        self.base_hash = hash_base(transformer)

    @property
    def device(self) -> torch.device:
        """Where pictures have to be for the functions below."""
        return self.transformer.device

    @classmethod
    def load(
        cls, model: str | None = None, *, device: str = "cpu", dtype: str = "float32"
    ) -> ExampleBackbone:
        """Make the transformer with weights that are the same every time."""
        import torch
        from diffusers import FluxTransformer2DModel

        if model is not None:
            raise BackboneError("the example backbone has no weights to load", hint="leave out --model")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            transformer = FluxTransformer2DModel(
                in_channels=2 * CHANNELS + TOKEN_PX**2,  # noisy latents, masked photo, mask bits
                out_channels=CHANNELS,
                num_layers=1,
                num_single_layers=1,
                num_attention_heads=2,
                attention_head_dim=16,
                axes_dims_rope=(4, 6, 6),
                joint_attention_dim=TEXT_WIDTH,
                pooled_projection_dim=TEXT_WIDTH,
                guidance_embeds=False,
            )
        return cls(transformer.eval().requires_grad_(False).to(device, getattr(torch, dtype)))

    def get_blocks(self) -> list[BlockSpec]:
        """List the blocks; FLUX transformers can use a2's own list."""
        from a2cli.backbones.blocks import get_blocks

        return get_blocks(self.transformer)

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] -> tokens (B, N, C): here the pixels themselves, rearranged."""
        from torch.nn import functional as F

        from a2cli.context import pack_latents

        return pack_latents(F.pixel_unshuffle(pixels, DOWNSCALE))

    def decode_tokens(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Tokens (B, N, C) -> (B, 3, H, W) in [-1, 1]."""
        from torch.nn import functional as F

        from a2cli.context import unpack_latents

        return F.pixel_shuffle(unpack_latents(tokens, grid), DOWNSCALE).clamp(-1, 1)

    def build_condition(
        self, masked: Tensor, mask: Tensor, reference: Tensor, prompts: list[str]
    ) -> Condition:
        """Encode the photo with its hole filled, the mask (B, 1, H, W), the reference and the prompts."""
        from a2cli.context import Condition, get_token_mask, pack_mask

        text = self._encode_text(prompts).to(masked)
        return Condition(
            masked=self.encode_pixels(masked),
            mask=pack_mask(mask.to(masked), DOWNSCALE),
            visible=~get_token_mask(mask, TOKEN_PX),
            reference=self.encode_pixels(reference),
            text=text,
            pooled=text.mean(1),
            grid=(mask.shape[-2] // TOKEN_PX, mask.shape[-1] // TOKEN_PX),
            ref_grid=(reference.shape[-2] // TOKEN_PX, reference.shape[-1] // TOKEN_PX),
        )

    def _encode_text(self, prompts: list[str]) -> Tensor:
        """Prompts -> (B, TEXT_TOKENS, TEXT_WIDTH): one-hot low bits of the first bytes."""
        import torch
        from torch.nn import functional as F

        rows = [prompt.encode()[:TEXT_TOKENS].ljust(TEXT_TOKENS, b"\0") for prompt in prompts]
        return F.one_hot(torch.tensor([list(row) for row in rows]) % TEXT_WIDTH, TEXT_WIDTH).float()
