"""Reading a safetensors header with suspicion."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from a2cli.errors import CheckpointError

MAX_HEADER = 100_000_000  # bytes, the format's own limit
ITEM_SIZES = {
    "F64": 8,
    "F32": 4,
    "F16": 2,
    "BF16": 2,
    "I64": 8,
    "I32": 4,
    "I16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
}


class TensorEntry(NamedTuple):
    """One tensor as a header describes it; dtype by safetensors' name, begin and end in bytes of the data."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def read_header(path: Path) -> tuple[dict[str, str], dict[str, TensorEntry]]:
    """Read a safetensors header: its metadata and its tensors, checked against the file's size.

    Raises CheckpointError naming the file, and the tensor where one is at fault: the header is unreadable or
    longer than the file, a tensor's bytes disagree with its shape, overlap another's or end after the file
    does.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, MAX_HEADER):
                raise CheckpointError(f"{path}: truncated or not safetensors, {size} bytes")
            content = json.loads(file.read(length))
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: its safetensors header is damaged") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: its safetensors header is damaged")
    metadata = content.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise CheckpointError(f"{path}: its safetensors metadata is damaged")
    layout = {name: _parse_entry(path, name, entry) for name, entry in content.items()}
    _check_extents(path, layout, size - 8 - length)
    return metadata, layout


def _parse_entry(path: Path, name: str, entry: Any) -> TensorEntry:
    try:
        begin, end = entry["data_offsets"]
        parsed = TensorEntry(entry["dtype"], tuple(entry["shape"]), begin, end)
        bytes_needed = ITEM_SIZES[parsed.dtype] * math.prod(parsed.shape)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: tensor {name} is badly described in the header") from error
    numbers = (*parsed.shape, begin, end)
    if not all(type(n) is int and n >= 0 for n in numbers) or end - begin != bytes_needed:
        raise CheckpointError(f"{path}: tensor {name} has bytes that disagree with its shape")
    return parsed


def _check_extents(path: Path, layout: Mapping[str, TensorEntry], available: int) -> None:
    place = 0
    for name, entry in sorted(layout.items(), key=lambda item: item[1].begin):
        if entry.end > available:
            raise CheckpointError(f"{path}: tensor {name} is truncated, the file ends before it does")
        if entry.begin != place:
            raise CheckpointError(f"{path}: tensor {name} does not start where the one before it ends")
        place = entry.end
    if place != available:
        raise CheckpointError(f"{path}: {available - place} bytes belong to no tensor")


def check_layout(
    path: Path, layout: Mapping[str, TensorEntry], wanted: Mapping[str, tuple[int, ...]], dtype: str
) -> None:
    """Check that a file holds exactly the wanted tensors (name -> shape), all of one dtype.

    Raises CheckpointError naming the first tensor that is missing, unknown, or of the wrong shape or dtype.
    """
    for name, shape in wanted.items():
        if name not in layout:
            raise CheckpointError(f"{path}: tensor {name} is missing")
        if layout[name].shape != shape:
            raise CheckpointError(f"{path}: tensor {name} has shape {layout[name].shape}, not {shape}")
        if layout[name].dtype != dtype:
            raise CheckpointError(f"{path}: tensor {name} is {layout[name].dtype}, not {dtype}")
    for name in layout:
        if name not in wanted:
            raise CheckpointError(f"{path}: tensor {name} belongs to no block of this model")
