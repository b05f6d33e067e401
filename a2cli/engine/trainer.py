"""The training loop: one loop for the autoencoder, the base and the experts.

What is trained is an `Objective`; sample order and noise are functions of (seed, step), so a run that is
stopped and resumed continues as if nothing had happened.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from a2cli.config.load import dump_yaml
from a2cli.engine.checkpoint import (
    find_latest,
    flatten_optimizer,
    load_checkpoint,
    restore_optimizer,
    save_checkpoint,
)
from a2cli.engine.optim import Ema, build_optimizers, get_lr_scale
from a2cli.engine.train_config import TrainConfig
from a2cli.errors import A2Error, CheckpointError

Progress = Callable[[int, int, dict[str, float]], None]


class Objective(Protocol):
    """What a run optimises."""

    def named_parameters(self) -> list[tuple[str, nn.Parameter]]:
        """List the trained parameters under stable names."""

    def batches(self, start: int) -> Iterator[Any]:
        """Yield the batch of every step from `start` on."""

    def loss(self, batch: Any, step: int) -> tuple[torch.Tensor, dict[str, float]]:
        """Compute the loss of one batch and figures for the log."""

    def save(self, folder: Path) -> None:
        """Write the trained part in its public format."""


class Trainer:
    """Runs an objective for `config.steps` optimizer steps in the run folder `config.output_dir`."""

    def __init__(self, config: TrainConfig, objective: Objective) -> None:
        self.config = config
        self.objective = objective
        self.run = Path(config.output_dir)
        self.named = objective.named_parameters()
        self.optimizers = build_optimizers(self.named, config.optimizer)
        self.ema = Ema(self.named, config.optimizer.ema) if config.optimizer.ema else None
        self.step = 0

    def resume(self, folder: Path | None = None) -> int:
        """Continue from a checkpoint, the newest complete one by default; returns the step reached."""
        folder = folder or find_latest(self.run)
        if folder is None:
            return 0
        tensors, state = load_checkpoint(folder)
        for name, parameter in self.named:
            if f"model.{name}" not in tensors:
                raise CheckpointError(f"{folder}: tensor model.{name} is missing")
            parameter.data.copy_(tensors[f"model.{name}"])
            if self.ema:
                self.ema.shadow[name].copy_(tensors[f"ema.{name}"])
        for i, optimizer in enumerate(self.optimizers):
            restore_optimizer(optimizer, tensors, f"optimizer{i}")
        self.step = int(state["step"])
        return self.step

    def train(self, progress: Progress | None = None) -> None:
        """Train to the last step, writing metrics and checkpoints on the way.

        Raises `A2Error` when the loss stops being finite, before anything is saved.
        """
        self.run.mkdir(parents=True, exist_ok=True)
        (self.run / "config.yaml").write_text(dump_yaml(self.config), encoding="utf-8")
        batches = self.objective.batches(self.step)
        began, first = time.monotonic(), self.step
        with open(self.run / "metrics.jsonl", "a", encoding="utf-8") as metrics:
            while self.step < self.config.steps:
                figures = self._advance(next(batches))
                self.step += 1
                if self.step % self.config.log_every == 0 or self.step == self.config.steps:
                    figures["steps_per_s"] = (self.step - first) / (time.monotonic() - began)
                    metrics.write(json.dumps({"step": self.step, **figures}) + "\n")
                    metrics.flush()
                    if progress:
                        progress(self.step, self.config.steps, figures)
                if self.step % self.config.save_every == 0 or self.step == self.config.steps:
                    self.save()

    def _advance(self, batch: Any) -> dict[str, float]:
        scale = get_lr_scale(self.step, self.config.steps, self.config.optimizer)
        torch.manual_seed(self.config.seed * 1_000_003 + self.step)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.config.precision == "bf16"):
            loss, figures = self.objective.loss(batch, self.step)
        if not torch.isfinite(loss):
            raise A2Error(f"the loss is {loss.item()} at step {self.step}", hint="lower optimizer.lr; nothing was saved")
        loss.backward()
        parameters = [p for _, p in self.named]
        norm = nn.utils.clip_grad_norm_(parameters, self.config.optimizer.max_grad_norm)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.config.optimizer.lr * scale
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if self.ema:
            self.ema.update(self.step)
        return {"loss": loss.item(), "grad_norm": float(norm), "lr": self.config.optimizer.lr * scale, **figures}

    def save(self) -> None:
        """Write a checkpoint, keep the newest two, and refresh the result folder with the averaged weights."""
        tensors = {f"model.{name}": p for name, p in self.named}
        if self.ema:
            tensors |= {f"ema.{name}": value for name, value in self.ema.shadow.items()}
        for i, optimizer in enumerate(self.optimizers):
            tensors |= flatten_optimizer(optimizer, f"optimizer{i}")
        save_checkpoint(self.run / "checkpoints" / f"step-{self.step}", tensors, {"step": self.step})
        self._prune(keep=2)
        if self.ema:
            self.ema.swap()
        try:
            self.objective.save(self.run)
        finally:
            if self.ema:
                self.ema.swap()

    def _prune(self, keep: int) -> None:
        import shutil

        found = sorted((self.run / "checkpoints").glob("step-*"), key=lambda p: int(p.name[5:]))
        for folder in found[:-keep]:
            shutil.rmtree(folder, ignore_errors=True)
