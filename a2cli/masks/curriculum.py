"""MATS, the mask annealing curriculum (A2-Edit 3.3), as a pure function of the training step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from a2cli.errors import ConfigError
from a2cli.masks.augment import RoughConfig, box_of, roughen
from a2cli.types import Stage

STAGES: tuple[Stage, ...] = get_args(Stage)


@dataclass(frozen=True)
class MatsConfig:
    """Which masks a training run shows, and when.

    stages: what is shown, in this order; any of fine, rough, box. ("fine",) and ("fine", "rough") are the
        paper's ablations FT and FT + RT.
    fractions: length of each stage relative to the others; (0.5, 0.25, 0.25) and (3000, 1500, 1500) are
        the same thing.
    replay: share in [0, 1) of examples that repeat a stage already left behind, evenly among those.
    mode: "replace", each stage takes over from the one before (the paper); "mixed", every stage from the
        first step on, in the proportion of `fractions`.
    """

    stages: tuple[Stage, ...] = STAGES
    fractions: tuple[float, ...] = (0.5, 0.25, 0.25)
    replay: float = 0.0
    mode: Literal["replace", "mixed"] = "replace"

    def __post_init__(self) -> None:
        unknown = [stage for stage in self.stages if stage not in STAGES]
        if unknown or not self.stages:
            raise ConfigError(f"mats.stages: {unknown or 'empty'}", hint=f"choose from {', '.join(STAGES)}")
        if len(self.fractions) != len(self.stages):
            raise ConfigError(
                f"mats.fractions has {len(self.fractions)} entries for {len(self.stages)} stages",
                hint="give one for each stage",
            )
        if not all(np.isfinite(f) and f >= 0 for f in self.fractions) or sum(self.fractions) <= 0:
            raise ConfigError(f"mats.fractions: {self.fractions}", hint="use numbers >= 0, not all of them 0")
        if not 0 <= self.replay < 1:
            raise ConfigError(
                f"mats.replay: {self.replay}", hint="use a share from 0 up to, not including, 1"
            )
        if self.mode not in ("replace", "mixed"):
            raise ConfigError(f"mats.mode: {self.mode}", hint="use replace or mixed")


def get_stage_starts(total_steps: int, config: MatsConfig) -> tuple[int, ...]:
    """The first step of every stage; a stage whose start equals the next one's is never shown."""
    ends = np.cumsum(config.fractions) / sum(config.fractions) * total_steps
    return (0, *(round(float(end)) for end in ends[:-1]))


def get_stage(step: int, total_steps: int, config: MatsConfig) -> Stage:
    """The stage in force at `step` of `total_steps` (0-based); past the end the last one stays in force."""
    return config.stages[_get_index(step, total_steps, config)]


def sample_stage(step: int, total_steps: int, config: MatsConfig, rng: np.random.Generator) -> Stage:
    """The stage of one example at `step`: that in force, or by `replay` or `mixed` another one."""
    if config.mode == "mixed":
        shares = np.asarray(config.fractions) / sum(config.fractions)
        return config.stages[int(rng.choice(len(shares), p=shares))]
    index = _get_index(step, total_steps, config)
    if index and rng.random() < config.replay:
        index = int(rng.integers(index))
    return config.stages[index]


def apply_stage(
    mask: np.ndarray, stage: str, rng: np.random.Generator, rough: RoughConfig | None = None
) -> np.ndarray:
    """Turn a fine mask into the mask of a stage: itself, its rough form, or the rough form's box.

    mask: bool (H, W), not empty. Returns bool (H, W). Raises ConfigError on an unknown stage.
    """
    if stage == "fine":
        return mask
    if stage == "rough":
        return roughen(mask, rng, rough)
    if stage == "box":
        return box_of(roughen(mask, rng, rough))
    raise ConfigError(f"no mask stage is called {stage}", hint=f"choose from {', '.join(STAGES)}")


def _get_index(step: int, total_steps: int, config: MatsConfig) -> int:
    starts = get_stage_starts(total_steps, config)
    in_force = [i for i, start in enumerate(starts) if start <= step and config.fractions[i] > 0]
    return in_force[-1] if in_force else next(i for i, f in enumerate(config.fractions) if f > 0)
