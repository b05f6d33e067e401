"""`a2 train` without its console: read the config, pick the objective, run the loop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from a2cli.config.load import load_config
from a2cli.training.config import TrainConfig
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
    trainer = Trainer(config, build_objective(config))
    if resume:
        trainer.resume(None if resume == "auto" else Path(resume))
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
    from a2cli.training.objectives.edit import EditObjective

    return EditObjective(config, half=uses_half(config))
