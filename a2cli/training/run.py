"""`a2 train` without its console: read the config, pick the objective, run the loop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from a2cli.config.load import load_config
from a2cli.training.config import TrainConfig
from a2cli.training.trainer import Objective, Progress, Trainer


def run_train(
    config_path: str,
    overrides: Sequence[str] = (),
    *,
    resume: str | None = None,
    progress: Progress | None = None,
) -> Path:
    """Train as a config file says; returns the run folder.

    `resume` is a checkpoint folder or "auto" for the newest complete one. Raises `A2Error` with a cause.
    """
    config = load_config(TrainConfig, config_path, overrides)
    trainer = Trainer(config, _build_objective(config))
    if resume:
        trainer.resume(None if resume == "auto" else Path(resume))
    trainer.train(progress)
    return trainer.run


def _build_objective(config: TrainConfig) -> Objective:
    if config.model.train == "vae":
        from a2cli.training.objectives.vae import VaeObjective

        return VaeObjective(config)
    from a2cli.training.objectives.edit import EditObjective

    return EditObjective(config)
