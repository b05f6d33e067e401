"""The settings of a plain low-rank adapter; importing this module imports no framework."""

from __future__ import annotations

import math
from dataclasses import dataclass

from a2cli.errors import ConfigError
from a2cli.mot.config import Targets


@dataclass(frozen=True)
class LoraConfig:
    """Shape of the adapter.

    rank, alpha: the low-rank product is scaled by alpha / rank; alpha None means rank. targets: which linears of a
    block carry it, as for experts. dropout: share in [0, 1) of its input that is dropped in training.

    Raises ConfigError for a value out of range. Source: Hu et al. 2022, section 4.1.
    """

    rank: int = 32
    alpha: float | None = None
    targets: Targets = "all"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ConfigError(f"rank must be at least 1, not {self.rank}")
        if self.alpha is None:
            object.__setattr__(self, "alpha", float(self.rank))
        elif not (math.isfinite(self.alpha) and self.alpha > 0):
            raise ConfigError(f"alpha must be a positive number, not {self.alpha}")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout must lie in [0, 1), not {self.dropout}")
