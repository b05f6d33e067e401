"""What every kind of a2's own adapters shares: a folder of weights, their configuration and a model card.

The weights file alone is the adapter: it carries the configuration in its header, so that replacing one file
replaces both at once. adapter_config.json is the same text for people and other programs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save, save_file
from torch import Tensor

from a2cli.errors import A2Error, CheckpointError
from a2cli.files import PICKLE_SUFFIXES, make_folder, write_bytes
from a2cli.mot.header import read_header

WEIGHTS, CONFIG, CARD = "adapter_model.safetensors", "adapter_config.json", "README.md"
METADATA_KEY = "a2"
DTYPES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}

Info = TypeVar("Info")


def convert_tensors(state: Mapping[str, Tensor], dtype: torch.dtype | None) -> tuple[dict[str, Tensor], str]:
    """Bring tensors to the CPU and to one dtype (None: their own); returns them and safetensors' name for it.

    Raises CheckpointError naming the tensor that holds NaN or infinite values, or overflows in `dtype`.
    """
    tensors = {}
    for name, tensor in state.items():
        kept = tensor.to("cpu", dtype or tensor.dtype).contiguous()  # half precision overflows at 65504
        if not bool(kept.isfinite().all()):
            raise CheckpointError(f"tensor {name} holds NaN or infinite values as {kept.dtype}; not saved")
        tensors[name] = kept
    stored = next(iter(tensors.values())).dtype
    if stored not in DTYPES:
        raise CheckpointError(f"adapters are not stored as {stored}", hint="float32, bfloat16 or float16")
    return tensors, DTYPES[stored]


def to_json(info: Any, kind: tuple[str, int]) -> str:
    """The text of adapter_config.json for an info dataclass of `kind` (format, version)."""
    content = {"format": kind[0], "version": kind[1], **asdict(info)}
    try:
        return json.dumps(content, indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"the training recipe is not plain JSON: {error}") from error


def write_folder(folder: Path, tensors: Mapping[str, Tensor], text: str, card: str) -> None:
    """Write an adapter folder; a reader sees the old adapter or the new one, whole."""
    # One key only: safetensors writes several in an order that changes from process to process.
    weights = save(dict(tensors), metadata={METADATA_KEY: text})
    make_folder(folder, error=CheckpointError)
    for name, data in ((WEIGHTS, weights), (CONFIG, text.encode()), (CARD, card.encode())):
        write_bytes(data, folder / name, error=CheckpointError)


def write_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file with the mode of any other new file, which safetensors itself makes private."""
    path.touch()
    mode = path.stat().st_mode
    save_file(dict(tensors), path, metadata=metadata)
    path.chmod(mode)


def find_weights(folder: Path) -> Path:
    """The weights file of an adapter folder; raises CheckpointError for none and for pickles, never opened."""
    path = folder / WEIGHTS
    if folder.suffix.lower() in PICKLE_SUFFIXES:
        raise CheckpointError(f"{folder}: pickled weights are never opened", hint="use safetensors")
    if path.is_file():
        return path
    pickles = (
        sorted(p.name for p in folder.iterdir() if p.suffix.lower() in PICKLE_SUFFIXES)
        if folder.is_dir()
        else []
    )
    if pickles:
        raise CheckpointError(
            f"{folder / pickles[0]}: pickled weights are never opened", hint="use safetensors"
        )
    raise CheckpointError(f"{folder}: no {WEIGHTS} there", hint="--adapter takes the folder a2 train wrote")


def read_info(
    path: Path, cls: type[Info], kind: tuple[str, int], build_config: Callable[[dict[str, Any]], Any]
) -> Info:
    """Read what a weights file says of itself, an info dataclass `cls` of `kind` (format, version).

    `build_config` makes its `config` of plain values. Raises CheckpointError for a damaged header, another kind, and
    settings this a2 does not know.
    """
    metadata, _ = read_header(path)
    text = metadata.get(METADATA_KEY)
    if text is None:
        raise CheckpointError(f"{path}: not an adapter of a2, its header has no {METADATA_KEY!r} entry")
    try:
        content = json.loads(text)
        if not isinstance(content, dict):
            raise TypeError("not an object")
        if (content.get("format"), content.get("version")) != kind:
            found = f"{content.get('format')!r} version {content.get('version')!r}"
            raise CheckpointError(f"{path}: format {found}, not {kind[0]!r} version {kind[1]}")
        values = {f.name: content[f.name] for f in fields(cls)}  # type: ignore[arg-type]
        values["config"] = build_config(values["config"])
    except (KeyError, TypeError, ValueError, RecursionError, A2Error) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path}: its configuration cannot be read: {error}") from error
    for name, wanted in (("backbone", str), ("base_id", str), ("base_hash", str), ("recipe", dict)):
        if not isinstance(values[name], wanted):
            raise CheckpointError(f"{path}: its configuration has a {name} of the wrong kind")
    if values["dtype"] not in DTYPES.values():
        raise CheckpointError(f"{path}: its configuration has a dtype of the wrong kind")
    return cls(**values)


def check_base(path: Path, info: Any, base_hash: str) -> None:
    """Raise CheckpointError where an adapter was made for another base than the one with `base_hash`."""
    if info.base_hash != base_hash:
        raise CheckpointError(
            f"{path}: made for {info.base_id}, hash {info.base_hash[:16]}; this base has {base_hash[:16]}",
            hint="use the model it was trained on",
        )


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a weights file; CheckpointError for damage, NaN and infinity, naming the tensor."""
    try:
        with safe_open(str(path), framework="pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: damaged: {error}") from error
    for name, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise CheckpointError(f"{path}: tensor {name} holds NaN or infinite values")
    return tensors
