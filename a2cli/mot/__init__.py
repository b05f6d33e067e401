"""Mixture of transformers: routed low-rank experts on every linear of a block (A2-Edit, section 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from a2cli.mot.config import MotConfig

if TYPE_CHECKING:
    from a2cli.mot.adapter import AdapterInfo, hash_base, load_adapter, read_adapter, save_adapter
    from a2cli.mot.inject import inject_mot
    from a2cli.mot.model import MotModel, RoutingState

_HOMES = {
    "AdapterInfo": "adapter",
    "MotModel": "model",
    "RoutingState": "model",
    "hash_base": "adapter",
    "inject_mot": "inject",
    "load_adapter": "adapter",
    "read_adapter": "adapter",
    "save_adapter": "adapter",
}

__all__ = [
    "AdapterInfo",
    "MotConfig",
    "MotModel",
    "RoutingState",
    "hash_base",
    "inject_mot",
    "load_adapter",
    "read_adapter",
    "save_adapter",
]


def __getattr__(name: str) -> object:
    # Lazy, so that a config can be checked without importing torch.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
