"""Adapter folders: adapter_model.safetensors, adapter_config.json and a model card.

The weights file alone is the adapter: it carries the configuration in its header, so that replacing one file
replaces both at once. adapter_config.json is the same text for people and other programs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from a2cli.errors import A2Error, CheckpointError
from a2cli.files import PICKLE_SUFFIXES, make_folder, write_bytes
from a2cli.mot.config import MotConfig
from a2cli.mot.experts import MotLinear
from a2cli.mot.header import check_layout, read_header
from a2cli.mot.inject import get_parameter_shapes, inject_mot
from a2cli.mot.model import ROUTER_NAME, MotModel
from a2cli.types import BlockSpec

FORMAT, VERSION = "a2-mot", 1
WEIGHTS, CONFIG, CARD = "adapter_model.safetensors", "adapter_config.json", "README.md"
METADATA_KEY = "a2"
DTYPES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}


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
    folder = Path(folder)
    tensors = {}
    for name, tensor in (handle.state_dict() if state is None else state).items():
        kept = tensor.to("cpu", dtype or tensor.dtype).contiguous()  # half precision overflows at 65504
        if not bool(kept.isfinite().all()):
            raise CheckpointError(f"tensor {name} holds NaN or infinite values as {kept.dtype}; not saved")
        tensors[name] = kept
    stored = next(iter(tensors.values())).dtype
    if stored not in DTYPES:
        raise CheckpointError(f"adapters are not stored as {stored}", hint="float32, bfloat16 or float16")
    info = AdapterInfo(backbone, base_id, base_hash, handle.config, DTYPES[stored], attention, dict(recipe))
    text = _to_json(info)
    card = _get_card(info, sum(tensor.numel() for tensor in tensors.values()))
    # One key only: safetensors writes several in an order that changes from process to process.
    weights = save(tensors, metadata={METADATA_KEY: text})
    make_folder(folder, error=CheckpointError)
    for name, data in ((WEIGHTS, weights), (CONFIG, text.encode()), (CARD, card.encode())):
        write_bytes(data, folder / name, error=CheckpointError)
    return info


def _to_json(info: AdapterInfo) -> str:
    content = {"format": FORMAT, "version": VERSION, **asdict(info)}
    try:
        return json.dumps(content, indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"the training recipe is not plain JSON: {error}") from error


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
    path = _find_weights(Path(folder))
    metadata, _ = read_header(path)
    text = metadata.get(METADATA_KEY)
    if text is None:
        raise CheckpointError(f"{path}: not an adapter of a2, its header has no {METADATA_KEY!r} entry")
    return _parse_info(text, path)


def _find_weights(folder: Path) -> Path:
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


def _parse_info(text: str, path: Path) -> AdapterInfo:
    try:
        content = json.loads(text)
        if not isinstance(content, dict):
            raise TypeError("not an object")
        if content.get("format") != FORMAT or content.get("version") != VERSION:
            found = f"{content.get('format')!r} version {content.get('version')!r}"
            raise CheckpointError(f"{path}: format {found}, not {FORMAT!r} version {VERSION}")
        values = {f.name: content[f.name] for f in fields(AdapterInfo)}
        values["config"] = MotConfig(**values["config"])
    except (KeyError, TypeError, ValueError, A2Error) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path}: its configuration cannot be read: {error}") from error
    if not (isinstance(values["recipe"], dict) and values["dtype"] in DTYPES.values()):
        raise CheckpointError(f"{path}: its configuration has a recipe or dtype of the wrong kind")
    return AdapterInfo(**values)


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
    path = _find_weights(Path(folder))
    if info.base_hash != base_hash:
        raise CheckpointError(
            f"{path}: made for {info.base_id}, hash {info.base_hash[:16]}; this base has {base_hash[:16]}",
            hint="use the model it was trained on",
        )
    _, layout = read_header(path)
    # All checks come first: no memory is asked for, and nothing changed, on a file's word alone.
    check_layout(path, layout, get_parameter_shapes(blocks, info.config), info.dtype)
    tensors = _read_tensors(path)
    handle = inject_mot(transformer, blocks, info.config, dtype=dtype)
    handle.load_state_dict(tensors)
    return handle, info


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(str(path), framework="pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: damaged: {error}") from error
    for name, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise CheckpointError(f"{path}: tensor {name} holds NaN or infinite values")
    return tensors
