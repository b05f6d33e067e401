"""Run folders and checkpoints: complete or absent, safetensors and JSON only."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from a2cli.errors import CheckpointError, ConfigError
from a2cli.files import replace_folder
from a2cli.training.processes import get_whole, shard_like

_STATE, _TENSORS = "state.json", "tensors.safetensors"
_SHAPED = {
    "exp_avg",
    "exp_avg_sq",
    "momentum_buffer",
}  # entries of a state that are shaped as their parameter


def save_checkpoint(folder: Path, tensors: Mapping[str, torch.Tensor], state: Mapping[str, Any]) -> Path:
    """Write a checkpoint; a reader sees the whole of it or none.

    Raises `CheckpointError` when the disk refuses.
    """
    with replace_folder(folder) as beside:
        save_file(_part({k: v.detach().cpu().contiguous() for k, v in tensors.items()}), beside / _TENSORS)
        (beside / _STATE).write_text(json.dumps(dict(state), indent=1), encoding="utf-8")
    return folder


def _part(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Give each tensor memory of its own, which the format asks for: 8-bit optimizers share their tables."""
    seen: set[int] = set()
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        if place in seen:
            tensors[name] = tensor.clone()
        seen.add(place)
    return tensors


def load_checkpoint(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read a checkpoint back: its tensors, and its state with the step reached.

    Raises `CheckpointError` naming what is missing or damaged.
    """
    for name in (_TENSORS, _STATE):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder}: incomplete checkpoint, {name} is missing")
    try:
        tensors = load_file(folder / _TENSORS)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{folder / _TENSORS}: damaged checkpoint: {error}") from error
    try:
        state = json.loads((folder / _STATE).read_text(encoding="utf-8"))
        if type(state["step"]) is not int or state["step"] < 0:
            raise ValueError(f"step {state['step']!r}")
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise CheckpointError(f"{folder / _STATE}: damaged checkpoint: {error}") from error
    return tensors, state


def find_latest(run: Path) -> Path | None:
    """Find the newest checkpoint of a run folder; None when there is none."""
    return next(reversed(list_checkpoints(run)), None)


def list_checkpoints(run: Path) -> list[Path]:
    """List the checkpoints of a run folder, oldest first."""
    found = [p for p in (run / "checkpoints").glob("step-*") if p.name[5:].isdigit()]
    return sorted(found, key=lambda p: int(p.name[5:]))


def prune_checkpoints(run: Path, *, keep: int) -> None:
    """Remove all but the newest `keep` checkpoints of a run folder."""
    for folder in list_checkpoints(run)[:-keep]:
        _remove_checkpoint(folder)


def discard_newer(run: Path, step: int) -> None:
    """Remove the checkpoints of steps after `step`: a run that goes on from there makes its own."""
    for folder in list_checkpoints(run):
        if int(folder.name[5:]) > step:
            _remove_checkpoint(folder)


def _remove_checkpoint(folder: Path) -> None:
    gone = folder.with_name(f".{folder.name}.old.tmp")  # renamed first: never seen half deleted
    shutil.rmtree(gone, ignore_errors=True)  # what a killed run left
    folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def check_output(run: Path, resume: str | None) -> Path | None:
    """Say which checkpoint a run in this folder begins from, None for none.

    Raises `ConfigError` for a folder that cannot be one or holds another run, `CheckpointError` for a checkpoint
    that is not there or lies outside a run folder that has its own.
    """
    existing = next(p for p in (run.absolute(), *run.absolute().parents) if p.exists())
    if not existing.is_dir():
        raise ConfigError(f"{run}: cannot be made: {existing} is no folder", hint="choose another output_dir")
    latest = find_latest(run)
    if resume is None:
        if latest:
            raise ConfigError(
                f"{run}: holds the checkpoints of a run",
                hint="--resume auto goes on with it; output_dir=FOLDER starts another",
            )
        return None
    if resume == "auto":
        return latest
    folder = Path(resume)
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such checkpoint", hint="a folder step-N, or auto")
    if list_checkpoints(folder):
        raise CheckpointError(
            f"{folder}: a run, not a checkpoint of one", hint=f"output_dir={folder} --resume auto"
        )
    if latest and folder.resolve().parent != latest.resolve().parent:
        raise CheckpointError(
            f"{folder}: {run} has checkpoints of its own", hint="output_dir=FOLDER starts another"
        )
    return folder


def flatten_optimizer(optimizer: torch.optim.Optimizer, prefix: str) -> dict[str, torch.Tensor]:
    """List an optimizer's state tensors under stable names, `prefix.PARAMETER.KEY`, shards gathered."""
    # Not by state_dict(): bitsandbytes wraps its 8-bit entries there in a dictionary of their own.
    return {
        f"{prefix}.{index}.{key}": get_whole(value).cpu() if torch.is_tensor(value) else torch.tensor(value)
        for index, parameter in enumerate(_list_parameters(optimizer))
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def _list_parameters(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor], prefix: str
) -> None:
    """Put `flatten_optimizer`'s tensors back; learning rates stay as the schedule sets them.

    Raises `CheckpointError` naming a tensor that fits no parameter, or when there is none at all.
    """
    parameters = _list_parameters(optimizer)
    state: dict[int, dict[str, Any]] = {}
    for name, value in tensors.items():
        if name.startswith(prefix + "."):
            index, _, key = name[len(prefix) + 1 :].partition(".")
            if not index.isdigit() or int(index) >= len(parameters):
                raise CheckpointError(f"tensor {name} belongs to no parameter of this run")
            parameter = parameters[int(index)]
            if key in _SHAPED and value.shape != parameter.shape:
                raise CheckpointError(
                    f"tensor {name} has shape {tuple(value.shape)}, not {tuple(parameter.shape)}"
                )
            state.setdefault(int(index), {})[key] = _restore_entry(value, parameter)
    if not state:
        raise CheckpointError(f"tensors {prefix}.* are missing", hint="was it made with another optimizer?")
    for number, entries in state.items():
        optimizer.state[parameters[number]] = entries


def _restore_entry(value: torch.Tensor, parameter: torch.Tensor) -> Any:
    if value.ndim == 0:  # a count of steps: a tensor on the CPU (torch), or a number (bitsandbytes)
        return value if value.is_floating_point() else int(value)
    return shard_like(value, parameter) if value.shape == parameter.shape else value.to(parameter.device)
