"""What the engine asks of a backbone, and nothing more.

A backbone turns pictures into tokens and tells its blocks; routing, masks, samplers and the two passes live
elsewhere and never ask which backbone they serve. Third-party backbones register a class under the entry-point
group `a2.backbones` and are checked by `a2cli.testing.check_backbone`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from a2cli.types import BlockSpec

if TYPE_CHECKING:
    import torch

    from a2cli.context.passes import Condition

API_VERSION = 1


@dataclass(frozen=True)
class Traits:
    """What an edit needs to know about a backbone besides its weights.

    `resolution` side of the working crop in px (a multiple of `token_px`), `context` its side over the mask's
    longest side, `collage` whether the hole is filled with the placed reference, `steps` and `guidance` the
    defaults of sampling, `shift` the timestep shift (None: by resolution). `strength` in (0, 1] is the noise level
    sampling starts from: 1 is noise alone, less keeps that much of the placed reference (SDEdit; needs `collage`).
    """

    resolution: int
    token_px: int = 16
    context: float = 1.5
    collage: bool = False
    steps: int = 20
    guidance: float = 30.0
    shift: float | None = None
    strength: float = 1.0


@runtime_checkable
class Backbone(Protocol):
    """A diffusion transformer that fills a hole from a reference."""

    api_version: int
    name: str
    traits: Traits
    transformer: Any
    base_hash: str

    @property
    def device(self) -> torch.device:
        """Where the weights are."""

    @classmethod
    def load(cls, model: str | None = None, *, device: str = "cpu", dtype: str = "float32") -> Backbone:
        """Load weights from a folder or hub id; None means the default ones. Raises `BackboneError`."""

    def get_blocks(self) -> list[BlockSpec]:
        """List the transformer blocks in execution order."""

    def encode_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode (B, 3, H, W) in [-1, 1] into clean latent tokens (B, N, C)."""

    def decode_tokens(self, tokens: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        """Decode latent tokens (B, N, C) into (B, 3, H, W) in [-1, 1]."""

    def build_condition(
        self, masked: torch.Tensor, mask: torch.Tensor, reference: torch.Tensor, prompts: list[str]
    ) -> Condition:
        """Encode everything known: hole-filled photo, mask (B, 1, H, W), reference (B, 3, h, w), prompts."""
