"""Weights that are on the device only while they are needed, through accelerate's hooks on a backbone's parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from accelerate import cpu_offload
from accelerate.hooks import ModelHook, add_hook_to_module
from accelerate.utils import send_to_device
from torch import nn

from a2cli.backbones.base import Backbone
from a2cli.config.memory import Offload
from a2cli.errors import BackboneError

HOME = torch.device("cpu")
# Modules whose weights are read by others than themselves: they come and go as one.
WHOLE = ("Router", "MultiheadAttention")


def get_parts(backbone: Backbone) -> dict[str, nn.Module]:
    """The parts of a backbone that hold weights, by name. Raises `BackboneError` for one that does not name them."""
    parts = getattr(backbone, "components", None)
    if not isinstance(parts, Mapping) or not hasattr(backbone, "execution_device"):
        raise BackboneError(
            f"backbone {backbone.name!r} keeps all its weights on one device",
            hint="leave --offload and --vram out",
        )
    return {name: part for name, part in parts.items() if isinstance(part, nn.Module)}


def offload_parts(backbone: Any, how: Offload, device: torch.device) -> None:
    """Let a backbone in main memory compute on `device`.

    "none" moves it there. "model": a part is brought when it is called, and the one before it goes back, so that the
    device holds the largest part at most. "sequential": so with each layer. The numbers computed are the same. Weights
    must lie in main memory, adapters be in their places. Raises `BackboneError` as `get_parts` does.
    """
    parts = get_parts(backbone)
    if how == "model":
        turns = Turns(device)
        for part in parts.values():
            add_hook_to_module(part, _Turn(turns), append=True)
    for part in parts.values():
        if how == "none":
            part.to(device)
        elif how == "sequential":
            cpu_offload(
                part,
                device,
                offload_buffers=bool(part._parameters),  # parameters of its own: as diffusers does it
                preload_module_classes=list(WHOLE),
            )
    backbone.execution_device = device


class Turns:
    """Which of several modules is on the device: one at a time."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.present: nn.Module | None = None

    def bring(self, module: nn.Module) -> None:
        """Put a module on the device in place of the one that is there."""
        if module is self.present:
            return
        if self.present is not None:
            self.present.to(HOME)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        self.present = None  # should there be no room for the other
        module.to(self.device)
        self.present = module


class _Turn(ModelHook):
    """Takes a module's turn when it is called; diffusers calls this for `encode` and `decode` too."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns

    def pre_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        self.turns.bring(module)
        return send_to_device(args, self.turns.device), send_to_device(kwargs, self.turns.device)


def get_largest_layer(module: nn.Module) -> int:
    """Bytes of what "sequential" brings at once, at most."""
    sizes = [0]
    for child in module.modules():
        whole = type(child).__name__ in WHOLE
        sizes.append(sum(p.nbytes for p in child.parameters(recurse=whole)))
    return max(sizes)
