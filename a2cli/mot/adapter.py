"""Adapter folders of experts and routers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from a2cli.errors import CheckpointError
from a2cli.mot.config import MotConfig
from a2cli.mot.experts import MotLinear
from a2cli.mot.folder import (
    check_base,
    convert_tensors,
    find_weights,
    read_info,
    read_tensors,
    to_json,
    write_folder,
)
from a2cli.mot.header import check_layout, read_header
from a2cli.mot.inject import get_parameter_shapes, inject_mot
from a2cli.mot.model import ROUTER_NAME, MotModel
from a2cli.types import BlockSpec

KIND = ("a2-mot", 1)  # format, version


@dataclass(frozen=True)
class AdapterInfo:
    """What an adapter says of itself: everything in adapter_config.json.

    base_hash: that of the backbone it was trained on. attention: the layout of the sequence in
    training. recipe: how it was trained, JSON values. dtype: safetensors' name for the tensors' type.
    """

    backbone: str
    base_id: str
    base_hash: str
    config: MotConfig
    dtype: str
    attention: str
    recipe: dict[str, Any] = field(default_factory=dict)


def hash_base(transformer: nn.Module) -> str:
    """Get the sha256 of a transformer's own weights: names in order, dtypes, shapes and bytes, as hex.

    Experts and routers inside it do not count, so the digest is the same before and after injection. It does
    depend on the dtype: take it of the weights as they lie on disk. Raises CheckpointError while experts are
    merged into the weights, or when the weights are not loaded.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(_get_base_state(transformer).items()):
        if tensor.is_meta:
            raise CheckpointError(f"tensor {name} of the base is not loaded")
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.detach().reshape(-1).contiguous().view(torch.uint8).cpu().numpy().data)
    return digest.hexdigest()


def _get_base_state(transformer: nn.Module) -> dict[str, Tensor]:
    experts = {name: module for name, module in transformer.named_modules() if isinstance(module, MotLinear)}
    if any(module.merged for module in experts.values()):
        raise CheckpointError("the base has experts merged into it", hint="unmerge first")
    state = {}
    for name, tensor in transformer.state_dict().items():
        owner, _, leaf = name.rpartition(".")
        if owner in experts or f".{ROUTER_NAME}." in f".{name}":
            continue
        parent = owner.removesuffix(".base_layer")
        state[f"{parent}.{leaf}" if parent in experts else name] = tensor
    return state


def save_adapter(
    handle: MotModel,
    folder: str | Path,
    *,
    backbone: str,
    base_id: str,
    base_hash: str,
    recipe: Mapping[str, Any],
    attention: str = "two_pass",
    dtype: torch.dtype | None = None,
    state: Mapping[str, Tensor] | None = None,
) -> AdapterInfo:
    """Write an adapter folder; a reader sees the old adapter or the new one, whole.

    dtype: of the file's tensors, None for the model's own. state: the tensors, None for the model's own (where
    those are shards of a run on many devices, say). Raises CheckpointError naming the tensor for NaN
    or infinite weights, a recipe that is not JSON, or a folder that cannot be written (nothing half-written
    stays).
    """
    tensors, stored = convert_tensors(handle.state_dict() if state is None else state, dtype)
    info = AdapterInfo(backbone, base_id, base_hash, handle.config, stored, attention, dict(recipe))
    text = to_json(info, KIND)
    card = _get_card(info, sum(tensor.numel() for tensor in tensors.values()))
    write_folder(Path(folder), tensors, text, card)
    return info


def _get_card(info: AdapterInfo, num_parameters: int) -> str:
    config = info.config
    return f"""---
library_name: a2cli
base_model: {json.dumps(info.base_id)}
tags: [image-editing, inpainting, mixture-of-transformers]
---

# a2 adapter for {info.backbone}

Experts for reference-guided editing: {config.num_experts} of rank {config.rank} on the `{config.targets}`
linears of each block, routing `{config.routing}`, {num_parameters:,} parameters ({info.dtype}).
Use it with `a2 edit --adapter FOLDER`; it fits the base with hash `{info.base_hash[:16]}` only.

Training recipe:

```json
{json.dumps(info.recipe, indent=2)}
```
"""


def read_adapter(folder: str | Path) -> AdapterInfo:
    """Read what an adapter says of itself, without its tensors.

    Raises CheckpointError for a folder without weights, pickled weights (never opened), a damaged file, or a
    format, version or setting this a2 does not know.
    """
    return read_info(find_weights(Path(folder)), AdapterInfo, KIND, lambda values: MotConfig(**values))


def load_adapter(
    transformer: nn.Module,
    blocks: Sequence[BlockSpec],
    folder: str | Path,
    *,
    base_hash: str,
    dtype: torch.dtype = torch.float32,
) -> tuple[MotModel, AdapterInfo]:
    """Inject an adapter's experts into a transformer and load their weights.

    base_hash: that of this transformer's backbone. dtype: of the parameters made. On any failure the transformer
    is left as it was. Raises CheckpointError as `read_adapter` does, for another base, and, naming the
    tensor, for one that is missing, unknown, of the wrong shape or dtype, truncated, NaN or infinite.
    """
    info = read_adapter(folder)
    path = find_weights(Path(folder))
    check_base(path, info, base_hash)
    _, layout = read_header(path)
    # All checks come first: no memory is asked for, and nothing changed, on a file's word alone.
    check_layout(path, layout, get_parameter_shapes(blocks, info.config), info.dtype)
    tensors = read_tensors(path)
    handle = inject_mot(transformer, blocks, info.config, dtype=dtype)
    handle.load_state_dict(tensors)
    return handle, info
