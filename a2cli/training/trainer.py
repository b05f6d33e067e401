"""The training loop: one loop for the autoencoder, the base and the experts.

What is trained is an `Objective`; sample order and noise are functions of (seed, step), so a run that is
stopped and resumed continues as if nothing had happened.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from a2cli.config.load import dump_yaml
from a2cli.errors import A2Error, CheckpointError, ConfigError
from a2cli.files import make_folder, write_bytes
from a2cli.training.checkpoint import (
    find_latest,
    flatten_optimizer,
    list_checkpoints,
    load_checkpoint,
    restore_optimizer,
    save_checkpoint,
)
from a2cli.training.config import TrainConfig
from a2cli.training.optim import Ema, build_optimizers, get_lr_scale
from a2cli.training.precision import has_bfloat16

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
        half = has_bfloat16() if config.precision == "auto" else config.precision == "bf16"
        self.config = replace(config, precision="bf16" if half else "fp32")  # as config.yaml will say
        self.objective = objective
        self.run = Path(config.output_dir)
        self.named = objective.named_parameters()
        self.optimizers = build_optimizers(self.named, config.optimizer)
        self.ema = Ema(self.named, config.optimizer.ema) if config.optimizer.ema else None
        self.step = 0
        self.half = half

    def resume(self, folder: Path | None = None) -> int:
        """Continue from a checkpoint, the newest by default; returns the step reached.

        Raises `CheckpointError` naming a missing file, or a tensor that is missing or of another shape.
        """
        folder = folder or find_latest(self.run)
        if folder is None:
            return 0
        tensors, state = load_checkpoint(folder)
        wanted = {f"model.{name}": parameter.data for name, parameter in self.named}
        if self.ema:
            wanted |= {f"ema.{name}": value for name, value in self.ema.shadow.items()}
        for name, value in wanted.items():
            if name not in tensors:
                raise CheckpointError(f"{folder}: tensor {name} is missing")
            if tensors[name].shape != value.shape:
                found = tuple(tensors[name].shape)
                raise CheckpointError(f"{folder}: tensor {name} has shape {found}, not {tuple(value.shape)}")
        try:
            for i, optimizer in enumerate(self.optimizers):
                restore_optimizer(optimizer, tensors, f"optimizer{i}")
        except CheckpointError as error:
            raise CheckpointError(f"{folder}: {error.message}", hint=error.hint) from error
        for name, value in wanted.items():
            value.copy_(tensors[name])
        self.step = state["step"]
        return self.step

    def train(self, progress: Progress | None = None) -> None:
        """Train to the last step, writing metrics and checkpoints on the way.

        Raises `A2Error` when loss or gradient stop being finite, before anything is saved, and `ConfigError`
        for a folder that cannot be written or that holds another run's checkpoints.
        """
        if self.step == 0 and find_latest(self.run):
            raise ConfigError(
                f"{self.run}: holds the checkpoints of a run",
                hint="--resume auto goes on with it; output_dir=FOLDER starts another",
            )
        make_folder(self.run, error=ConfigError)
        write_bytes(dump_yaml(self.config).encode(), self.run / "config.yaml")
        self._forget_metrics()
        if self.step >= self.config.steps:  # stopped between the last checkpoint and its result
            self._save_result()
            return
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
        # On CPUs the plain product beats the fused bf16 kernel at these lengths: 1.8x, forward and backward; in
        # float32 it is the other way round.
        with (
            torch.autocast("cpu", torch.bfloat16, enabled=self.half),
            sdpa_kernel(SDPBackend.MATH) if self.half else nullcontext(),
        ):
            loss, figures = self.objective.loss(batch, self.step)
        if not torch.isfinite(loss):
            raise A2Error(
                f"the loss is {loss.item()} at step {self.step}", hint="lower optimizer.lr; nothing was saved"
            )
        loss.backward()
        parameters = [p for _, p in self.named]
        norm = nn.utils.clip_grad_norm_(parameters, self.config.optimizer.max_grad_norm)
        if not torch.isfinite(norm):
            raise A2Error(
                f"the gradient is {norm.item()} at step {self.step}",
                hint="lower optimizer.lr; nothing was saved",
            )
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.config.optimizer.lr * scale
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if self.ema:
            self.ema.update(self.step)
        return {
            "loss": loss.item(),
            "grad_norm": float(norm),
            "lr": self.config.optimizer.lr * scale,
            **figures,
        }

    def save(self) -> None:
        """Write a checkpoint, keep the newest two, and refresh the result folder with the averaged weights."""
        tensors: dict[str, torch.Tensor] = {f"model.{name}": p.detach() for name, p in self.named}
        if self.ema:
            tensors |= {f"ema.{name}": value for name, value in self.ema.shadow.items()}
        for i, optimizer in enumerate(self.optimizers):
            tensors |= flatten_optimizer(optimizer, f"optimizer{i}")
        save_checkpoint(self.run / "checkpoints" / f"step-{self.step}", tensors, {"step": self.step})
        self._prune(keep=2)
        self._save_result()

    def _save_result(self) -> None:
        if self.ema:
            self.ema.swap()
        try:
            self.objective.save(self.run)
        finally:
            if self.ema:
                self.ema.swap()

    def _forget_metrics(self) -> None:
        """Drop the log's rows of steps after the checkpoint: they are made again."""
        path = self.run / "metrics.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
        kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= self.step]
        if kept != lines:
            write_bytes("".join(kept).encode(), path)

    def _prune(self, keep: int) -> None:
        for folder in list_checkpoints(self.run)[:-keep]:
            gone = folder.with_name(f".{folder.name}.old.tmp")  # renamed first: never seen half deleted
            folder.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)
