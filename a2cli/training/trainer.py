"""The training loop: one loop for the autoencoder, the base, and adapters of every kind.

What is trained is an `Objective`; sample order and noise are functions of (seed, sample), so a run that is
stopped and resumed continues as if nothing had happened, in one process or many.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from a2cli.config.load import dump_yaml
from a2cli.errors import A2Error, CheckpointError, ConfigError
from a2cli.files import lock_folder, make_folder, write_bytes
from a2cli.training.checkpoint import (
    discard_newer,
    find_latest,
    flatten_optimizer,
    load_checkpoint,
    prune_checkpoints,
    restore_optimizer,
    save_checkpoint,
)
from a2cli.training.config import WHOLE, TrainConfig
from a2cli.training.loading import iterate_batches
from a2cli.training.log import MetricsLog, choose_trackers
from a2cli.training.optim import Ema, build_optimizers, get_lr_scale
from a2cli.training.precision import has_bfloat16
from a2cli.training.processes import Processes, get_whole, put_whole
from a2cli.training.schedule import get_samples, get_seed
from a2cli.training.stopping import StopRequest
from a2cli.training.usage import save_usage

Progress = Callable[[int, int, dict[str, Any]], None]


class Objective(Protocol):
    """What a run optimises. Every process holds one."""

    modules: nn.ModuleDict
    """What `loss` trains, and what is sharded with it."""

    def place(self, processes: Processes) -> None:
        """Move what is used but not in `modules` to the device; called once, before anything else."""

    def get_units(self) -> Sequence[nn.Module]:
        """List the modules that are sharded one by one."""

    def named_parameters(self) -> list[tuple[str, nn.Parameter]]:
        """List the trained parameters under stable names."""

    def get_group(self, name: str) -> str:
        """Name the group of a trained parameter; the gradients of a group are clipped together, groups apart."""

    def make_batch(self, step: int, samples: Sequence[int]) -> dict[str, Any]:
        """Make a micro-batch in a loader process: a function of the step and the samples' numbers alone."""

    def count(self, batch: dict[str, Any]) -> float:
        """Weigh a micro-batch: what its error is a mean over."""

    def loss(
        self, batch: dict[str, Any], total: float, seeds: Sequence[int]
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """Compute the error of a micro-batch summed, over `total`, and figures for the log.

        `seeds`, one a sample, are all its randomness comes from.
        """

    def describe(self, step: int) -> dict[str, Any]:
        """Say where in its curriculum a step lies, for the log."""

    def sample(self, folder: Path | None, step: int) -> dict[str, float]:
        """Edit the fixed triplets and save a grid (None: only take part); returns figures for the log."""

    def is_turn(self, step: int) -> bool:
        """Whether a stage ends with this step."""

    def gather_usage(self, processes: Processes, step: int) -> dict[str, Any] | None:
        """Sum up over the processes what experts did since the last call, where there are any."""

    def save(self, folder: Path | None) -> None:
        """Write the trained part in its public format (None: only take part in gathering it)."""


class Trainer:
    """Runs an objective for `config.steps` optimizer steps in the run folder `config.output_dir`."""

    def __init__(self, config: TrainConfig, objective: Objective) -> None:
        half = uses_half(config)
        self.config = replace(config, precision="bf16" if half else "fp32")  # as config.yaml will say
        self.objective, self.run, self.step = objective, Path(config.output_dir), 0
        self.processes = Processes(
            cpu=config.device == "cpu",
            autocast=half and uses_float_base(config),
            gradient_accumulation=config.gradient_accumulation,
            idle=config.model.train in (*WHOLE, "region"),
            trackers=choose_trackers(config.trackers),
            folder=config.output_dir,
        )
        self._prepare()

    def _prepare(self) -> None:
        processes, objective, config = self.processes, self.objective, self.config
        objective.place(processes)
        if not processes.sharded:  # sharding places the modules itself, a shard at a time
            objective.modules.to(processes.device)
        optimizers = build_optimizers(objective.named_parameters(), config.optimizer)
        self.wrapped, self.optimizers = processes.wrap(objective.modules, optimizers, objective.get_units())
        self.named = objective.named_parameters()  # sharding puts others in their place
        self.ema = Ema(self.named, config.optimizer.ema) if config.optimizer.ema else None
        self.batch = config.data.batch_size * config.gradient_accumulation * processes.count

    def resume(self, folder: Path | None = None) -> int:
        """Continue from a checkpoint, the newest by default; returns the step reached.

        Raises `CheckpointError` naming a missing file, a tensor that is missing or of another shape, and for a
        checkpoint of another seed or batch size, with which the run would not be one run.
        """
        folder = folder or find_latest(self.run)
        if folder is None:
            return 0
        tensors, state = load_checkpoint(folder)
        for name, now, hint in (
            ("seed", self.config.seed, "keep the seed"),
            ("batch", self.batch, "keep data.batch_size x gradient_accumulation x processes"),
        ):
            if state.get(name, now) != now:
                raise CheckpointError(
                    f"{folder}: made with {name} {state[name]}, this run has {now}", hint=hint
                )
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
                restore_optimizer(optimizer.optimizer, tensors, f"optimizer{i}")
        except CheckpointError as error:
            raise CheckpointError(f"{folder}: {error.message}", hint=error.hint) from error
        for name, value in wanted.items():
            put_whole(value, tensors[name])
        if state["step"] > self.config.steps:
            raise CheckpointError(
                f"{folder}: has {state['step']} steps, this run asks for {self.config.steps}",
                hint="raise steps",
            )
        self.step = state["step"]
        return self.step

    def train(self, progress: Progress | None = None) -> None:
        """Train to the last step, writing metrics, samples and checkpoints on the way.

        On SIGINT or SIGTERM the step is finished and saved first. Raises `A2Error` when loss or gradient stop
        being finite, before anything is saved, and `ConfigError` for a folder that cannot be written or that
        holds another run's checkpoints.
        """
        if self.step == 0 and find_latest(self.run):
            raise ConfigError(
                f"{self.run}: holds the checkpoints of a run",
                hint="--resume auto goes on with it; output_dir=FOLDER starts another",
            )
        main = self.processes.main
        with ExitStack() as stack:
            if main:
                make_folder(self.run, error=ConfigError)
                stack.enter_context(lock_folder(self.run))
                discard_newer(self.run, self.step)
                write_bytes(dump_yaml(self.config).encode(), self.run / "config.yaml", error=ConfigError)
            self.processes.wait()
            stack.callback(self.processes.accelerator.end_training)
            if self.step == self.config.steps:  # stopped between the last checkpoint and its result
                self._save_result()
                self.processes.wait()
                return
            log = stack.enter_context(closing(MetricsLog(self.run, self.step))) if main else None
            self.processes.accelerator.init_trackers("a2")
            stop = stack.enter_context(StopRequest())
            self.wrapped.train()
            self._loop(stop, log, progress)
            self.processes.wait()  # nobody leaves while another still talks

    def _loop(self, stop: StopRequest, log: MetricsLog | None, progress: Progress | None) -> None:
        config = self.config
        batches = self._load_batches()
        spent, first = 0.0, self.step  # of optimizer steps alone, since the last row of the log
        while self.step < config.steps:
            began = time.monotonic()
            micro = [next(batches) for _ in range(config.gradient_accumulation)]
            figures, stopped = self._advance(micro, stop)
            self.step += 1
            spent += time.monotonic() - began
            last = self.step == config.steps
            if self._samples_due():
                self.wrapped.eval()
                with self._averaged():
                    figures |= self.wrapped(
                        self.objective.sample, self.run if self.processes.main else None, self.step
                    )
                self.wrapped.train()
            if self.step % config.log_every == 0 or last or stopped:
                row = {"step": self.step, **self.objective.describe(self.step - 1), **figures}
                row["samples_per_s"] = (self.step - first) * self.batch / spent
                spent, first = 0.0, self.step
                if log:
                    log.write(row)
                self.processes.accelerator.log(
                    {k: v for k, v in row.items() if isinstance(v, float)}, step=self.step
                )
                if progress:
                    progress(self.step, config.steps, {k: v for k, v in row.items() if k != "step"})
            if self.step % config.save_every == 0 or last or stopped:
                self.save()
            if stopped:
                stop.number = stopped
                stop.leave()

    def _samples_due(self) -> bool:
        every = self.config.sample_every
        return bool(every) and (
            self.step % every == 0 or self.step == self.config.steps or self.objective.is_turn(self.step - 1)
        )

    def _load_batches(self) -> Iterator[dict[str, Any]]:
        config, accumulation = self.config, self.config.gradient_accumulation
        rank, processes = self.processes.rank, self.processes.count

        def make(number: int) -> dict[str, Any]:
            step, micro = divmod(number, accumulation)
            samples = get_samples(
                step,
                micro,
                batch_size=config.data.batch_size,
                accumulation=accumulation,
                rank=rank,
                processes=processes,
            )
            return {"samples": list(samples), **self.objective.make_batch(step, samples)}

        return iterate_batches(
            make,
            self.step * accumulation,
            config.steps * accumulation,
            config.data.workers,
            pin=self.processes.device.type == "cuda",
        )

    def _advance(self, micro: list[dict[str, Any]], stop: StopRequest) -> tuple[dict[str, Any], int]:
        """One optimizer step; returns its figures and the signal any process has received (0: none)."""
        scale = get_lr_scale(self.step, self.config.steps, self.config.optimizer)
        lr = self.config.optimizer.lr * scale
        # A mean over all samples of the step, however they are spread: weights first, then the sum of errors.
        total = self.processes.sum(sum(self.objective.count(batch) for batch in micro))
        loss, figures = 0.0, dict[str, float]()
        for number, batch in enumerate(micro):
            value, parts = self._backward(batch, number, total)
            loss += value
            for name, part in parts.items():
                figures[name] = figures.get(name, 0.0) + part / len(micro)
        norm = self._clip()
        names = sorted(figures)
        means = self.processes.mean([loss, float(stop.number), *(figures[name] for name in names)])
        loss, stopped = means[0], means[1]
        for what, value in (("loss", loss), ("gradient", norm)):
            if not torch.isfinite(torch.tensor(value)):
                raise A2Error(
                    f"the {what} is {value} at step {self.step + 1}",
                    hint="lower optimizer.lr; nothing was saved since",
                )
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if self.ema:
            self.ema.update(self.step)
        row = {"loss": loss, "grad_norm": norm, "lr": lr, **dict(zip(names, means[2:], strict=True))}
        return row, round(stopped * self.processes.count) and (stop.number or 15)

    def _clip(self) -> float:
        """Clip the gradients of each group; returns the norm of all of them before."""
        groups: dict[str, list[nn.Parameter]] = {}
        for name, parameter in self.named:
            groups.setdefault(self.objective.get_group(name), []).append(parameter)
        most, clip = self.config.optimizer.max_grad_norm, self.processes.accelerator.clip_grad_norm_
        return math.hypot(*(float(get_whole(clip(group, most))) for group in groups.values()))

    def _backward(self, batch: dict[str, Any], number: int, total: float) -> tuple[float, dict[str, float]]:
        config, processes = self.config, self.processes
        samples: list[int] = batch["samples"]
        seeds = [get_seed(config.seed, 13, sample) for sample in samples]
        torch.manual_seed(get_seed(config.seed, 17, samples[0]))  # for layers that draw, such as dropout
        # Gradients are averaged over processes and micro-batches; `total` counts them all.
        spread = total / (processes.count * config.gradient_accumulation)
        with processes.accumulate(self.wrapped, number):
            loss, figures = self.wrapped(self.objective.loss, batch, spread, seeds)
            processes.accelerator.backward(loss)
        return loss.item() / config.gradient_accumulation, figures

    def save(self) -> None:
        """Write a checkpoint, keep the newest few, and refresh the result folder with the averaged weights."""
        # On the CPU one by one: gathered shards of everything at once would not fit where one of them does.
        tensors = {f"model.{name}": get_whole(p.detach()).cpu() for name, p in self.named}
        if self.ema:
            tensors |= {f"ema.{name}": get_whole(value).cpu() for name, value in self.ema.shadow.items()}
        for i, optimizer in enumerate(self.optimizers):
            tensors |= flatten_optimizer(optimizer.optimizer, f"optimizer{i}")
        if self.processes.main:
            state = {"step": self.step, "seed": self.config.seed, "batch": self.batch}
            save_checkpoint(self.run / "checkpoints" / f"step-{self.step}", tensors, state)
            prune_checkpoints(self.run, keep=self.config.keep_checkpoints)
        usage = self.objective.gather_usage(self.processes, self.step)
        if usage and self.processes.main:
            save_usage(usage, self.run)
        self._save_result()
        self.processes.wait()

    def _save_result(self) -> None:
        with self._averaged():
            self.objective.save(self.run if self.processes.main else None)

    def _averaged(self) -> Any:
        return self.ema.applied() if self.ema else nullcontext()


def uses_half(config: TrainConfig) -> bool:
    """Whether a run computes in bf16: as it says, or where the device multiplies bfloat16 itself."""
    if config.precision != "auto":
        return config.precision == "bf16"
    return (config.device == "auto" and torch.cuda.is_available()) or has_bfloat16()


def uses_float_base(config: TrainConfig) -> bool:
    """Whether the base is float32 and needs autocast to compute in bf16; one that is loaded frozen is bf16 itself."""
    return config.model.backbone == "nano" and config.model.quantize is None
