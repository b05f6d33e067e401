"""Everything a training run can be told, as one frozen tree of dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from a2cli.data.synth import SynthConfig
from a2cli.errors import ConfigError
from a2cli.masks.augment import RoughConfig
from a2cli.masks.curriculum import MatsConfig
from a2cli.mot.config import MotConfig

Kind = Literal["vae", "base", "mot"]


@dataclass(frozen=True)
class ModelConfig:
    """What is trained, and from where.

    `train` names the part: the autoencoder, every weight of the base, or experts and routers on a frozen
    base. `path` is a diffusers folder to start from; without one, `architecture` (one mapping a component) is
    built with fresh weights.
    """

    train: Kind
    path: str | None = None
    architecture: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class OptimizerConfig:
    """Optimizer, learning-rate schedule (linear warm-up, then cosine to `final` x lr), clipping and EMA.

    `muon` orthogonalises the updates of the hidden matrices and leaves everything else to AdamW.
    """

    name: Literal["adamw", "muon"] = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.99)
    warmup: int = 100
    final: float = 0.05
    max_grad_norm: float = 1.0
    ema: float = 0.0

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise ConfigError(f"lr must be positive, not {self.lr}")
        if not 0 <= self.ema < 1:
            raise ConfigError("ema must lie in [0, 1)")


@dataclass(frozen=True)
class DataConfig:
    """Where pairs come from and how they become batches.

    `resolution` is the side of the working crop in px, `context` its side over the mask's longest side,
    `workers` the loader processes. `repose` is the share of samples under rough and box masks whose target shows
    the subject as it is placed there (see `a2cli.data.synth.repose`).
    """

    synth: SynthConfig = field(default_factory=SynthConfig)
    resolution: int = 128
    batch_size: int = 16
    context: tuple[float, float] = (1.35, 1.8)
    workers: int = 1
    drop_prompt: float = 0.1
    drop_collage: float = 0.0
    repose: float = 0.0

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise ConfigError(f"workers must be 0 or more, not {self.workers}")
        if not 1 <= self.context[0] <= self.context[1]:
            raise ConfigError(f"context: {list(self.context)}", hint="two numbers, 1 <= low <= high")
        for name in ("drop_prompt", "drop_collage", "repose"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must lie in [0, 1], not {getattr(self, name)}")


@dataclass(frozen=True)
class FlowConfig:
    """How noise levels are drawn. `noise_draws` noised targets share one context pass."""

    weighting: Literal["uniform", "logit_normal"] = "logit_normal"
    mean: float = 0.0
    std: float = 1.0
    noise_draws: int = 1


@dataclass(frozen=True)
class TrainConfig:
    """One training run; `configs/train/*.yaml` are its files.

    `precision: auto` is bf16 autocast where the processor multiplies bfloat16 itself, else fp32.
    """

    model: ModelConfig
    output_dir: str
    steps: int
    seed: int = 0
    save_every: int = 500
    log_every: int = 20
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    data: DataConfig = field(default_factory=DataConfig)
    flow: FlowConfig = field(default_factory=FlowConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    mats: MatsConfig = field(default_factory=MatsConfig)
    rough: RoughConfig = field(default_factory=RoughConfig)
    adapter: MotConfig | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "save_every", "log_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if (self.model.train == "mot") != (self.adapter is not None):
            raise ConfigError("a section 'adapter' goes with 'model.train: mot', and only with it")
