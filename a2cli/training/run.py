"""`a2 train` without its console: read the config, pick the objective, run the loop."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from a2cli.config.load import load_config
from a2cli.errors import ConfigError
from a2cli.training.checkpoint import check_output
from a2cli.training.config import WHOLE, TrainConfig
from a2cli.training.report import build_report
from a2cli.training.trainer import Objective, Progress, Trainer, uses_half


def run_train(
    config_path: str,
    overrides: Sequence[str] = (),
    *,
    resume: str | None = None,
    progress: Progress | None = None,
) -> Path | None:
    """Train as a config file says; returns the run folder, None in processes that write nothing.

    `resume` is a checkpoint folder or "auto" for the newest complete one. Raises `A2Error` with a cause.
    """
    config = load_config(TrainConfig, config_path, overrides)
    check_launch(config)
    checkpoint = check_output(Path(config.output_dir), resume)  # before a base is loaded or a pair encoded
    trainer = Trainer(config, build_objective(config))
    if checkpoint:
        trainer.resume(checkpoint)
    main = trainer.processes.main
    trainer.train(progress if main else None)
    if main:
        build_report(trainer.run)
    return trainer.run if main else None


def build_objective(config: TrainConfig) -> Objective:
    """Make what `config.model.train` names."""
    if config.model.train == "vae":
        from a2cli.training.objectives.vae import VaeObjective

        return VaeObjective(config)
    if config.model.train == "text":
        from a2cli.training.objectives.text import TextObjective

        return TextObjective(config, half=uses_half(config))
    if config.model.train == "region":
        from a2cli.training.objectives.region import RegionObjective

        return RegionObjective(config, half=uses_half(config))
    if config.grounding is not None:
        from a2cli.training.objectives.grounding import GroundedObjective

        return GroundedObjective(config, half=uses_half(config))
    from a2cli.training.objectives.edit import EditObjective

    return EditObjective(config, half=uses_half(config))


def check_launch(config: TrainConfig) -> None:
    """Refuse what cannot be spread over devices the way `accelerate launch` asks for; raises ConfigError."""
    if os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() == "true":
        raise ConfigError("DeepSpeed is not supported", hint="configs/accelerate/fsdp2.yaml spreads the base")
    if os.environ.get("ACCELERATE_USE_FSDP", "false").lower() != "true":
        return
    for wrong, what, hint in (
        (config.model.train in (*WHOLE, "region"), f"model.train: {config.model.train}", "train it with DDP"),
        (config.optimizer.name != "adamw", f"optimizer.name: {config.optimizer.name}", "adamw"),
        (config.model.quantize is not None, f"model.quantize: {config.model.quantize}", "FSDP or fewer bits"),
    ):
        if wrong:
            raise ConfigError(f"{what} cannot be sharded by FSDP", hint=hint)
