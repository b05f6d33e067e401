"""What Tab offers after an option whose values are known; nothing here imports a framework."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

from a2cli.config.batch import Engine
from a2cli.config.edit import DTYPES
from a2cli.config.memory import Offload
from a2cli.types import Quantize

Complete = Callable[[str], list[str]]


def complete_backbone(incomplete: str) -> list[str]:
    """Names of registered backbones, from the packages' metadata alone."""
    from a2cli.backbones.registry import list_backbones

    return [info.name for info in list_backbones() if info.usable and info.name.startswith(incomplete)]


def _offer(words: tuple[str, ...]) -> Complete:
    def complete(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return complete


complete_device = _offer(("auto", "cpu", "cuda", "mps"))
complete_dtype = _offer(DTYPES)
complete_engine = _offer(get_args(Engine))
complete_offload = _offer(get_args(Offload))
complete_quantize = _offer(get_args(Quantize))
