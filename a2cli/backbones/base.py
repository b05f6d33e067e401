"""What the engine asks of a backbone, and nothing more.

A backbone turns pictures into tokens and tells its blocks; routing, masks, samplers and the two passes live
elsewhere and never ask which backbone they serve. Third-party backbones register a class under the entry-point
group `a2.backbones` and are checked by `a2cli.testing.check_backbone`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from a2cli.errors import ConfigError
from a2cli.types import BlockSpec, Quantize

if TYPE_CHECKING:
    import torch

    from a2cli.context.passes import Condition

__all__ = ["API_VERSION", "Backbone", "Quantize", "Traits"]

API_VERSION = 1
_RANGES = {
    "token_px": "at least 1",
    "resolution": "a positive multiple of token_px",
    "context": "at least 1",
    "steps": "at least 1",
    "guidance": "0 or more",
    "shift": "above 0, or null",
    "prior_noise": "0 or more, with collage; or null",
    "text_tokens": "at least 1, or null",
}


@dataclass(frozen=True)
class Traits:
    """What an edit needs to know about a backbone besides its weights.

    `resolution` side of the working crop in px (a multiple of `token_px`), `context` its side over the mask's
    longest side, `collage` whether the hole is filled with the placed reference, `steps` and `guidance` the
    defaults of sampling, `shift` the timestep shift (None: by resolution). With `prior_noise` the flow
    starts from the placed reference plus this much noise, as it was trained to; None: from noise alone. `buckets`:
    the working crop is a rectangle of about resolution^2 px whose aspect follows the mask's, as in training.
    `text_tokens`: the length prompts are padded to (None: the backbone's own). `localize_blocks`: names of the blocks
    whose attention says best where a word is, "NAME:0,2" for some of a block's heads (none: all heads of the blocks
    between two thirds and 0.88 of the depth).
    """

    resolution: int
    token_px: int = 16
    context: float = 1.5
    collage: bool = False
    steps: int = 20
    guidance: float = 30.0
    shift: float | None = None
    prior_noise: float | None = None
    buckets: bool = False
    text_tokens: int | None = None
    localize_blocks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        wrong = {
            "token_px": self.token_px < 1,
            "resolution": self.token_px > 0 and (self.resolution < 1 or self.resolution % self.token_px > 0),
            "context": not self.context >= 1,
            "steps": self.steps < 1,
            "guidance": not self.guidance >= 0,
            "shift": self.shift is not None and not self.shift > 0,
            "text_tokens": self.text_tokens is not None and self.text_tokens < 1,
            "prior_noise": self.prior_noise is not None and not (self.collage and self.prior_noise >= 0),
        }
        for name in (n for n, bad in wrong.items() if bad):
            raise ConfigError(f"traits.{name}: {getattr(self, name)} is out of range", hint=_RANGES[name])


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
        """Load weights from a folder or hub id; None means the default ones. Raises `BackboneError`.

        A class that can hold its weights in fewer bits takes `quantize: Quantize | None = None` besides. One whose
        parts can be kept off the device names them in `components: dict[str, Any]` and computes on
        `execution_device: torch.device | None` where that is set; `device` is then the same.
        """

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
