"""Small types shared by the layers; importing this module imports no framework."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import nn

MAX_PIXELS = 178_956_970  # of a picture unless told otherwise; what Pillow calls a decompression bomb

BlockKind = Literal["double", "single"]
Stage = Literal["fine", "rough", "box"]
Quantize = Literal["nf4", "int8", "torchao-int8"]


@dataclass(frozen=True)
class BlockSpec:
    """One transformer block as a backbone describes it.

    `linears` maps the attribute path inside the block to each attention and feed-forward linear,
    rectangular ones included; modulation and embedding layers are not listed.
    """

    name: str
    module: nn.Module
    kind: BlockKind
    linears: dict[str, nn.Linear] = field(default_factory=dict)
