"""The attention processor of both passes: the one door through which a2 enters diffusers' FLUX blocks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from torch import Tensor

from a2cli.context.cache import ContextCache

if TYPE_CHECKING:
    from torch import nn

Pass = Literal["context", "target"]


class Recorder(Protocol):
    """Something that looks at the attention of the blocks it knows; it changes nothing."""

    def record(self, name: str, which: Pass, query: Tensor, key: Tensor, key_mask: Tensor | None) -> None:
        """See one block's queries (B, Q, heads, head_dim) and keys (B, K, heads, head_dim), positions applied.

        In the context pass both are [text, photo, reference]; in the target pass queries are the target's, keys
        the kept ones and then the target's. `key_mask` (B, K) bool bars keys where it is False.
        """


@dataclass
class PassState:
    """Which pass is running and with which cache; shared by all processors of a transformer.

    `recorder` looks on; `region` is what a region adapter's blocks need to know of the pass, None where it is off.
    """

    current: Pass = "context"
    cache: ContextCache | None = None
    key_mask: Tensor | None = None
    recorder: Recorder | None = None
    region: Any = None

    @contextmanager
    def replaying(self, snapshot: PassState) -> Iterator[None]:
        """Stand in for an earlier moment, then put all back: the second run of gradient checkpointing.

        A replayed context pass keeps its keys nowhere: those of the first run carry the gradient.
        """
        now = replace(self)
        self.current, self.cache, self.key_mask = snapshot.current, snapshot.cache, snapshot.key_mask
        self.recorder, self.region = None, snapshot.region
        if self.cache is not None and self.current == "context":
            self.cache = ContextCache(key_mask=self.cache.key_mask)
        try:
            yield
        finally:
            for name in ("current", "cache", "key_mask", "recorder", "region"):
                setattr(self, name, getattr(now, name))


class TwoPassProcessor:
    """FLUX attention that keeps its keys and values (context pass) or attends to kept ones (target pass).

    Without a cache in `state` it computes what diffusers' own processor computes.
    """

    _attention_backend: Any = None
    _parallel_config: Any = None

    def __init__(self, name: str, state: PassState) -> None:
        self.name, self.state = name, state

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Attend; shapes as in diffusers: (B, S, D) streams, text first in the joint sequence."""
        from diffusers.models.attention_dispatch import dispatch_attention_fn
        from diffusers.models.embeddings import apply_rotary_emb

        query, key, value = _project(attn, hidden_states, encoder_hidden_states)
        if image_rotary_emb is not None:
            query = apply_rotary_emb(query, image_rotary_emb, sequence_dim=1)
            key = apply_rotary_emb(key, image_rotary_emb, sequence_dim=1)

        cache = self.state.cache
        if cache is not None and self.state.current == "context":
            cache.store(self.name, key, value)
        elif cache is not None:
            kept_key, kept_value = (_Kept.apply(kept[self.name]) for kept in (cache.keys, cache.values))
            key = torch.cat([kept_key, key], dim=1)  # (B, L + M, heads, head_dim)
            value = torch.cat([kept_value, value], dim=1)
        if self.state.key_mask is not None:
            attention_mask = self.state.key_mask[:, None, None, :]
        if self.state.recorder is not None and cache is not None:
            self.state.recorder.record(self.name, self.state.current, query, key, self.state.key_mask)

        attended = dispatch_attention_fn(
            query,
            key,
            value,
            attn_mask=attention_mask,
            backend=self._attention_backend,
            parallel_config=self._parallel_config,
        )
        attended = attended.flatten(2, 3).to(query.dtype)
        if encoder_hidden_states is None:
            return attended
        text, image = attended.split_with_sizes(
            [encoder_hidden_states.shape[1], attended.shape[1] - encoder_hidden_states.shape[1]], dim=1
        )
        return attn.to_out[1](attn.to_out[0](image)), attn.to_add_out(text)


class _Kept(torch.autograd.Function):
    """The identity; its gradient gets memory of its own instead of a view that holds all L + M tokens' alive."""

    @staticmethod
    def forward(ctx: Any, kept: Tensor) -> Tensor:
        return kept.view_as(kept)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient.clone()


def _project(attn: Any, image: Tensor, text: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Project both streams to normalised (B, S, heads, head_dim) queries, keys and values."""

    def heads(tensor: Tensor) -> Tensor:
        return tensor.unflatten(-1, (-1, attn.head_dim))

    query = attn.norm_q(heads(attn.to_q(image)))
    key = attn.norm_k(heads(attn.to_k(image)))
    value = heads(attn.to_v(image))
    if text is None or attn.added_kv_proj_dim is None:
        return query, key, value
    query = torch.cat([attn.norm_added_q(heads(attn.add_q_proj(text))), query], dim=1)
    key = torch.cat([attn.norm_added_k(heads(attn.add_k_proj(text))), key], dim=1)
    value = torch.cat([heads(attn.add_v_proj(text)), value], dim=1)
    return query, key, value


def install_processors(transformer: nn.Module, state: PassState) -> dict[str, Any]:
    """Put a `TwoPassProcessor` on every attention; returns the processors that were there before."""
    before = dict(transformer.attn_processors)  # type: ignore[arg-type]
    transformer.set_attn_processor(  # type: ignore[operator]
        {name: TwoPassProcessor(name.removesuffix(".attn.processor"), state) for name in before}
    )
    return before
