"""Everything a training run can be told, as one frozen tree of dataclasses."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from a2cli.data.source import SourceConfig
from a2cli.errors import ConfigError
from a2cli.lora.config import LoraConfig
from a2cli.masks.augment import RoughConfig
from a2cli.masks.curriculum import MatsConfig
from a2cli.mot.config import MotConfig
from a2cli.region.config import RegionConfig

Kind = Literal["vae", "base", "text", "mot", "lora", "region"]
MASK_WEIGHT = 0.1  # of predicted masks, unless told otherwise
WHOLE = ("vae", "base", "text")  # what trains parts of the base itself
Tracker = Literal["tensorboard", "wandb"]


@dataclass(frozen=True)
class ModelConfig:
    """What is trained, and from where.

    `train` names the part: the autoencoder, every weight of the base, its text encoder together with a predictor of
    masks, experts and routers on a frozen base, a plain low-rank adapter on it, or what makes it aware of a region.
    `path` is a diffusers folder or hub id to start from; without one the backbone's own, or, for nano, what
    `architecture` (one mapping a component) builds with fresh weights. `quantize` loads the frozen base in fewer bits.
    For a region adapter, `adapter` is the folder of another adapter that lies frozen below it, and `region` that of a
    region adapter whose weights it begins with.
    """

    train: Kind
    path: str | None = None
    architecture: dict[str, Any] = field(default_factory=dict)
    backbone: str = "nano"
    quantize: Literal["nf4", "int8", "torchao-int8"] | None = None
    adapter: str | None = None
    region: str | None = None

    def __post_init__(self) -> None:
        if self.backbone != "nano" and (self.architecture or self.train in WHOLE):
            raise ConfigError(
                f"backbone {self.backbone}: only adapters are trained", hint="train: mot, lora or region"
            )
        if self.quantize and self.train in WHOLE:
            raise ConfigError("quantize: only a frozen base can be", hint="train: mot, lora or region")
        for name in ("adapter", "region"):
            if self.train != "region" and getattr(self, name) is not None:
                raise ConfigError(f"{name}: only a region adapter goes on one", hint="train: region")


@dataclass(frozen=True)
class OptimizerConfig:
    """Optimizer, learning-rate schedule (linear warm-up, then cosine to `final` x lr), clipping and EMA.

    `muon` orthogonalises the updates of the hidden matrices and leaves everything else to AdamW; `adamw8bit`
    is bitsandbytes' (CUDA). `ema` is the decay of the averaged weights, 0 for none.
    """

    name: Literal["adamw", "adamw8bit", "muon"] = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.99)
    warmup: int = 100
    final: float = 0.05
    max_grad_norm: float = 1.0
    ema: float = 0.0

    def __post_init__(self) -> None:
        for name in ("lr", "max_grad_norm"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} must be positive, not {getattr(self, name)}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError(f"betas must lie in [0, 1), not {list(self.betas)}")
        if self.warmup < 0 or self.weight_decay < 0 or not 0 <= self.final <= 1:
            raise ConfigError("warmup and weight_decay must be 0 or more, final from 0 to 1")
        if not 0 <= self.ema < 1:
            raise ConfigError("ema must lie in [0, 1)")


@dataclass(frozen=True)
class DataConfig(SourceConfig):
    """Where pairs come from and how they become batches.

    `resolution` is the side of the working crop in px, `batch_size` the samples a process sees at once, `context`
    the crop's side over the mask's longest side, `workers` the loader processes. `repose` is the share of
    synthesised samples under rough and box masks whose target shows the subject as it is placed there (see
    `a2cli.data.synth.repose`). `zoom` is the share of instruction pairs of which a window is looked at in the place
    of the whole photo, to find the named thing. `buckets` gives the crops of a micro-batch the aspect of its first
    mask, within the sizes of about resolution^2 px (see `a2cli.data.order.get_buckets`); pairs on disk are ordered so
    that the others' masks are alike. `cache_latents` keeps the latents of reference and target and
    the reference's embedding on disk, for which each record gets one crop (the mean of `context`, wide enough for its
    roughest mask) instead of one that follows the mask; `cache_text_embeddings` those of the prompts, in `cache_dir`
    (default: `cache` in the run folder).
    """

    resolution: int = 128
    buckets: bool = False
    batch_size: int = 16
    context: tuple[float, float] = (1.35, 1.8)
    workers: int = 1
    drop_prompt: float = 0.1
    drop_collage: float = 0.0
    repose: float = 0.0
    zoom: float = 0.0
    cache_latents: bool = False
    cache_text_embeddings: bool = False
    cache_dir: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch_size < 1:
            raise ConfigError(f"batch_size must be 1 or more, not {self.batch_size}")
        if self.workers < 0:
            raise ConfigError(f"workers must be 0 or more, not {self.workers}")
        if not 1 <= self.context[0] <= self.context[1]:
            raise ConfigError(f"context: {list(self.context)}", hint="two numbers, 1 <= low <= high")
        for name in ("drop_prompt", "drop_collage", "repose", "zoom"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must lie in [0, 1], not {getattr(self, name)}")
        if self.path is not None and self.repose:
            raise ConfigError("repose needs synthesised pairs", hint="repose: 0 with data.path")


@dataclass(frozen=True)
class FlowConfig:
    """How noise levels are drawn. `noise_draws` noised targets share one context pass.

    `shift` moves the levels towards the noisy end, "resolution" by FLUX's rule for the working size; None: not.
    `guidance` is the scale a guidance-distilled base is told.
    """

    weighting: Literal["uniform", "logit_normal"] = "logit_normal"
    mean: float = 0.0
    std: float = 1.0
    shift: float | Literal["resolution"] | None = None
    noise_draws: int = 1
    guidance: float = 1.0

    def __post_init__(self) -> None:
        if self.noise_draws < 1:
            raise ConfigError(f"noise_draws must be 1 or more, not {self.noise_draws}")
        if not self.std > 0 or (isinstance(self.shift, float) and not self.shift > 0):
            raise ConfigError(f"std and shift must be positive, not {self.std} and {self.shift}")


@dataclass(frozen=True)
class LossConfig:
    """Weights of the error of the velocity and of what is added to it.

    flow: of the velocity's error, 0 where no edit is learned. region_alpha: tokens of the object itself weigh 1 +
    alpha, the rest of a loose mask 1 ("Edit Where You Mean", eq. 7). mask: of predicted masks, where there is a
    predictor (eq. 9; lambda_mask); None is 0.1 there, 0 keeps it as it is. grounding: of the attention to what a
    sentence names, as the section `grounding` says. balance: weight of the load-balancing term. contrastive: weight
    of X2Edit's term (eq. 6-9), which draws the features of one category together at temperature `tau`; over
    `contrastive_blocks`. The last four are terms of a micro-batch in one process: unlike the rest they depend on how
    samples are spread.
    """

    flow: float = 1.0
    region_alpha: float = 0.0
    mask: float | None = None
    grounding: float = 0.0
    balance: float = 0.0
    contrastive: float = 0.0
    tau: float = 0.5
    contrastive_blocks: Literal["double", "all"] = "double"

    def __post_init__(self) -> None:
        for name in ("flow", "region_alpha", "mask", "grounding", "balance", "contrastive"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"{name} must be 0 or more, not {value}")
        if not self.tau > 0:
            raise ConfigError(f"tau must be positive, not {self.tau}")


@dataclass(frozen=True)
class GroundingConfig:
    """Attention that is shown where the thing named in a sentence is, in the photo before the edit.

    blocks: names of the blocks whose attention is trained, and which the saved model reads it from afterwards (none:
    its `localize_blocks`). share: of the instruction pairs that are used for it. text_only: nothing but the path of the
    text is trained: the text encoder and the weights for its tokens. train_encoder: false leaves the text encoder as it
    is, so that what else reads it goes on to understand it.
    """

    blocks: tuple[str, ...] = ()
    share: float = 1.0
    text_only: bool = False
    train_encoder: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ConfigError(f"share must lie in (0, 1], not {self.share}")


@dataclass(frozen=True)
class NamingConfig:
    """Naming things, by their looks and by their words, while a text encoder learns to find them.

    alone: the first share of the steps, in which nothing else is learned. weight: of the naming beside the masks
    afterwards. pool: weight of the attention with which the predictor reads the words that name the thing.
    """

    alone: float = 0.36
    weight: float = 0.3
    pool: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.alone < 1:
            raise ConfigError(f"alone must lie in [0, 1), not {self.alone}")
        for name in ("weight", "pool"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ConfigError(f"{name} must be 0 or more, not {getattr(self, name)}")


@dataclass(frozen=True)
class SampleConfig:
    """The fixed triplets that are edited every `sample_every` steps and at the end of every stage.

    The first `pairs` pairs of `split` at `path` (None: the training data's place; synthesised ones from held-out
    glyphs), each under its fine, rough and box mask, in `steps` denoising steps (None: the backbone's own).
    """

    pairs: int = 4
    path: str | None = None
    split: str = "test"
    steps: int | None = None

    def __post_init__(self) -> None:
        if self.pairs < 1:
            raise ConfigError(f"pairs must be 1 or more, not {self.pairs}")
        if self.steps is not None and self.steps < 1:
            raise ConfigError(f"steps must be 1 or more, not {self.steps}")


_SECTIONS: dict[str, tuple[Kind, ...]] = {
    "adapter": ("mot",),
    "lora": ("lora",),
    "region": ("region", "text"),
    "naming": ("text",),
}


@dataclass(frozen=True)
class TrainConfig:
    """One training run; `configs/train/*.yaml` are its files.

    An optimizer step sees `data.batch_size` x `gradient_accumulation` samples in every process. `sample_every` 0
    makes no sample grids. `keep_checkpoints` newest checkpoints stay. `precision: auto` is bf16 autocast on GPUs
    and where the processor multiplies bfloat16 itself, else fp32. `trackers: auto` writes TensorBoard files
    where tensorboard is installed.
    """

    model: ModelConfig
    output_dir: str
    steps: int
    seed: int = 0
    save_every: int = 500
    sample_every: int = 0
    log_every: int = 20
    keep_checkpoints: int = 2
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    device: Literal["auto", "cpu"] = "auto"
    gradient_accumulation: int = 1
    gradient_checkpointing: bool = False
    trackers: Literal["auto"] | tuple[Tracker, ...] = "auto"
    data: DataConfig = field(default_factory=DataConfig)
    flow: FlowConfig = field(default_factory=FlowConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    mats: MatsConfig = field(default_factory=MatsConfig)
    rough: RoughConfig = field(default_factory=RoughConfig)
    sample: SampleConfig = field(default_factory=SampleConfig)
    adapter: MotConfig | None = None
    lora: LoraConfig | None = None
    region: RegionConfig | None = None
    grounding: GroundingConfig | None = None
    naming: NamingConfig | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "save_every", "log_every", "keep_checkpoints", "gradient_accumulation"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.seed < 0 or self.sample_every < 0:
            raise ConfigError("seed and sample_every must be 0 or more")
        for section, kinds in _SECTIONS.items():
            if (self.model.train in kinds) != (getattr(self, section) is not None):
                goes = " or ".join(f"'model.train: {kind}'" for kind in kinds)
                raise ConfigError(f"a section '{section}' goes with {goes}, and only with it")
        if self.model.train != "mot" and (self.loss.balance or self.loss.contrastive):
            raise ConfigError("loss.balance and loss.contrastive act on experts", hint="model.train: mot")
        self._check_terms()

    @property
    def mask_weight(self) -> float:
        """The weight of predicted masks, 0 where there is nothing that predicts any."""
        if self.region is None or self.region.predictor is None:
            return 0.0
        return MASK_WEIGHT if self.loss.mask is None else self.loss.mask

    def list_terms(self) -> dict[str, Any]:
        """The terms of the loss that act, with what belongs to them."""
        weights = {**asdict(self.loss), "mask": self.mask_weight}
        if not self.loss.contrastive:
            del weights["tau"], weights["contrastive_blocks"]
        return {name: value for name, value in weights.items() if value}

    def _check_terms(self) -> None:
        if self.loss.mask and not self.mask_weight:
            raise ConfigError(
                "loss.mask weighs predicted masks, and nothing predicts any",
                hint="a section region with a predictor, or leave loss.mask out",
            )
        grounds = self.loss.grounding > 0
        if grounds != (self.grounding is not None):
            raise ConfigError("a section 'grounding' goes with 'loss.grounding' above 0, and only with it")
        if grounds and self.model.train != "base":
            raise ConfigError("loss.grounding acts on the base's attention", hint="model.train: base")
        if self.loss.flow != 1 and not grounds and self.region is None:
            raise ConfigError("loss.flow: there is nothing else to learn", hint="leave it at 1")
        if self.model.train == "text" and (self.loss.flow or (self.region and self.region.adapter)):
            raise ConfigError(
                "model.train: text learns no edits, but to find things",
                hint="loss.flow: 0 and region.adapter: false",
            )
        if self.region is not None and self.region.adapter != (self.loss.flow > 0):
            raise ConfigError(
                "region.adapter: what edits learns from the velocity, a predictor alone does not",
                hint="region.adapter: false with loss.flow: 0, and only with it",
            )
        if self.region is not None and not (self.loss.flow or self.mask_weight):
            raise ConfigError("nothing is trained", hint="region.predictor and loss.mask, or region.adapter")
