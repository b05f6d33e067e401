"""The settings of a region adapter; importing this module imports no framework."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from a2cli.errors import ConfigError

# Ranges keep a file's configuration from asking for an absurd model: its shapes are built before they are compared.
_RANGES = {
    "num_heads": (1, 256),
    "head_dim": (4, 1024),
    "expansion": (1, 16),
    "num_instruction_tokens": (1, 4096),
    "instruction_layers": (1, 64),
    "fusion_layers": (0, 32),
    "mask_grid": (1, 128),
    "width": (8, 8192),
    "decoder_width": (8, 8192),
    "query_grid": (1, 64),
    "layers": (1, 32),
    "encoder_layers": (0, 64),
    "text_queries": (1, 256),
}


@dataclass(frozen=True)
class PredictorConfig:
    """Shape of a `MaskPredictor`.

    width: of a picture's features. decoder_width: of what is asked of them: queries, instruction and the features as
    the decoder reads them; null: as wide. query_grid: side of the learned query grid. layers: decoder layers, each with
    a FiLM of its own (the paper has one). encoder_layers: residual convolutions on the patchified latents before the
    decoder (the paper has none). text_queries: learned queries that pool the instruction. noise: the highest sigma
    training noises the latents to (the paper's); 0 reads clean ones, as a predictor does that is asked once, before an
    edit. Raises ConfigError for a value out of range.

    Source: Edit Where You Mean, section 3.6.
    """

    width: int = 256
    decoder_width: int | None = None
    query_grid: int = 16
    layers: int = 1
    encoder_layers: int = 0
    num_heads: int = 8
    text_queries: int = 4
    noise: float = 0.0

    def __post_init__(self) -> None:
        _check_ranges(self, optional=("decoder_width",))
        if not 0 <= self.noise <= 1:
            raise ConfigError(f"noise must lie in [0, 1], not {self.noise}")
        for name in ("width", "decoder_width"):
            width = getattr(self, name) or self.width
            if width % self.num_heads or width % 4:  # of 4: rows and columns, sine and cosine
                raise ConfigError(f"{name} must be a multiple of num_heads and of 4, not {width}")


@dataclass(frozen=True)
class RegionConfig:
    """Shape of a region adapter; widths it does not name come from the backbone.

    num_heads, head_dim: of the adapters' attention, whose width num_heads * head_dim is also that of the condition
    stream; num_heads None takes as many as the backbone's width holds. expansion: of the adapters' feed-forward.
    num_instruction_tokens: N_q. instruction_layers: L_h, hidden layers of the text encoder stacked in its states.
    fusion_layers: of the fusion transformer. mask_grid: the mask is averaged to at most mask_grid^2 tokens. gate:
    SpatialGate; without it the adapters act on every target token alike. adapter: block adapters, condition encoder
    and gate; without them there is a predictor only. predictor: null for none. Raises ConfigError for a value out of
    range.

    Source: Edit Where You Mean, sections 3.2-3.6 and appendices B and D.
    """

    num_heads: int | None = None
    head_dim: int = 128
    expansion: int = 2
    num_instruction_tokens: int = 64
    instruction_layers: int = 1
    fusion_layers: int = 2
    mask_grid: int = 16
    gate: bool = True
    adapter: bool = True
    predictor: PredictorConfig | None = field(default_factory=PredictorConfig)

    def __post_init__(self) -> None:
        _check_ranges(self, optional=("num_heads",))
        for name in ("gate", "adapter"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"{name} must be true or false, not {getattr(self, name)!r}")
        if self.head_dim % 4:  # rows and columns, sine and cosine
            raise ConfigError(f"head_dim must be a multiple of 4, not {self.head_dim}")
        if not self.adapter and self.predictor is None:
            raise ConfigError("neither adapter nor predictor: nothing is left", hint="adapter=true")

    def get_heads(self, dim: int) -> int:
        """Heads of the adapters on a backbone of width `dim`."""
        return self.num_heads or max(1, dim // self.head_dim)


def _check_ranges(config: Any, optional: tuple[str, ...] = ()) -> None:
    for name, (low, high) in _RANGES.items():
        value = getattr(config, name, low)
        if value is None and name in optional:
            continue
        if type(value) is not int or not low <= value <= high:
            raise ConfigError(f"{name} must be a whole number from {low} to {high}, not {value!r}")
