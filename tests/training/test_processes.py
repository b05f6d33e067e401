"""Runs in one process and in two: killed and resumed, replicated and sharded, the same numbers."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from runs import finish, kill_at_random, read_rows, start, write_config
from safetensors.torch import load_file

from a2cli.data.shards import write_parquet
from a2cli.training.checkpoint import find_latest, load_checkpoint
from a2cli.training.schedule import get_samples, get_seed

STEPS = 8
SHARDED = "fsdp2.yaml"


def get_mapping(model: Path, data: Path, output: Path, **changes: Any) -> dict[str, Any]:
    """Experts on the tiny model through all three stages, four samples a step."""
    mapping: dict[str, Any] = {
        "output_dir": str(output),
        "steps": STEPS,
        "seed": 3,
        "save_every": 2,
        "log_every": 1,
        "precision": "fp32",
        "trackers": [],
        "model": {"train": "mot", "path": str(model)},
        "adapter": {"num_experts": 3, "rank": 2},
        "data": {"path": str(data), "resolution": 64, "batch_size": 4, "workers": 1},
        "optimizer": {"lr": 0.01, "warmup": 1, "ema": 0.9},
    }
    return {**mapping, **changes}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pairs in a parquet shard."""
    from pair_folders import make_pairs

    folder = tmp_path_factory.mktemp("pairs")
    write_parquet(folder, make_pairs(12), split="train")
    return folder


@pytest.fixture(scope="module")
def straight(tiny_model: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in one process, undisturbed."""
    folder = tmp_path_factory.mktemp("straight") / "run"
    finish(["--config", str(write_config(folder.parent, get_mapping(tiny_model, data, folder)))])
    return folder


def get_state(run: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(run / "checkpoints" / f"step-{STEPS}")[0]


def assert_same_to_the_bit(one: Path, two: Path) -> None:
    a, b = get_state(one), get_state(two)
    assert a.keys() == b.keys() and [name for name in a if not torch.equal(a[name], b[name])] == []
    assert read_rows(one) == read_rows(two)
    adapters = [load_file(run / "adapter" / "adapter_model.safetensors") for run in (one, two)]
    assert all(torch.equal(adapters[0][name], adapters[1][name]) for name in adapters[0])


def assert_close(one: Path, two: Path) -> None:
    """Sums in another order differ in the last bits, of which Adam makes the most where a gradient is near 0."""
    for a, b in zip(read_rows(one), read_rows(two), strict=True):
        assert a["step"] == b["step"] and a["stage"] == b["stage"]
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)
        assert a["iou"] == pytest.approx(b["iou"], rel=1e-6)
    first, second = get_state(one), get_state(two)
    for name in (n for n in first if n.startswith("model.")):
        difference = float((first[name] - second[name]).norm() / first[name].norm())
        assert difference < 2e-3, name


# Before and after the border between the stages fine and rough.
@pytest.mark.parametrize(
    ("after", "number"),
    [
        (3, signal.SIGKILL),
        pytest.param(5, signal.SIGKILL, marks=pytest.mark.slow),
        pytest.param(2, signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
def test_killed_and_resumed_equals_straight(
    straight: Path, tiny_model: Path, data: Path, tmp_path: Path, after: int, number: signal.Signals
) -> None:
    config = str(write_config(tmp_path, get_mapping(tiny_model, data, tmp_path / "run")))
    code = kill_at_random(
        start(["--config", config]), tmp_path / "run", after=after, seed=after, number=number
    )
    if number == signal.SIGTERM:
        saved = find_latest(tmp_path / "run")
        assert code == 143 and saved is not None
        assert load_checkpoint(saved)[1]["step"] == len(read_rows(tmp_path / "run"))  # the step it was in
    assert finish(["--config", config, "--resume", "auto"]) == str(tmp_path / "run")
    assert_same_to_the_bit(straight, tmp_path / "run")


@pytest.mark.slow
def test_two_processes_match_one_and_resume_to_the_bit(
    straight: Path, tiny_model: Path, data: Path, tmp_path: Path
) -> None:
    mapping = get_mapping(tiny_model, data, tmp_path / "whole")
    mapping["data"]["batch_size"] = 2
    config = str(write_config(tmp_path, mapping))
    finish(["--config", config], processes=2)
    assert_close(straight, tmp_path / "whole")
    there = f"output_dir={tmp_path / 'parts'}"
    kill_at_random(start(["--config", config, there], processes=2), tmp_path / "parts", after=4, seed=1)
    finish(["--config", config, there, "--resume", "auto"], processes=2)
    assert_same_to_the_bit(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.slow
def test_sharded_processes_match_one(straight: Path, tiny_model: Path, data: Path, tmp_path: Path) -> None:
    mapping = get_mapping(tiny_model, data, tmp_path / "run")
    mapping["data"]["batch_size"] = 2
    config = str(write_config(tmp_path, mapping))
    finish(["--config", config, f"steps={STEPS}"], processes=2, launch=SHARDED)
    assert_close(straight, tmp_path / "run")


@pytest.mark.slow
def test_sharded_and_checkpointed_processes_resume_to_the_bit(
    tiny_model: Path, data: Path, tmp_path: Path
) -> None:
    mapping = get_mapping(
        tiny_model, data, tmp_path / "whole", gradient_checkpointing=True, gradient_accumulation=2
    )
    mapping["data"]["batch_size"] = 1
    config = str(write_config(tmp_path, mapping))
    finish(["--config", config], processes=2, launch=SHARDED)
    there = f"output_dir={tmp_path / 'parts'}"
    kill_at_random(
        start(["--config", config, there], processes=2, launch=SHARDED), tmp_path / "parts", after=5, seed=2
    )
    finish(["--config", config, there, "--resume", "auto"], processes=2, launch=SHARDED)
    assert_same_to_the_bit(tmp_path / "whole", tmp_path / "parts")


def test_a_step_holds_the_same_samples_however_they_are_spread() -> None:
    for step in (0, 1, 7):
        whole = list(get_samples(step, 0, batch_size=12, accumulation=1))
        assert whole == list(range(step * 12, step * 12 + 12))
        for batch, accumulation, processes in ((1, 3, 4), (3, 2, 2), (6, 1, 2), (12, 1, 1)):
            parts = [
                sample
                for micro in range(accumulation)
                for rank in range(processes)
                for sample in get_samples(
                    step, micro, batch_size=batch, accumulation=accumulation, rank=rank, processes=processes
                )
            ]
            assert parts == whole


def test_seeds_differ_by_run_purpose_and_sample() -> None:
    seeds = {get_seed(a, b, c) for a in range(4) for b in range(4) for c in range(50)}
    assert len(seeds) == 4 * 4 * 50 and all(0 <= seed < 2**63 for seed in seeds)
    assert get_seed(1, 13, 7) == get_seed(1, 13, 7)
