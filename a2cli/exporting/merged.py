"""A whole model folder with one frozen routing merged into its transformer, written one tensor at a time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from a2cli.backbones.loading import check_folder
from a2cli.errors import CheckpointError
from a2cli.exporting.deltas import Deltas, LowRank
from a2cli.files import show_name, write_bytes
from a2cli.mot.folder import DTYPES
from a2cli.mot.header import ITEM_SIZES, TensorEntry, read_header

TRANSFORMER = "transformer"
REFUSAL = (
    "merged weights hold one mixture of the experts, and this adapter mixes them anew for every edit",
    "name the routing to freeze: --for CATEGORY or --for-ref FILE",
)
_KINDS = {".json", ".txt", ".model"}
_LICENCES = ("LICENSE", "LICENCE", "NOTICE")
_NAMES = {name: dtype for dtype, name in DTYPES.items()}  # safetensors' name -> torch's dtype


def write_merged(folder: Path, base: Path, deltas: Deltas, *, dtype: torch.dtype | None = None) -> None:
    """Copy a model folder and add `deltas` to the weights of its transformer.

    `base` holds the transformer as safetensors, whole or in shards, which the copy keeps. Each sum is taken in float32
    and rounded once, to `dtype` or else to the dtype that the tensor has. One tensor at a time is in memory. Raises
    CheckpointError for a damaged or pickled file, a linear that the base has not, and a sum that is not finite.
    """
    check_folder(base)
    shards = list_shards(base / TRANSFORMER)
    for path in _list_files(base):
        copy = folder / path.relative_to(base)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path not in shards:
            shutil.copyfile(path, copy)
    left = dict(deltas)
    size = sum(write_shard(shard, folder / TRANSFORMER / shard.name, left, dtype) for shard in shards)
    if left:
        raise CheckpointError(f"{show_name(str(base))}: no weight for {next(iter(left))}")
    _write_index(folder / TRANSFORMER, size)


def list_shards(folder: Path) -> list[Path]:
    """The safetensors files of a component; CheckpointError for none, and for one tensor in two of them."""
    shards = sorted(folder.glob("*.safetensors"))
    if not shards:
        raise CheckpointError(f"{show_name(str(folder))}: no safetensors there")
    owners: dict[str, Path] = {}
    for shard in shards:
        for name in read_header(shard)[1]:
            if owners.setdefault(name, shard) != shard:
                raise CheckpointError(
                    f"{show_name(str(shard))}: tensor {name} is in {owners[name].name} too",
                    hint="keep one variant of the weights in the folder",
                )
    return shards


def _list_files(base: Path) -> list[Path]:
    """The files of a base that go into a copy: configurations, vocabularies, licences, and weights of components.

    Not hidden files, nor the card, which is about the base, nor weights beside the components, which are the base's
    in another program's layout.
    """
    files = []
    for part in sorted(base.iterdir()):  # a component may be a link, which rglob would not follow from above
        for path in sorted(part.rglob("*")) if part.is_dir() else [part]:
            name = path.relative_to(base)
            kinds = _KINDS if len(name.parts) == 1 else {*_KINDS, ".safetensors"}
            fits = name.suffix.lower() in kinds or name.name.upper().startswith(_LICENCES)
            if fits and path.is_file() and not any(p.startswith(".") for p in name.parts):
                files.append(path)
    return files


def write_shard(source: Path, target: Path, deltas: dict[str, LowRank], dtype: torch.dtype | None) -> int:
    """Write one safetensors file with its share of the updates, which are taken out of `deltas`; bytes of tensors."""
    metadata, layout = read_header(source)
    entries, place = {}, 0
    for name, entry in sorted(layout.items(), key=lambda item: item[1].begin):
        kind = _get_dtype(entry, dtype)
        size = (entry.end - entry.begin) // ITEM_SIZES[entry.dtype] * ITEM_SIZES[kind]
        entries[name] = TensorEntry(kind, entry.shape, place, place + size)
        place += size
    write_bytes(_get_parts(source, metadata, entries, deltas), target, error=CheckpointError)
    return place


def _get_dtype(entry: TensorEntry, dtype: torch.dtype | None) -> str:
    return entry.dtype if dtype is None or entry.dtype not in {*_NAMES, "F64"} else DTYPES[dtype]


def _get_parts(
    source: Path, metadata: Mapping[str, str], entries: Mapping[str, TensorEntry], deltas: dict[str, LowRank]
) -> Iterator[bytes]:
    """The bytes of a safetensors file: length of the header, header, tensors in order."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    for name, entry in entries.items():
        header[name] = {
            "dtype": entry.dtype,
            "shape": list(entry.shape),
            "data_offsets": [entry.begin, entry.end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8
    yield len(text).to_bytes(8, "little") + text
    with safe_open(source, framework="pt", device="cpu") as file:
        for name, entry in entries.items():
            tensor = file.get_tensor(name)
            delta = deltas.pop(name.removesuffix(".weight"), None)
            tensor = tensor if delta is None else _add(name, tensor, delta)
            yield _to_bytes(name, tensor, entry.dtype)


def _add(name: str, weight: Tensor, delta: LowRank) -> Tensor:
    update = delta.get_product().cpu()
    if update.shape != weight.shape:
        raise CheckpointError(
            f"tensor {name} has shape {tuple(weight.shape)}, the adapter's update {tuple(update.shape)}"
        )
    if not weight.is_floating_point():
        raise CheckpointError(f"tensor {name} is {weight.dtype}: an update needs floating weights")
    return weight.float() + update


def _to_bytes(name: str, tensor: Tensor, kind: str) -> bytes:
    stored = tensor.to(_NAMES[kind]) if kind in _NAMES else tensor
    if stored.is_floating_point() and not bool(stored.isfinite().all()):
        raise CheckpointError(f"tensor {name} holds NaN or infinite values as {stored.dtype}; not saved")
    return stored.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _write_index(folder: Path, size: int) -> None:
    """Let the index of shards, where there is one, tell the new size."""
    for path in folder.glob("*.safetensors.index.json"):
        index = json.loads(path.read_text(encoding="utf-8"))
        index.setdefault("metadata", {})["total_size"] = size
        write_bytes((json.dumps(index, indent=2) + "\n").encode(), path, error=CheckpointError)
