"""Adapter folders of every kind, put into a backbone: experts, a plain low-rank one, a region adapter."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from a2cli.backbones.base import Backbone
from a2cli.errors import BackboneError, CheckpointError, ConfigError
from a2cli.files import show_name

if TYPE_CHECKING:
    from a2cli.context.passes import TwoPass

SHIPPED = Path(__file__).resolve().parent.parent / "assets"
NONE = "none"
CONFIG = "adapter_config.json"

Kind = Literal["lora", "mot", "region"]
# A plain adapter replaces linears, experts then wrap what they find.
KINDS: tuple[Kind, ...] = ("lora", "mot", "region")


@dataclass(frozen=True)
class Adapters:
    """Folders in the order they are loaded, at most one of a kind."""

    folders: dict[Kind, str]

    @property
    def hash(self) -> str:
        """Digest of the weights that every edit uses; "" without any. The region adapter's is `region_hash`."""
        digests = [_hash(self.folders[kind]) for kind in ("lora", "mot") if kind in self.folders]
        return digests[0] if len(digests) == 1 else _join(digests)

    @property
    def region_hash(self) -> str:
        """Digest of the region adapter's weights; "" without one."""
        return _hash(self.folders["region"]) if "region" in self.folders else ""


def choose_adapters(adapter: str | Sequence[str] | None, *, backbone: str, model: str | None) -> Adapters:
    """Sort adapter folders by kind; None: those shipped with the backbone, where `model` names no other.

    "none" alone means none. Raises ConfigError for two of one kind and for "none" beside a folder, CheckpointError for
    several folders one of which is not there.
    """
    if adapter is None:
        shipped = [SHIPPED / f"{backbone}-{kind}" for kind in ("mot", "region")]
        named = [str(folder) for folder in shipped if folder.is_dir()] if model is None else []
    else:
        named = [adapter] if isinstance(adapter, str) else list(adapter)
    if NONE in named:
        if len(named) > 1:
            raise ConfigError("--adapter none stands beside a folder", hint="leave one of them out")
        named = []
    folders: dict[Kind, str] = {}
    for folder in named:
        if len(named) > 1 and not Path(folder).is_dir():  # one alone is its loader's to refuse
            raise CheckpointError(
                f"{show_name(folder)}: no such folder", hint="--adapter takes the folder a2 train wrote"
            )
        kind = get_kind(folder)
        if kind in folders:
            raise ConfigError(
                f"{show_name(folders[kind])} and {show_name(folder)} are adapters of one kind ({kind})",
                hint="give one of each kind",
            )
        folders[kind] = folder
    return Adapters({kind: folders[kind] for kind in KINDS if kind in folders})


def get_kind(folder: str) -> Kind:
    """What an adapter folder says it holds; experts where it says nothing, whose loader tells what is wrong."""
    try:
        content = json.loads((Path(folder) / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "mot"
    if not isinstance(content, dict):
        return "mot"
    if "peft_type" in content:
        return "lora"
    return "region" if content.get("format") == "a2-region" else "mot"


def load_experts(backbone: Backbone, adapters: Adapters, dtype: torch.dtype) -> tuple[Any, dict[str, Any]]:
    """Put the adapters that change the linears into a backbone: the experts (None: there are none), and recipes.

    Raises CheckpointError for a folder that is damaged or made for another base.
    """
    from a2cli.lora.adapter import load_lora
    from a2cli.mot import load_adapter

    experts, recipe = None, {}
    with remedy("download or train the adapter again, or give --adapter none"):
        if "lora" in adapters.folders:
            folder = adapters.folders["lora"]
            recipe.update(
                load_lora(backbone.transformer, folder, base_hash=backbone.base_hash, dtype=dtype).recipe
            )
        if "mot" in adapters.folders:
            if "lora" in adapters.folders:
                _fold_in(backbone.transformer)
            experts, info = load_adapter(
                backbone.transformer,
                backbone.get_blocks(),
                adapters.folders["mot"],
                base_hash=backbone.base_hash,
                dtype=dtype,
            )
            recipe.update(info.recipe)
    return experts, recipe


def _fold_in(transformer: Any) -> None:
    """Add low-rank adapters to the weights they stand beside, and leave plain linears: what experts can wrap."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(transformer.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            transformer.set_submodule(name, module.get_base_layer())


def load_region_adapter(
    backbone: Backbone, adapters: Adapters, two_pass: TwoPass, dtype: torch.dtype
) -> Any | None:
    """Hang the region adapter, if there is one, on a backbone whose passes `two_pass` runs.

    Raises CheckpointError for a folder that is damaged or made for another base.
    """
    if "region" not in adapters.folders:
        return None
    from a2cli.region import load_region

    with remedy("download or train the adapter again, or leave it out of --adapter"):
        model, _ = load_region(
            backbone.transformer,
            backbone.get_blocks(),
            adapters.folders["region"],
            base_hash=backbone.base_hash,
            state=two_pass.state,
            dtype=dtype,
        )
    return model


@contextmanager
def bare(two_pass: TwoPass) -> Iterator[None]:
    """Let experts and a low-rank adapter say nothing for a while, as if they were not there.

    A low-rank adapter beneath experts is part of the weights they stand on (`load_experts`) and goes on speaking.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    experts = two_pass.experts
    routings = [] if experts is None else [block.routing for block in experts.blocks]
    before = [routing.suspended for routing in routings]
    layers = [
        module
        for module in two_pass.transformer.modules()
        if isinstance(module, BaseTunerLayer) and not module.disable_adapters
    ]
    trained = [(p, p.requires_grad) for layer in layers for p in layer.parameters()]  # the switch sets them
    try:
        two_pass.experts = None
        for routing in routings:
            routing.suspended = True
        for layer in layers:
            layer.enable_adapters(False)
        yield
    finally:
        two_pass.experts = experts
        for routing, suspended in zip(routings, before, strict=True):
            routing.suspended = suspended
        for layer in layers:
            layer.enable_adapters(True)
        for parameter, needed in trained:
            parameter.requires_grad_(needed)


@contextmanager
def remedy(hint: str) -> Iterator[None]:
    """Let errors about weights that say no remedy of their own say this one."""
    try:
        yield
    except (BackboneError, CheckpointError) as error:
        error.hint = error.hint or hint
        raise


def _hash(folder: str) -> str:
    from a2cli.backbones.loading import hash_weights

    return hash_weights(Path(folder))


def _join(digests: Sequence[str]) -> str:
    return hashlib.sha256(" ".join(digests).encode()).hexdigest() if digests else ""
