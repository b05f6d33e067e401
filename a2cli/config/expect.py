"""What an edit that is repeated from a recipe has to be made with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Weights = Literal["model", "adapter", "region adapter"]


@dataclass(frozen=True)
class Expected:
    """Digests of the weights a recipe names, as it shortens them; "" for none.

    `picture`: whose recipe. `model` and `adapter`: what it calls them. `chosen`: weights the user named for this edit;
    others than the recipe's are then no error. `working`: side in px of the crop the model saw, None for its own.
    """

    picture: str
    model: str
    adapter: str
    base_hash: str
    adapter_hash: str
    region_hash: str
    chosen: frozenset[Weights] = frozenset()
    working: int | None = None
