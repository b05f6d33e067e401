"""The training loop on an objective of four numbers: resuming, stopping on NaN, what is written when."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from a2cli.errors import A2Error, CheckpointError, ConfigError
from a2cli.training.checkpoint import load_checkpoint
from a2cli.training.config import ModelConfig, OptimizerConfig, TrainConfig
from a2cli.training.trainer import Trainer


class Fit:
    """Fit a line; batch and noise follow the step alone, as the protocol asks."""

    def __init__(self, size: int = 3, *, break_at: int = -1, infinite_at: int = -1) -> None:
        torch.manual_seed(0)
        self.line = nn.Linear(size, 1)
        self.break_at, self.infinite_at = break_at, infinite_at
        self.saved: list[torch.Tensor] = []

    def named_parameters(self) -> list[tuple[str, nn.Parameter]]:
        return list(self.line.named_parameters())

    def batches(self, start: int) -> Iterator[torch.Tensor]:
        step = start
        while True:
            yield torch.randn(4, self.line.in_features, generator=torch.Generator().manual_seed(step))
            step += 1

    def loss(self, batch: torch.Tensor, step: int) -> tuple[torch.Tensor, dict[str, float]]:
        loss = (self.line(batch + torch.randn_like(batch)) - batch.sum(1, keepdim=True)).square().mean()
        if step == self.break_at:
            loss = loss * float("nan")
        if step == self.infinite_at:  # a finite loss whose gradient is not
            loss = loss + torch.sqrt(self.line.weight * 0).sum()
        return loss, {"rows": float(len(batch))}

    def save(self, folder: Path) -> None:
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
        optimizer=OptimizerConfig(lr=0.05, warmup=2, ema=0.9),
    )
    return replace(config, **changes)


def read_metrics(folder: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "steps_per_s"} for row in rows]


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
    assert trainer.half == (used == "bf16")
    assert f"precision: {used}\n" in (tmp_path / "config.yaml").read_text()


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
    assert state == {"step": 6} and len(fit.saved) == 3
    assert torch.equal(fit.saved[-1], tensors["ema.weight"])
    assert torch.equal(fit.line.weight, tensors["model.weight"])
    assert not torch.equal(tensors["ema.weight"], tensors["model.weight"])
    names = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-4", "step-6"]
    assert [row["step"] for row in read_metrics(tmp_path)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("fit", "message"),
    [(Fit(break_at=3), "the loss is nan at step 3"), (Fit(infinite_at=3), "the gradient is")],
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
