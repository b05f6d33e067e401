"""The block adapter: target tokens ask the condition stream (Edit Where You Mean, equations 1 and 2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from a2cli.region.attention import Attention, FeedForward, Kept


class BlockAdapter(nn.Module):
    """h' = h + g * FFN(LayerNorm(CA(q = h, kv = c))) on a block's output h (B, M, dim).

    The feed-forward's last layer starts at zero: a fresh adapter returns h bit for bit. h is normalised without
    parameters before W_Q: residual streams grow with depth and would saturate the softmax. Where `width` equals dim and
    `expansion` is 2 its size is the paper's (table 5), which counts an output projection to the attention. Runs in the
    dtype of its own weights, or autocast's, and answers in h's.
    """

    def __init__(self, dim: int, width: int, num_heads: int, expansion: int) -> None:
        super().__init__()
        self.attention = Attention(dim, width, width, num_heads)
        self.norm = nn.LayerNorm(width)
        self.ffn = FeedForward(width, expansion, dim)
        nn.init.zeros_(self.ffn.fc_out.weight)
        nn.init.zeros_(self.ffn.fc_out.bias)

    def forward(
        self,
        hidden: Tensor,
        condition: Tensor,
        gate: Tensor | None,
        memory: dict[nn.Module, Kept] | None = None,
    ) -> Tensor:
        """Fold the condition (B, N_c, width) into h, as far as the gate (B, M, 1) lets it; None lets all.

        `memory` keeps the condition's keys and values from step to step; without gradients only.
        """
        query = F.layer_norm(hidden.to(self.norm.weight.dtype), hidden.shape[-1:])
        attended = self.attention(query, kept=self._get_kept(condition, memory))
        update = self.ffn(self.norm(attended))
        if gate is not None:
            update = gate.to(update.dtype) * update  # (equation 2)
        return hidden + update.to(hidden.dtype)

    def _get_kept(self, condition: Tensor, memory: dict[nn.Module, Kept] | None) -> Kept:
        if memory is None or torch.is_grad_enabled():
            return self.attention.get_kept(condition)
        if self not in memory:
            memory[self] = self.attention.get_kept(condition)
        return memory[self]
