"""The training loop on an objective of four numbers: resuming, stopping on NaN, what is written when."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from a2cli.errors import A2Error, CheckpointError, ConfigError
from a2cli.files import lock_folder
from a2cli.training.checkpoint import load_checkpoint
from a2cli.training.config import DataConfig, ModelConfig, OptimizerConfig, TrainConfig
from a2cli.training.processes import Processes
from a2cli.training.trainer import Trainer


class Fit:
    """Fit a line; batch and noise follow the samples' numbers and seeds alone, as the protocol asks."""

    def __init__(self, size: int = 3, *, break_at: int = -1, infinite_at: int = -1) -> None:
        torch.manual_seed(0)
        self.line = nn.Linear(size, 1)
        self.modules = nn.ModuleDict({"line": self.line})
        self.break_at, self.infinite_at = break_at, infinite_at
        self.saved: list[torch.Tensor] = []
        self.sampled: list[int] = []
        self.seen: list[int] = []

    def place(self, processes: Processes) -> None:
        assert processes.count == 1

    def get_units(self) -> list[nn.Module]:
        return [self.line]

    def named_parameters(self) -> list[tuple[str, nn.Parameter]]:
        return list(self.line.named_parameters())

    def make_batch(self, step: int, samples: Sequence[int]) -> dict[str, Any]:
        rows = [
            torch.randn(self.line.in_features, generator=torch.Generator().manual_seed(sample))
            for sample in samples
        ]
        return {"rows": torch.stack(rows), "step": step}

    def count(self, batch: dict[str, Any]) -> float:
        return float(len(batch["rows"]))

    def loss(
        self, batch: dict[str, Any], total: float, seeds: Sequence[int]
    ) -> tuple[torch.Tensor, dict[str, float]]:
        self.seen += batch["samples"]
        rows, step = batch["rows"], batch["step"]
        noise = torch.stack(
            [torch.randn(rows.shape[1], generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        )
        loss = (self.line(rows + noise) - rows.sum(1, keepdim=True)).square().sum() / total
        if step == self.break_at:
            loss = loss * float("nan")
        if step == self.infinite_at:  # a finite loss whose gradient is not
            loss = loss + torch.sqrt(self.line.weight * 0).sum()
        return loss, {"rows": float(len(rows))}

    def get_group(self, name: str) -> str:
        return ""

    def describe(self, step: int) -> dict[str, Any]:
        return {"stage": "fine" if step < 4 else "box"}

    def is_turn(self, step: int) -> bool:
        return step == 3

    def sample(self, folder: Path | None, step: int) -> dict[str, float]:
        assert folder is not None and not self.line.training
        self.sampled.append(step)
        return {"val_mae": float(step)}

    def gather_usage(self, processes: Processes, step: int) -> None:
        return None

    def save(self, folder: Path | None) -> None:
        assert folder is not None
        self.saved.append(self.line.weight.detach().clone())
        (folder / "result.json").write_text(json.dumps(self.line.weight.tolist()))


def get_config(folder: Path, **changes: Any) -> TrainConfig:
    config = TrainConfig(
        model=ModelConfig("base"),
        output_dir=str(folder),
        steps=6,
        save_every=2,
        log_every=1,
        precision="fp32",
        trackers=(),
        data=DataConfig(batch_size=4, workers=0),
        optimizer=OptimizerConfig(lr=0.05, warmup=2, ema=0.9),
    )
    return replace(config, **changes)


def read_metrics(folder: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "samples_per_s"} for row in rows]


def stop_at(step: int) -> Any:
    def progress(done: int, total: int, figures: dict[str, float]) -> None:
        assert total == 6 and figures["rows"] == 4
        if done == step:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize(
    ("asked", "fast", "used"),
    [("auto", True, "bf16"), ("auto", False, "fp32"), ("fp32", True, "fp32"), ("bf16", False, "bf16")],
)
def test_precision_is_resolved_and_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: Any, fast: bool, used: str
) -> None:
    monkeypatch.setattr("a2cli.training.trainer.has_bfloat16", lambda: fast)
    trainer = Trainer(get_config(tmp_path, precision=asked, steps=1), Fit())
    trainer.train()
    assert trainer.processes.autocast == (used == "bf16")
    assert f"precision: {used}\n" in (tmp_path / "config.yaml").read_text()


def test_accumulated_micro_batches_equal_one_batch(tmp_path: Path) -> None:
    whole, parts = Fit(), Fit()
    Trainer(get_config(tmp_path / "whole"), whole).train()
    small = DataConfig(batch_size=1, workers=0)
    Trainer(get_config(tmp_path / "parts", data=small, gradient_accumulation=4), parts).train()
    torch.testing.assert_close(whole.line.weight, parts.line.weight, rtol=1e-5, atol=1e-6)
    assert whole.seen == parts.seen == list(range(24))
    for one, two in zip(*(read_metrics(tmp_path / name) for name in ("whole", "parts")), strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=1e-5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_the_step_saves_and_leaves(tmp_path: Path, number: signal.Signals) -> None:
    class Called(Fit):
        def loss(self, batch: dict[str, Any], total: float, seeds: Sequence[int]) -> Any:
            if batch["step"] == 2:
                os.kill(os.getpid(), number)
            return super().loss(batch, total, seeds)

    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(SystemExit if number == signal.SIGTERM else KeyboardInterrupt) as caught:
        Trainer(get_config(tmp_path / "parts"), Called()).train()
    assert number != signal.SIGTERM or getattr(caught.value, "code", None) == 143
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before
    trainer = Trainer(get_config(tmp_path / "parts"), Fit())
    assert trainer.resume() == 3
    trainer.train()
    Trainer(get_config(tmp_path / "straight"), Fit()).train()
    assert read_metrics(tmp_path / "straight") == read_metrics(tmp_path / "parts")
    results = [(tmp_path / name / "result.json").read_text() for name in ("straight", "parts")]
    assert results[0] == results[1]


def test_samples_are_made_when_due_at_the_turn_and_at_the_end(tmp_path: Path) -> None:
    fit = Fit()
    Trainer(get_config(tmp_path, sample_every=5), fit).train()
    assert fit.sampled == [4, 5, 6]
    assert {r["step"]: r.get("val_mae") for r in read_metrics(tmp_path)} == {
        1: None,
        2: None,
        3: None,
        4: 4,
        5: 5,
        6: 6,
    }


def test_a_checkpoint_of_another_seed_or_batch_is_refused(tmp_path: Path) -> None:
    Trainer(get_config(tmp_path), Fit()).train()
    with pytest.raises(CheckpointError, match="made with seed 0, this run has 1"):
        Trainer(get_config(tmp_path, seed=1), Fit()).resume()
    with pytest.raises(CheckpointError, match="made with batch 4, this run has 8"):
        Trainer(get_config(tmp_path, gradient_accumulation=2), Fit()).resume()


def test_tensorboard_holds_what_the_log_holds(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    Trainer(get_config(tmp_path, trackers=("tensorboard",)), Fit()).train()
    (events,) = (tmp_path / "tensorboard").rglob("events.*")
    scalars = EventAccumulator(str(events.parent)).Reload()
    losses = [(event.step, event.value) for event in scalars.Scalars("loss")]
    assert losses == [(row["step"], pytest.approx(row["loss"], rel=1e-6)) for row in read_metrics(tmp_path)]


def test_two_runs_in_one_folder_are_refused(tmp_path: Path) -> None:
    with lock_folder(tmp_path), pytest.raises(ConfigError, match="another process is writing there"):
        Trainer(get_config(tmp_path), Fit()).train()


@pytest.mark.parametrize("stop", [1, 2, 3, 5])
def test_stopped_and_resumed_equals_straight(tmp_path: Path, stop: int) -> None:
    Trainer(get_config(tmp_path / "straight"), Fit()).train()
    with pytest.raises(KeyboardInterrupt):
        Trainer(get_config(tmp_path / "parts"), Fit()).train(stop_at(stop))
    trainer = Trainer(get_config(tmp_path / "parts"), Fit())
    assert trainer.resume() == (stop - 1) // 2 * 2
    trainer.train()
    one, two = (
        load_checkpoint(tmp_path / name / "checkpoints" / "step-6")[0] for name in ("straight", "parts")
    )
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
    assert read_metrics(tmp_path / "straight") == read_metrics(tmp_path / "parts")
    results = [(tmp_path / name / "result.json").read_text() for name in ("straight", "parts")]
    assert results[0] == results[1]


def test_the_result_holds_the_average_and_the_run_goes_on_with_the_weights(tmp_path: Path) -> None:
    fit = Fit()
    trainer = Trainer(get_config(tmp_path), fit)
    trainer.train()
    tensors, state = load_checkpoint(tmp_path / "checkpoints" / "step-6")
    assert state == {"step": 6, "seed": 0, "batch": 4} and len(fit.saved) == 3
    assert torch.equal(fit.saved[-1], tensors["ema.weight"])
    assert torch.equal(fit.line.weight, tensors["model.weight"])
    assert not torch.equal(tensors["ema.weight"], tensors["model.weight"])
    names = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-4", "step-6"]
    assert [row["step"] for row in read_metrics(tmp_path)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("fit", "message"),
    [(Fit(break_at=3), "the loss is nan at step 4"), (Fit(infinite_at=3), "the gradient is")],
)
def test_nan_stops_before_anything_is_saved(tmp_path: Path, fit: Fit, message: str) -> None:
    trainer = Trainer(get_config(tmp_path), fit)
    with pytest.raises(A2Error, match=message):
        trainer.train()
    assert trainer.step == 3 and len(fit.saved) == 1
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-2"]
    assert all(t.isfinite().all() for t in load_checkpoint(tmp_path / "checkpoints" / "step-2")[0].values())
    assert all(p.isfinite().all() for _, p in trainer.named)
    assert [row["step"] for row in read_metrics(tmp_path)] == [1, 2, 3]


def test_a_finished_run_that_lost_its_result_makes_it_again(tmp_path: Path) -> None:
    Trainer(get_config(tmp_path), Fit()).train()
    result = (tmp_path / "result.json").read_text()
    (tmp_path / "result.json").unlink()
    trainer = Trainer(get_config(tmp_path), Fit())
    assert trainer.resume() == 6
    trainer.train()
    assert (tmp_path / "result.json").read_text() == result
    assert len(read_metrics(tmp_path)) == 6


def test_a_folder_with_checkpoints_is_resumed_or_left_alone(tmp_path: Path) -> None:
    Trainer(get_config(tmp_path), Fit()).train()
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(ConfigError, match=r"holds the checkpoints of a run.*--resume auto"):
        Trainer(get_config(tmp_path), Fit()).train()
    assert before == {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}


def test_an_interrupted_log_loses_only_what_is_made_again(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        Trainer(get_config(tmp_path), Fit()).train(stop_at(3))
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 4, "lo')  # killed while writing
    trainer = Trainer(get_config(tmp_path), Fit())
    trainer.resume()
    trainer.train()
    assert [row["step"] for row in read_metrics(tmp_path)] == [1, 2, 3, 4, 5, 6]


def test_checkpoints_of_another_run_are_refused_and_change_nothing(tmp_path: Path) -> None:
    Trainer(get_config(tmp_path), Fit()).train()
    folder = tmp_path / "checkpoints" / "step-6"
    for other, optimizer, message in (
        (Fit(5), {}, r"step-6: tensor model\.weight has shape \(1, 3\), not \(1, 5\)"),
        (Fit(1), {}, r"step-6: tensor model\.weight has shape \(1, 3\), not \(1, 1\)"),
    ):
        trainer = Trainer(get_config(tmp_path / "x", **optimizer), other)
        weight = other.line.weight.detach().clone()
        with pytest.raises(CheckpointError, match=message):
            trainer.resume(folder)
        assert torch.equal(weight, other.line.weight) and trainer.step == 0
    plain = replace(get_config(tmp_path / "plain"), optimizer=OptimizerConfig(lr=0.05))
    Trainer(plain, Fit()).train()
    with pytest.raises(CheckpointError, match=r"tensor ema\.weight is missing"):
        Trainer(get_config(tmp_path), Fit()).resume(tmp_path / "plain" / "checkpoints" / "step-6")
    (folder / "state.json").unlink()
    with pytest.raises(CheckpointError, match=r"state\.json is missing"):
        Trainer(get_config(tmp_path), Fit()).resume()


def test_an_unusable_run_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file/run: cannot be made"):
        Trainer(get_config(tmp_path / "file" / "run"), Fit()).train()


def test_the_config_beside_the_run_builds_the_run_again(tmp_path: Path) -> None:
    from a2cli.config.load import load_config

    config = get_config(tmp_path)
    Trainer(config, Fit()).train()
    assert load_config(TrainConfig, tmp_path / "config.yaml") == config
