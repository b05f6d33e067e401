"""Keys and values of everything known, one pair a block, kept for the length of an edit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass
class ContextCache:
    """What the context pass leaves for the target pass.

    `keys`, `values`: block name -> (B, L, heads, head_dim), positions already applied. `key_mask` (B, L) bool
    marks the context tokens that may be attended to; None: all. `routing` is the experts' choice made from
    the context, part of the cache because cached keys depend on it.
    """

    keys: dict[str, Tensor] = field(default_factory=dict)
    values: dict[str, Tensor] = field(default_factory=dict)
    key_mask: Tensor | None = None
    routing: Any = None

    def store(self, name: str, key: Tensor, value: Tensor) -> None:
        """Keep one block's keys and values."""
        self.keys[name], self.values[name] = key, value

    def repeat(self, count: int) -> ContextCache:
        """Serve `count` targets a sample: every batch row is repeated in place, as `repeat_interleave` does."""
        if count == 1:
            return self

        def spread(tensor: Tensor) -> Tensor:
            return tensor.repeat_interleave(count, dim=0)

        return ContextCache(
            {n: spread(t) for n, t in self.keys.items()},
            {n: spread(t) for n, t in self.values.items()},
            None if self.key_mask is None else spread(self.key_mask),
            None if self.routing is None else _spread_routing(self.routing, count),
        )

    @property
    def nbytes(self) -> int:
        """Bytes held by keys and values."""
        return sum(t.numel() * t.element_size() for t in (*self.keys.values(), *self.values.values()))


def _spread_routing(routing: Any, count: int) -> Any:
    if torch.is_tensor(routing):
        return routing.repeat_interleave(count, dim=0)
    if isinstance(routing, dict):
        return {k: _spread_routing(v, count) for k, v in routing.items()}
    if isinstance(routing, (list, tuple)):
        return type(routing)(_spread_routing(v, count) for v in routing)
    return routing
