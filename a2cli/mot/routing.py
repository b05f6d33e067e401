"""What a block's router decided: shared by all its linears, kept between the context and the target pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from a2cli.errors import BackboneError
from a2cli.mot.config import MotConfig
from a2cli.mot.router import Router, get_gates, select_experts


def get_token_mean(
    hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, token_mask: Tensor | None = None
) -> Tensor:
    """Get the mean token of a block's input: (B, d) float32.

    hidden_states (B, T, d); encoder_hidden_states (B, T_text, d), None or of length 0 when absent.
    token_mask: bool (B, T_text + T) in the order text, image, or (1, ...) for all samples; false tokens do
    not count. A sample without any visible token has mean 0. Raises BackboneError when the mask has another
    length.
    """
    streams = [hidden_states]
    if encoder_hidden_states is not None and encoder_hidden_states.shape[1] > 0:
        streams.insert(0, encoder_hidden_states)
    lengths = [stream.shape[1] for stream in streams]
    if token_mask is None:
        totals = [stream.sum(dim=1, dtype=torch.float32) for stream in streams]
        return torch.stack(totals).sum(dim=0) / max(sum(lengths), 1)
    if token_mask.shape[1] != sum(lengths):
        raise BackboneError(f"token_mask covers {token_mask.shape[1]} tokens, the block has {sum(lengths)}")
    visible = token_mask.to(hidden_states.device, torch.bool)
    parts = visible.split(lengths, dim=1)
    # Filled, not multiplied: a hidden token may hold anything, even NaN.
    totals = [
        stream.masked_fill(~part[..., None], 0).sum(dim=1, dtype=torch.float32)
        for stream, part in zip(streams, parts, strict=True)
    ]
    return torch.stack(totals).sum(dim=0) / visible.sum(dim=1, keepdim=True).clamp_min(1)


@dataclass
class BlockRouting:
    """The routing of one block, read by each of its expert linears.

    gates (B, N) factor the experts' updates. weights and selected (B, num_routed) are what the router said
    last; gates set from outside leave them. reuse: keep the gates instead of routing anew. suspended: the
    experts are merged and the linears answer as their base. version counts the gates stored so far.
    """

    gates: Tensor | None = None
    weights: Tensor | None = None
    selected: Tensor | None = None
    token_mask: Tensor | None = None
    reuse: bool = False
    suspended: bool = False
    counting: bool = True
    version: int = 0
    counts: Tensor | None = None
    samples: int = 0
    _active: tuple[int, Tensor] | None = None

    def store(self, gates: Tensor | None) -> None:
        """Replace the gates, None forgets them; the very same tensor again changes nothing."""
        if gates is self.gates and gates is not None:
            return
        self.gates = gates
        self.version += 1
        self._active = None

    def clear(self) -> None:
        """Forget the gates and what they came from."""
        self.store(None)
        self.weights = self.selected = None

    def route(
        self, router: Router, config: MotConfig, hidden_states: Tensor, encoder_hidden_states: Tensor | None
    ) -> None:
        """Decide the gates of this call, or check that those to be reused exist.

        Raises BackboneError when there is nothing to reuse.
        """
        if self.suspended:
            return
        if self.reuse:
            if self.gates is None:
                raise BackboneError("no routing to reuse", hint="run the context pass in mode 'route' first")
            return
        logits = router(get_token_mean(hidden_states, encoder_hidden_states, self.token_mask))
        weights = logits.to(hidden_states.device).softmax(dim=-1)
        selected = select_experts(weights, config)
        self.weights, self.selected = weights, selected
        self.store(get_gates(weights, selected, config))
        if self.counting:
            self._count(selected)

    def _count(self, selected: Tensor) -> None:
        # On the device, without waiting for it.
        totals = selected.sum(dim=0)
        self.counts = totals if self.counts is None else self.counts.to(totals.device) + totals
        self.samples += selected.shape[0]

    def get_active(self) -> Tensor:
        """Get the indices (k,) of experts with a gate other than 0 in any sample; computed once a routing."""
        if self.gates is None:
            raise BackboneError("no routing to read")
        if self._active is None or self._active[0] != self.version:
            self._active = (self.version, self.gates.detach().ne(0).any(dim=0).nonzero().flatten())
        return self._active[1]

    @contextmanager
    def replaying(self, snapshot: BlockRouting) -> Iterator[None]:
        """Stand in for an earlier call, then put all back: the second run of gradient checkpointing."""
        now = dict(self.__dict__)
        self.__dict__.update(snapshot.__dict__, counting=False)
        try:
            yield
        finally:
            self.__dict__.update(now)
