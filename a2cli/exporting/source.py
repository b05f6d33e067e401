"""What an export is made from: an adapter folder read, the base it stands on opened only when something needs it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from a2cli.config.export import ExportConfig
from a2cli.engine.adapters import SHIPPED, get_kind
from a2cli.engine.pipeline import EditPipeline
from a2cli.errors import BackboneError, CheckpointError, ConfigError
from a2cli.exporting.deltas import Deltas, get_frozen_deltas, truncate
from a2cli.exporting.plain import load_lora_deltas
from a2cli.exporting.routing import FrozenRouting, describe_routing, get_frozen_gates
from a2cli.exporting.samples import list_samples
from a2cli.files import get_source_name, show_name
from a2cli.mot.config import MotConfig
from a2cli.mot.folder import find_weights, read_tensors

EMBEDDED = "nano"
CARRY_ROUTERS = ("onnx", "torch")  # programs: routers are in them, where no routing is asked for
_DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Origin:
    """What an adapter says of itself. `backbone` and `base_hash` are "" where it says nothing of them.

    `name` is the folder's, `base_id` a hub id, a backbone's name, or the last part of a path. `kind` is "mot", with
    `experts` of this shape, or "lora". `dtype` is that of its tensors.
    """

    kind: str
    folder: Path
    name: str
    backbone: str
    base_id: str
    base_hash: str
    adapter_hash: str
    dtype: torch.dtype
    recipe: dict[str, Any]
    experts: MotConfig | None


class Source:
    """An adapter to export. Reading it costs its headers; `pipeline`, `routing` and `deltas` are made when asked for.

    `note` is told what the user should know, `progress` how far a long part is. Raises CheckpointError for what is no
    adapter, ConfigError for a region adapter.
    """

    def __init__(
        self,
        config: ExportConfig,
        progress: Progress | None = None,
        note: Callable[[str], None] | None = None,
    ) -> None:
        self.config = config
        self.origin = load_origin(config)
        self.progress: Progress = progress or (lambda label, done, total: None)
        self.note: Callable[[str], None] = note or (lambda message: None)
        self.lost = 0.0  # share of the updates that `rank` cut off

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the files' tensors."""
        named = self.config.dtype
        return self.origin.dtype if named == "auto" else getattr(torch, named)

    @property
    def frozen(self) -> bool:
        """Whether fixed updates stand for the adapter; else its routers are written too."""
        asked = self.config.category is not None or self.config.ref is not None
        return asked or self.origin.kind == "lora" or self.config.format not in CARRY_ROUTERS

    @cached_property
    def pipeline(self) -> EditPipeline:
        """The base with this adapter alone. Raises BackboneError or CheckpointError, also for another base."""
        return self.load_pipeline(str(self.origin.folder))

    def load_pipeline(self, adapter: str) -> EditPipeline:
        """The base with an adapter folder, or "none": for programs in float32 on the CPU, unless asked otherwise.

        A program of torch.export runs on the device it was traced on.
        """
        if not self.origin.backbone:
            raise BackboneError(f"{self.origin.name}: does not say what it stands on", hint="give --backbone")
        self.progress("loading", 0, 1)
        device, dtype = self.config.device, "auto"
        if self.config.format in CARRY_ROUTERS:
            dtype = "float32" if self.config.dtype == "auto" else self.config.dtype
            device = "cpu" if device == "auto" else device
        return EditPipeline.load(
            self.origin.backbone,
            model=self.config.model,
            adapter=adapter,
            device=device,
            dtype=dtype,
        )

    @cached_property
    def routing(self) -> FrozenRouting | None:
        """The routing that is frozen; None where there is none or the format carries the routers themselves."""
        if not self.frozen or self.origin.kind == "lora":
            return None
        label, said = describe_routing(self.config)
        count = self.config.pairs
        return get_frozen_gates(
            self.pipeline,
            list_samples(self.config, "train", count),
            label=label,
            said=said,
            total=1 if self.config.photo else count,
            progress=self.progress,
        )

    @cached_property
    def whole(self) -> Deltas:
        """What the frozen adapter adds to each linear, float32, exactly."""
        if self.origin.kind == "lora":
            return load_lora_deltas(self.origin.folder)
        assert self.routing is not None  # who carries the routers needs no updates
        return self.get_deltas(self.routing.gates)

    def get_deltas(self, gates: Mapping[str, Tensor]) -> Deltas:
        """What the experts add under gates (N,) of each block, float32, of the tensors as they lie on disk."""
        assert self.origin.experts is not None
        return get_frozen_deltas(self._state, self.origin.experts, gates)

    @cached_property
    def _state(self) -> dict[str, Tensor]:
        return read_tensors(find_weights(self.origin.folder))

    @cached_property
    def deltas(self) -> Deltas:
        """The same cut to `config.rank`, where that is given, in float32."""
        if self.config.rank is None:
            return self.whole
        cut, self.lost = truncate(self.whole, self.config.rank)
        return cut


def load_origin(config: ExportConfig) -> Origin:
    """Read what the adapter of an export says of itself, without its tensors.

    Raises CheckpointError for a folder without weights, pickles and damage; ConfigError for a region adapter, which is
    a gate that reads its region, and no format but a2's own has a place for one.
    """
    from a2cli.backbones.loading import hash_weights

    folder = SHIPPED / f"{EMBEDDED}-mot" if config.adapter == EMBEDDED else Path(config.adapter).expanduser()
    kind = get_kind(str(folder))
    if kind == "region":
        raise ConfigError(
            f"{show_name(config.adapter)}: a region adapter is not exported: it opens and closes by a region that it "
            "reads, and no other format carries such a gate",
            hint="export experts or a low-rank adapter; a2 edit --adapter takes this one beside them",
        )
    said = _read_mot(folder) if kind == "mot" else _read_lora(folder)
    for asked in (config.category, config.ref):
        if kind == "lora" and asked is not None:
            raise ConfigError(
                f"{show_name(config.adapter)}: a plain low-rank adapter has no routing to freeze",
                hint="leave out --for and --for-ref",
            )
    backbone = config.backbone or said["backbone"]
    if config.backbone and said["backbone"] not in ("", config.backbone):
        raise ConfigError(
            f"{show_name(config.adapter)} is made for {said['backbone']}",
            hint=f"--backbone {said['backbone']}",
        )
    return Origin(
        kind=kind,
        folder=folder,
        name=show_name(folder.resolve().name),
        backbone=backbone,
        base_id=_get_base_id(said["base_id"] or backbone, backbone, config.model),
        base_hash=said["base_hash"],
        adapter_hash=hash_weights(folder),
        dtype=said["dtype"],
        recipe=said["recipe"],
        experts=said["experts"],
    )


def _read_mot(folder: Path) -> dict[str, Any]:
    from a2cli.mot import read_adapter

    info = read_adapter(folder)
    return {
        "backbone": info.backbone,
        "base_id": info.base_id,
        "base_hash": info.base_hash,
        "dtype": _DTYPES[info.dtype],
        "recipe": info.recipe,
        "experts": info.config,
    }


def _read_lora(folder: Path) -> dict[str, Any]:
    from a2cli.lora.adapter import CONFIG, read_origin
    from a2cli.mot.header import read_header

    origin = read_origin(folder)
    base = json.loads((folder / CONFIG).read_text(encoding="utf-8")).get("base_model_name_or_path")
    _, layout = read_header(find_weights(folder))
    stored = {entry.dtype for entry in layout.values()}
    if not stored or not stored <= set(_DTYPES):
        raise CheckpointError(f"{folder}: its tensors are not floating", hint="float32, bfloat16 or float16")
    widest = max((_DTYPES[name] for name in sorted(stored)), key=lambda dtype: dtype.itemsize)
    return {
        "backbone": origin.get("backbone", ""),
        "base_id": origin.get("base_id") or (base if isinstance(base, str) else ""),
        "base_hash": origin.get("base_hash", ""),
        "dtype": widest,
        "recipe": origin.get("recipe", {}),
        "experts": None,
    }


def is_hub_id(base_id: str) -> bool:
    """Whether a base's name is one to look up on the hub: OWNER/NAME."""
    return base_id.count("/") == 1


def _get_base_id(said: str, backbone: str, model: str | None) -> str:
    """A hub id where the base has one, else a name without this machine's paths."""
    named = model or said
    if named == backbone and backbone and backbone != EMBEDDED:
        from a2cli.backbones.registry import load_backbone_class

        named = getattr(load_backbone_class(backbone), "default_model", None) or named
    path = Path(named).expanduser()
    return show_name(path.name if path.is_absolute() or named.startswith(".") else get_source_name(named))
