"""Adapter folders of region adapters: the same files, and the same strictness, as those of experts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from a2cli.config.load import build
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
from a2cli.region.config import RegionConfig
from a2cli.region.inject import get_parameter_shapes, get_sizes, inject_region
from a2cli.region.model import RegionModel
from a2cli.types import BlockSpec

if TYPE_CHECKING:
    from a2cli.context.processor import PassState

KIND = ("a2-region", 1)  # format, version


@dataclass(frozen=True)
class RegionInfo:
    """What a region adapter says of itself: everything in adapter_config.json.

    base_hash: that of the backbone it was trained on. recipe: how it was trained, JSON values. dtype: safetensors'
    name for the tensors' type.
    """

    backbone: str
    base_id: str
    base_hash: str
    config: RegionConfig
    dtype: str
    recipe: dict[str, Any] = field(default_factory=dict)


def save_region(
    model: RegionModel,
    folder: str | Path,
    *,
    backbone: str,
    base_id: str,
    base_hash: str,
    recipe: Mapping[str, Any],
    dtype: torch.dtype | None = torch.float16,
    state: Mapping[str, Tensor] | None = None,
) -> RegionInfo:
    """Write a region adapter's folder; a reader sees the old adapter or the new one, whole.

    dtype: of the file's tensors, None for the model's own. state: the tensors, None for the model's own (where those
    are shards of a run on many devices, say). Raises CheckpointError naming the tensor for NaN or infinite weights,
    a recipe that is not JSON, or a folder that cannot be written (nothing half-written stays).
    """
    tensors, stored = convert_tensors(model.state_dict() if state is None else state, dtype)
    info = RegionInfo(backbone, base_id, base_hash, model.config, stored, dict(recipe))
    text = to_json(info, KIND)
    write_folder(Path(folder), tensors, text, _get_card(info, tensors))
    return info


def _get_card(info: RegionInfo, tensors: Mapping[str, Tensor]) -> str:
    config = info.config
    sizes = {name: tensor.numel() for name, tensor in tensors.items()}
    predictor = sum(size for name, size in sizes.items() if name.startswith("predictor."))
    editor = sum(sizes.values()) - predictor
    parts = []
    if config.adapter:
        gate = "with a spatial gate" if config.gate else "without a spatial gate"
        parts.append(f"a cross-attention adapter behind every block, {gate}: {editor:,} parameters")
    if config.predictor is not None:
        parts.append(f"a mask predictor: {predictor:,} parameters")
    listed = "\n".join(f"- {part}" for part in parts)
    return f"""---
library_name: a2cli
base_model: {json.dumps(info.base_id)}
tags: [image-editing, inpainting, region-aware]
---

# a2 region adapter for {info.backbone}

Tells the frozen base where to edit ({info.dtype}):

{listed}

Use it with `a2 edit --adapter FOLDER`; it fits the base with hash `{info.base_hash[:16]}` only. It is made for edits
that have a place in the picture; a change of the whole picture is none.

Training recipe:

```json
{json.dumps(info.recipe, indent=2)}
```
"""


def read_region(folder: str | Path) -> RegionInfo:
    """Read what a region adapter says of itself, without its tensors.

    Raises CheckpointError for a folder without weights, pickled weights (never opened), a damaged file, or a
    format, version or setting this a2 does not know.
    """
    path = find_weights(Path(folder))
    return read_info(path, RegionInfo, KIND, lambda values: build(RegionConfig, values, where="config"))


def load_region(
    transformer: nn.Module,
    blocks: Sequence[BlockSpec],
    folder: str | Path,
    *,
    base_hash: str,
    state: PassState,
    text_dim: int | None = None,
    latent_dim: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> tuple[RegionModel, RegionInfo]:
    """Put a saved region adapter onto a transformer; see `inject_region` for the arguments.

    base_hash: that of this transformer's backbone. text_dim, latent_dim: None for what the transformer's config says.
    On any failure the transformer is left as it was. Raises CheckpointError as `read_region` does, for another base,
    and, naming the tensor, for one that is missing, unknown, of the wrong shape or dtype, truncated, NaN or infinite.
    """
    info = read_region(folder)
    path = find_weights(Path(folder))
    check_base(path, info, base_hash)
    _, layout = read_header(path)
    # All checks come first: no memory is asked for, and nothing changed, on a file's word alone.
    if text_dim is None or latent_dim is None:
        own = get_sizes(transformer)
        text_dim, latent_dim = text_dim or own["text_dim"], latent_dim or own["latent_dim"]
    sizes = {"text_dim": text_dim, "latent_dim": latent_dim}
    check_layout(path, layout, get_parameter_shapes(blocks, info.config, **sizes), info.dtype)
    tensors = read_tensors(path)
    model = inject_region(transformer, blocks, info.config, **sizes, state=state, dtype=dtype)
    model.load_state_dict(tensors)
    return model, info
