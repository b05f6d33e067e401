"""What a run would do, found out without doing it: paths, samples, parameters, memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from a2cli.backbones.flux import NANO_FOLDER, FluxFillBackbone, NanoBackbone
from a2cli.backbones.registry import check_backbone_name
from a2cli.config.load import dump_yaml, load_config, to_dict
from a2cli.data.source import SourceConfig, SourceReport, check_source, open_source
from a2cli.engine.adapters import NONE
from a2cli.errors import BackboneError
from a2cli.lora.config import LoraConfig
from a2cli.mot.config import MotConfig
from a2cli.mot.folder import find_weights
from a2cli.region import read_region
from a2cli.training.budget import FLUX_FILL, Architecture, Budget, RunShape, get_budget, load_architecture
from a2cli.training.checkpoint import check_output, load_checkpoint
from a2cli.training.config import TrainConfig
from a2cli.training.log import choose_trackers
from a2cli.training.run import build_objective, check_launch
from a2cli.training.trainer import uses_float_base, uses_half


@dataclass(frozen=True)
class Plan:
    """A run that could start: its settings, what was found at `data.path`, its memory, where it would begin."""

    config: TrainConfig
    source: SourceReport
    parameters: int | None
    budget: Budget | None
    start: int
    precision: str

    def format(self) -> str:
        """The resolved settings as YAML, and what was found out as its comments."""
        count = "endless" if self.source.count is None else f"{self.source.count:,}"
        categories = ", ".join(f"{name} {n}" for name, n in sorted(self.source.categories.items()))
        lines = [
            f"samples: {count}; of {self.source.opened} opened: {categories}",
            *(f"cannot be used: {reason}" for reason in self.source.bad),
            f"steps: {self.start} to {self.config.steps}, {self.get_batch()} samples each in every process",
            f"precision: {self.precision}",
            *(() if self.parameters is None else (f"trained parameters: {self.parameters:,}",)),
            *(("memory of a process:", *self.budget.format().splitlines()) if self.budget else ()),
        ]
        return dump_yaml(self.config) + "".join(f"# {line}".rstrip() + "\n" for line in lines)

    def to_record(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "config": to_dict(self.config),
            "samples": to_dict(self.source),
            "start": self.start,
            "batch": self.get_batch(),
            "precision": self.precision,
            "parameters": self.parameters,
            "budget": asdict(self.budget) | {"total": self.budget.total} if self.budget else None,
        }

    def get_batch(self) -> int:
        """Samples one process sees in an optimizer step."""
        return self.config.data.batch_size * self.config.gradient_accumulation


def plan_run(config_path: str, overrides: Sequence[str] = (), *, resume: str | None = None) -> Plan:
    """Check what a run needs and stop: nothing is trained or written, no frozen base is loaded.

    Opens a few samples, the headers of the weights, the checkpoint to resume from. Raises `A2Error` with the first
    thing that would stop the run.
    """
    config = load_config(TrainConfig, config_path, overrides)
    checkpoint = check_output(Path(config.output_dir), resume)
    start = load_checkpoint(checkpoint)[1]["step"] if checkpoint else 0
    check_launch(config)
    if config.model.train == "region":
        _check_region(config)
    choose_trackers(config.trackers)
    source = check_source(open_source(config.data, seed=config.seed))
    if config.sample.path is not None:
        check_source(open_source(SourceConfig(path=config.sample.path, split=config.sample.split), seed=0))
    half = uses_half(config)
    budget = get_run_budget(config, half=half)
    parameters = budget.adapter // 4 if budget else _count_parameters(config)
    return Plan(config, source, parameters, budget, start, "bf16" if half else "fp32")


def _check_region(config: TrainConfig) -> None:
    """Find the base and the adapter that a region adapter goes on, and the one that it begins with."""
    _find_architecture(config)
    if config.model.adapter is not None and config.model.adapter != NONE:
        find_weights(Path(config.model.adapter))
    if config.model.region is not None:
        read_region(config.model.region)


def get_run_budget(config: TrainConfig, *, half: bool) -> Budget | None:
    """Work out the memory of a run that trains an adapter; None for other runs, and for backbones of plugins."""
    adapter: MotConfig | LoraConfig | None = config.adapter or config.lora
    architecture = _find_architecture(config) if adapter else None
    if adapter is None or architecture is None:
        return None
    nano = config.model.backbone == "nano"
    shape = RunShape(
        adapter,
        config.data.resolution,
        batch_size=config.data.batch_size,
        noise_draws=config.flow.noise_draws,
        text_tokens=(NanoBackbone if nano else FluxFillBackbone).max_text_tokens,
        dtype="bfloat16" if half and not (nano and config.model.quantize is None) else "float32",
        quantize=config.model.quantize,
        optimizer=config.optimizer.name,
        ema=bool(config.optimizer.ema),
        autocast=half and uses_float_base(config),
        gradient_checkpointing=config.gradient_checkpointing,
        gradient_accumulation=config.gradient_accumulation,
        cached_text=config.data.cache_text_embeddings,
        cached_images=config.data.cache_latents,
    )
    return get_budget(shape, architecture)


def _find_architecture(config: TrainConfig) -> Architecture | None:
    """The configurations of the base's parts: its folder's, or the published ones of a model on the hub."""
    path, backbone = config.model.path, config.model.backbone
    if backbone not in ("nano", "flux-fill"):
        return None
    if path is None:
        return load_architecture(NANO_FOLDER) if backbone == "nano" else {**FLUX_FILL}
    if Path(path).expanduser().is_dir():
        return load_architecture(Path(path).expanduser())
    if path.startswith((".", "/", "~")) or path.count("/") != 1:
        raise BackboneError(
            f"{path}: no such model folder", hint="model.path names a diffusers folder or a hub id"
        )
    return {**FLUX_FILL}


def _count_parameters(config: TrainConfig) -> int | None:
    """Build what is trained whole, which is small, and count it; None for the backbone of a plugin."""
    if config.model.backbone != "nano":
        check_backbone_name(config.model.backbone)
        return None
    return sum(parameter.numel() for _, parameter in build_objective(config).named_parameters())
