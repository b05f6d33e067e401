"""Checkpoints are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn

from a2cli.errors import CheckpointError
from a2cli.training.checkpoint import (
    find_latest,
    flatten_optimizer,
    list_checkpoints,
    load_checkpoint,
    restore_optimizer,
    save_checkpoint,
)


def get_tensors(value: float = 1.0, count: int = 3) -> dict[str, torch.Tensor]:
    return {f"model.{i}": torch.full((64, 64), value) for i in range(count)}


@contextmanager
def limit_file_size(size: int) -> Iterator[None]:
    """Let the system refuse to write files larger than `size`, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    tensors = {
        "a": torch.randn(3, 4),
        "turned": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        "half": torch.randn(5).bfloat16(),
        "scalar": torch.tensor(7.0),
        "trained": torch.randn(2, requires_grad=True),
    }
    folder = save_checkpoint(tmp_path / "checkpoints" / "step-3", tensors, {"step": 3})
    loaded, state = load_checkpoint(folder)
    assert state == {"step": 3} and loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype and torch.equal(loaded[name], tensor.detach())
    assert sorted(p.name for p in folder.iterdir()) == ["state.json", "tensors.safetensors"]
    save_checkpoint(folder, get_tensors(2.0), {"step": 3})
    assert load_checkpoint(folder)[0].keys() == get_tensors().keys()
    assert [p.name for p in folder.parent.iterdir()] == ["step-3"]


def test_a_refused_write_leaves_the_old_checkpoint_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "step-1"
    with limit_file_size(10_000), pytest.raises(CheckpointError, match="step-1: cannot be written"):
        save_checkpoint(folder, get_tensors(), {"step": 1})
    assert list(tmp_path.iterdir()) == []
    save_checkpoint(folder, get_tensors(1.0), {"step": 1})
    with limit_file_size(10_000), pytest.raises(CheckpointError, match="cannot be written"):
        save_checkpoint(folder, get_tensors(2.0), {"step": 1})
    assert [p.name for p in tmp_path.iterdir()] == ["step-1"]
    assert load_checkpoint(folder)[0]["model.0"][0, 0] == 1.0
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written"):
        save_checkpoint(tmp_path / "file" / "step-1", get_tensors(), {"step": 1})


def test_killed_at_any_moment_a_reader_sees_all_or_nothing(tmp_path: Path) -> None:
    folder, seen, attempt = tmp_path / "step-5", 0, 0
    while attempt < 12 or (not seen and attempt < 100):  # a busy machine takes longer to write the first one
        attempt += 1
        child = os.fork()
        if child == 0:
            value = 0.0
            while True:
                save_checkpoint(folder, get_tensors(value), {"step": 5, "value": value})
                value += 1
        time.sleep(0.003 + 0.007 * attempt)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if folder.exists():
            tensors, state = load_checkpoint(folder)
            assert all(bool((t == state["value"]).all()) for t in tensors.values())
            seen += 1
    assert seen
    save_checkpoint(folder, get_tensors(), {"step": 5})
    assert [p.name for p in tmp_path.iterdir()] == ["step-5"]  # what the killed ones left is gone


@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json"])
def test_missing_and_damaged_files_are_refused_by_name(tmp_path: Path, name: str) -> None:
    folder = save_checkpoint(tmp_path / "step-2", get_tensors(), {"step": 2})
    whole = (folder / name).read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"[]", b'{"step": -1}', b'{"step": "2"}', b"{}"):
        (folder / name).write_bytes(damaged)
        with pytest.raises(CheckpointError, match=f"{name}: damaged checkpoint"):
            load_checkpoint(folder)
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"incomplete checkpoint, {name} is missing"):
        load_checkpoint(folder)
    with pytest.raises(CheckpointError, match="incomplete checkpoint"):
        load_checkpoint(tmp_path / "nowhere")


def test_the_newest_is_found_by_number(tmp_path: Path) -> None:
    assert find_latest(tmp_path) is None and list_checkpoints(tmp_path) == []
    for name in ("step-9", "step-100", "step-20", ".step-300.new.tmp", "step-x", "step-400-kept"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    assert find_latest(tmp_path) == tmp_path / "checkpoints" / "step-100"
    assert [p.name for p in list_checkpoints(tmp_path)] == ["step-9", "step-20", "step-100"]


def build_pair() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 1))
    return model, torch.optim.AdamW(model.parameters(), lr=0.1)


def advance(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int, start: int = 0) -> None:
    for step in range(start, start + steps):
        x = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
        model(x).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()


def test_an_optimizer_goes_on_where_it_was() -> None:
    model, optimizer = build_pair()
    advance(model, optimizer, 3)
    tensors = {k: v.clone() for k, v in flatten_optimizer(optimizer, "optimizer0").items()}
    weights = {k: v.clone() for k, v in model.state_dict().items()}
    assert {name.split(".")[1] for name in tensors} == {"0", "1", "2", "3"}
    advance(model, optimizer, 2, 3)
    other, fresh = build_pair()
    other.load_state_dict(weights)
    restore_optimizer(fresh, {**tensors, "optimizer1.0.step": torch.tensor(9.0)}, "optimizer0")
    advance(other, fresh, 2, 3)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("optimizer0.9.exp_avg", torch.zeros(1), r"optimizer0\.9\.exp_avg belongs to no parameter"),
        ("optimizer0.x.exp_avg", torch.zeros(1), r"optimizer0\.x\.exp_avg belongs to no parameter"),
        ("optimizer0.0.exp_avg", torch.zeros(2), r"optimizer0\.0\.exp_avg has shape \(2,\), not \(3, 4\)"),
        ("other.0.exp_avg", torch.zeros(3, 4), r"optimizer0\.\* are missing"),
    ],
)
def test_foreign_optimizer_states_are_refused(name: str, value: torch.Tensor, message: str) -> None:
    _, optimizer = build_pair()
    with pytest.raises(CheckpointError, match=message):
        restore_optimizer(optimizer, {name: value}, "optimizer0")
