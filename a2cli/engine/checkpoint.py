"""Run folders and checkpoints: complete or absent, safetensors and JSON only."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from a2cli.errors import CheckpointError

_STATE, _TENSORS = "state.json", "tensors.safetensors"


def save_checkpoint(folder: Path, tensors: Mapping[str, torch.Tensor], state: Mapping[str, Any]) -> Path:
    """Write a checkpoint beside its place, flush it to disk, and rename it there.

    A reader sees the whole checkpoint or none. Raises `CheckpointError` when the disk refuses.
    """
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        beside.mkdir(parents=True, exist_ok=True)
        save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, beside / _TENSORS)
        (beside / _STATE).write_text(json.dumps(dict(state), indent=1), encoding="utf-8")
        for name in (_TENSORS, _STATE):
            with open(beside / name, "rb") as file:
                os.fsync(file.fileno())
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(beside, folder)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        raise CheckpointError(f"{folder}: the checkpoint cannot be written: {error.strerror}") from error
    return folder


def load_checkpoint(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read a checkpoint back. Raises `CheckpointError` naming what is missing or damaged."""
    for name in (_TENSORS, _STATE):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder}: incomplete checkpoint, {name} is missing")
    try:
        return load_file(folder / _TENSORS), json.loads((folder / _STATE).read_text(encoding="utf-8"))
    except (SafetensorError, ValueError, OSError) as error:
        raise CheckpointError(f"{folder}: damaged checkpoint: {error}") from error


def find_latest(run: Path) -> Path | None:
    """Find the newest complete checkpoint of a run folder; None when there is none."""
    found = [p for p in (run / "checkpoints").glob("step-*") if p.name[5:].isdigit()]
    return max(found, key=lambda p: int(p.name[5:]), default=None)


def flatten_optimizer(optimizer: torch.optim.Optimizer, prefix: str) -> dict[str, torch.Tensor]:
    """List an optimizer's state tensors under stable names, `prefix.PARAMETER.KEY`."""
    state = optimizer.state_dict()["state"]
    return {
        f"{prefix}.{index}.{key}": value if torch.is_tensor(value) else torch.tensor(value)
        for index, entries in state.items()
        for key, value in entries.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor], prefix: str) -> None:
    """Put `flatten_optimizer`'s tensors back; learning rates stay as the schedule sets them."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith(prefix + "."):
            index, key = name[len(prefix) + 1 :].split(".", 1)
            state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
