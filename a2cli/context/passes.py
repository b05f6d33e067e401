"""The context pass and the target pass over an unmodified FLUX transformer (DESIGN: two passes).

Known tokens (text, visible photo, reference) are modulated at timestep 0 and attend only to each other, so their
keys and values do not depend on the noise level and are computed once. Unknown tokens carry the noise, have no
text stream, and attend to the kept keys and to each other.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from a2cli.context.cache import ContextCache
from a2cli.context.layout import get_image_ids
from a2cli.context.processor import Pass, PassState, install_processors


@dataclass(frozen=True)
class Condition:
    """Everything known about an edit, as tokens.

    masked   (B, N, C) latents of the photo with its hole filled (grey, or the placed reference); the visible
             background is read from here, so that nothing under the mask leaks through the autoencoder
    mask     (B, N, P) packed mask bits
    visible  (B, N) bool, tokens without a masked pixel
    reference (B, R, C) clean latents of the reference subject on plain ground
    text     (B, T, J) prompt and image-encoder tokens, pooled (B, Q)
    grid, ref_grid: token rows and columns of photo and reference
    """

    masked: Tensor
    mask: Tensor
    visible: Tensor
    reference: Tensor
    text: Tensor
    pooled: Tensor
    grid: tuple[int, int]
    ref_grid: tuple[int, int]

    def get_region(self) -> Tensor:
        """Token indices (M,) of the region; one mask for the whole batch is required."""
        if not bool((self.visible == self.visible[:1]).all()):
            raise ValueError("a region subset needs one mask for the whole batch")
        return (~self.visible[0]).nonzero()[:, 0]


def get_known_tokens(condition: Condition, *, full_grid: bool = False) -> tuple[Tensor, Tensor]:
    """Lay out what a context pass reads: tokens (B, K, in_channels) and their positions (K, 3), photo first.

    Of the photo the visible tokens (one mask a batch; ValueError for several), or all with `full_grid`; then the
    reference's. Each holds its latents twice, as noisy state and as known picture, and its mask bits.
    """
    source = torch.cat([condition.masked, condition.masked, condition.mask], -1)
    ids = get_image_ids(condition.grid, 0, source.device)
    if not full_grid:
        condition.get_region()  # refuses batches with different masks
        seen = condition.visible[0].nonzero()[:, 0]
        source, ids = source[:, seen], ids[seen]
    bits = condition.mask.new_zeros(*condition.reference.shape[:2], condition.mask.shape[-1])
    reference = torch.cat([condition.reference, condition.reference, bits], -1)
    ids = torch.cat([ids, get_image_ids(condition.ref_grid, 1, source.device)])
    return torch.cat([source, reference], 1), ids


class RegionInputs(Protocol):
    """What the blocks of a region adapter read in a target pass."""

    def select(self, tokens: Tensor) -> RegionInputs:
        """The same for the tokens at indices (M,) of the grid."""


class TwoPass:
    """Runs the two passes; owns the attention processors of a transformer until `remove()`."""

    def __init__(
        self, transformer: Any, *, guidance: float | Tensor | None = None, experts: Any = None
    ) -> None:
        self.transformer = transformer
        self.guidance = guidance
        self.experts = experts
        self.state = PassState()
        self._before = install_processors(transformer, self.state)

    def remove(self) -> None:
        """Give the transformer its own processors back."""
        self.transformer.set_attn_processor(self._before)

    def enable_gradient_checkpointing(self) -> None:
        """Keep only what goes into each block, and run the block again in the backward pass.

        The second run sees the pass, the cache and the routing of the first; plain checkpointing would run a
        block of the context pass as one of the target pass that came after it.
        """
        self.transformer.enable_gradient_checkpointing(self._checkpoint)

    def _checkpoint(self, block: nn.Module, *args: Any) -> Any:
        state = replace(self.state)
        replay_routing = self.experts.get_replay(block) if self.experts is not None else nullcontext
        runs = 0

        def run(*inputs: Any) -> Any:
            nonlocal runs
            runs += 1
            if runs == 1:
                return block(*inputs)
            with self.state.replaying(state), replay_routing():
                return block(*inputs)

        return checkpoint(run, *args, use_reentrant=False)

    def encode_context(self, condition: Condition, *, full_grid: bool = False) -> ContextCache:
        """Run the context pass.

        By default only visible photo tokens enter (one mask a batch). `full_grid` keeps every photo token and
        bars the hidden ones by a key mask: what training does, where masks differ within a batch.
        """
        tokens, ids = get_known_tokens(condition, full_grid=full_grid)
        key_mask = None
        if full_grid:
            ones = torch.ones_like(condition.visible[:, :1])
            key_mask = torch.cat(
                [
                    ones.expand(-1, condition.text.shape[1]),
                    condition.visible,
                    ones.expand(-1, condition.reference.shape[1]),
                ],
                1,
            )
        cache = ContextCache(key_mask=key_mask)
        if self.experts is not None:
            self.experts.mode = "route"
            self.experts.token_mask = key_mask
        self.run(tokens, ids, condition.text, condition.pooled, 0.0, "context", cache)
        if self.experts is not None:
            cache.routing = self.experts.routing_state()
        _gather_before_gradients(self.transformer, cache)
        return cache

    def predict_velocity(
        self,
        noisy: Tensor,
        sigma: Tensor | float,
        condition: Condition,
        cache: ContextCache,
        region: Tensor | None = None,
        region_inputs: RegionInputs | None = None,
    ) -> Tensor:
        """Run the target pass.

        `noisy` (B, M, C) are the tokens at indices `region` (M,), or all (B, N, C) when `region` is None, in
        which case the visible ones are barred as keys. `sigma` in [0, 1], a number or (B,). Returns the
        velocity, shaped as `noisy`; rows outside the region mean nothing. `region_inputs` are what a region adapter
        reads, for the full grid and with as many rows as the batch; None: it is off.
        """
        masked, bits = condition.masked, condition.mask
        ids = get_image_ids(condition.grid, 0, noisy.device)
        keys = None
        if region is not None:
            masked, bits, ids = masked[:, region], bits[:, region], ids[region]
        else:
            keys = ~condition.visible
        if cache.key_mask is not None or keys is not None:
            length = next(iter(cache.keys.values())).shape[1]
            known = noisy.new_ones(noisy.shape[0], length, dtype=torch.bool)
            known = known if cache.key_mask is None else cache.key_mask
            own = torch.ones_like(noisy[..., 0], dtype=torch.bool) if keys is None else keys
            keys = torch.cat([known, own], 1)
        if self.experts is not None:
            self.experts.mode = "reuse"
            self.experts.set_routing_state(cache.routing)
        hidden = torch.cat([noisy, masked, bits], -1)
        empty = condition.text[:, :0]
        if region_inputs is not None and region is not None:
            region_inputs = region_inputs.select(region)
        self.state.region = region_inputs
        try:
            return self.run(hidden, ids, empty, condition.pooled, sigma, "target", cache, keys)
        finally:
            self.state.region = None

    def run(
        self,
        hidden: Tensor,
        image_ids: Tensor,
        text: Tensor,
        pooled: Tensor,
        sigma: Tensor | float,
        which: Pass,
        cache: ContextCache,
        keys: Tensor | None = None,
    ) -> Tensor:
        """Run one pass over tokens as the transformer takes them; the experts are routed as their `mode` says.

        `hidden` (B, S, in_channels), `image_ids` (S, 3), `text` (B, T, J), `pooled` (B, Q). A context pass fills
        `cache`, a target pass reads it; `keys` (B, L + S) bool bars keys of a target pass where it is False.
        Returns (B, S, out_channels).
        """
        hidden = hidden.to(
            self.transformer.dtype
        )  # latents are wider than a bf16 base; autocast sees to itself
        batch = hidden.shape[0]
        timestep = torch.as_tensor(sigma, dtype=torch.float32, device=hidden.device).expand(batch)
        guided = getattr(self.transformer.config, "guidance_embeds", False)
        guidance = torch.as_tensor(
            1.0 if self.guidance is None else self.guidance, dtype=hidden.dtype, device=hidden.device
        )
        self.state.current, self.state.cache = which, cache
        self.state.key_mask = cache.key_mask if which == "context" else keys
        try:
            return self.transformer(
                hidden_states=hidden,
                encoder_hidden_states=text,
                pooled_projections=pooled,
                timestep=timestep,
                img_ids=image_ids,
                txt_ids=image_ids.new_zeros(text.shape[1], 3),
                guidance=guidance.expand(batch) if guided else None,
                return_dict=False,
            )[0]
        finally:
            self.state.current, self.state.cache, self.state.key_mask = "context", None, None


def _gather_before_gradients(transformer: Any, cache: ContextCache) -> None:
    """Have a sharded block (FSDP2) whole again when a gradient comes in through its kept keys or values.

    FSDP watches what a block returns; keys and values leave it through the cache, which it cannot see.
    """
    for name in cache.keys:
        block = transformer.get_submodule(name)
        if hasattr(block, "unshard"):
            for tensor in (cache.keys[name], cache.values[name]):
                if tensor.requires_grad:
                    tensor.register_hook(partial(_unshard, block))


def _unshard(block: Any, gradient: Tensor) -> None:
    block.unshard()


def repeat_condition(condition: Condition, count: int) -> Condition:
    """Repeat every batch row `count` times, as `ContextCache.repeat` does."""
    names = ("masked", "mask", "visible", "reference", "text", "pooled")
    return replace(condition, **{n: getattr(condition, n).repeat_interleave(count, dim=0) for n in names})
