"""Rows of the table that are trained before they edit: an ablation, a hold-out."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from a2cli.config.load import load_config
from a2cli.errors import ConfigError
from a2cli.evaluation.config import MethodConfig
from a2cli.files import show_name

if TYPE_CHECKING:
    from a2cli.training.config import TrainConfig
    from a2cli.training.trainer import Progress

FOLDER, ADAPTER, REPORT = "train", "adapter", "report.html"
FREE = ("precision", "trackers")  # a run resolves the one, and the other changes no weight


def train_first(config: MethodConfig, out: Path, progress: Progress | None = None) -> MethodConfig:
    """Make the adapter of a method that trains first; the method's settings with the adapter in `train`'s place.

    The run lies in `out`/train/NAME. It goes on where it was stopped, and one that is finished is not touched. It
    starts from the model that the method edits with, whatever its file names. A method without `train` comes back as
    it is. Raises `ConfigError` for a training that makes no adapter and for a folder that holds a run with other
    settings, and whatever a training raises.
    """
    if config.train is None:
        return config
    run = out / FOLDER / config.name
    overrides = get_overrides(config, run)
    wanted = load_training(config, overrides)
    _check_same(run, wanted)
    if not is_finished(run, wanted):
        from a2cli.training.run import run_train

        run_train(config.train.config, overrides, resume="auto", progress=progress)
    return replace(config, train=None, adapter=str(run / ADAPTER))


def get_overrides(config: MethodConfig, run: Path) -> tuple[str, ...]:
    """All KEY=VALUE changes of a method's training: its own, then the method's model and the run's folder."""
    assert config.train is not None
    return (
        *config.train.overrides,
        f"model.backbone={json.dumps(config.backbone)}",
        f"model.path={json.dumps(config.model)}",
        f"output_dir={json.dumps(str(run))}",
    )


def load_training(config: MethodConfig, overrides: tuple[str, ...]) -> TrainConfig:
    """The training a method asks for, read and checked; nothing is loaded but its settings."""
    from a2cli.training.config import TrainConfig

    assert config.train is not None
    try:
        wanted = load_config(TrainConfig, config.train.config, overrides)
    except ConfigError as error:
        raise ConfigError(f"methods.{config.name}: {error.message}", hint=error.hint) from error
    if wanted.model.train not in ("mot", "lora", "region"):
        raise ConfigError(
            f"methods.{config.name}: {config.train.config} trains {wanted.model.train}, which makes no adapter",
            hint="model.train: mot, lora or region",
        )
    return wanted


def is_finished(run: Path, wanted: TrainConfig) -> bool:
    """Whether a run has made its last step, its adapter, and the report that comes after both."""
    from a2cli.training.checkpoint import find_latest

    latest = find_latest(run)
    return (
        latest is not None
        and latest.name == f"step-{wanted.steps}"
        and any((run / ADAPTER).glob("*.safetensors"))
        and (run / REPORT).is_file()
    )


def _check_same(run: Path, wanted: TrainConfig) -> None:
    """Refuse to go on with, or to take for finished, a run that was asked for differently."""
    file = run / "config.yaml"
    if not file.is_file():
        return
    there = load_config(type(wanted), file)
    for name in (field.name for field in fields(wanted) if field.name not in FREE):
        if getattr(there, name) != getattr(wanted, name):
            raise ConfigError(
                f"{show_name(str(run))}: trained with other settings: {name}",
                hint="remove that folder to train anew, or name another -o",
            )
