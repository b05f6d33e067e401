"""The gating network of a block and the rules that turn its weights into a set of active experts."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from a2cli.mot.config import MotConfig

MIN_HIDDEN = 32


class Router(nn.Module):
    """Gating MLP G: the mean token of a block (B, dim) -> logits over the routed experts (B, num_routed).

    The input is normalised without parameters first: residual streams grow with depth and would saturate the
    softmax. Runs in the dtype of its own weights, autocast or not, on whatever device they are.
    Source: A2-Edit, section 3.2.2.
    """

    def __init__(
        self,
        dim: int,
        config: MotConfig,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        hidden = config.router_hidden or max(MIN_HIDDEN, dim // 6)
        self.fc_in = nn.Linear(dim, hidden, device=device, dtype=dtype)
        self.fc_out = nn.Linear(hidden, config.num_routed, device=device, dtype=dtype)
        for layer in (self.fc_in, self.fc_out):
            bound = 1 / math.sqrt(layer.in_features)
            nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
            nn.init.zeros_(layer.bias)

    def forward(self, pooled: Tensor) -> Tensor:
        weight = self.fc_in.weight
        with torch.autocast(weight.device.type, enabled=False):
            pooled = functional.layer_norm(pooled.to(weight.device, torch.float32), pooled.shape[-1:])
            return self.fc_out(functional.silu(self.fc_in(pooled.to(weight.dtype)))).float()


def select_agr(weights: Tensor) -> Tensor:
    """Select by anchor-guided routing: weights (B, N) -> (B, N) bool, at least two true in each row.

    Expert 0 is always on; assistant i is on iff w_i > w_0 strictly; if none is, the best assistant is (the
    first of equals). Source: A2-Edit, section 3.2.2.
    """
    # Where any assistant beats the anchor the best one does too, so it is on in either case.
    best = weights[:, 1:].argmax(dim=1, keepdim=True) + 1
    selected = (weights > weights[:, :1]).scatter(1, best, True)
    selected[:, 0] = True
    return selected


def select_top_k(weights: Tensor, top_k: int) -> Tensor:
    """Select the top_k largest weights of each row: (B, N) -> (B, N) bool."""
    best = weights.topk(top_k, dim=1).indices
    return torch.zeros_like(weights, dtype=torch.bool).scatter(1, best, True)


def select_dense(weights: Tensor) -> Tensor:
    """Select every expert: (B, N) -> (B, N) bool, all true."""
    return torch.ones_like(weights, dtype=torch.bool)


def select_experts(weights: Tensor, config: MotConfig) -> Tensor:
    """Select by the strategy of config; weights and result (B, num_routed)."""
    if config.routing == "agr":
        return select_agr(weights)
    if config.routing == "top_k":
        return select_top_k(weights, config.top_k)
    return select_dense(weights)


def get_gates(weights: Tensor, selected: Tensor, config: MotConfig) -> Tensor:
    """Get the factor of each expert's update, (B, N), from weights and selection (B, num_routed).

    w_i where selected, 0 elsewhere; the choice passes no gradient, the weights do. A shared expert's 1 is put
    first.
    Source: A2-Edit, equation 2; X2Edit, equations 1-4.
    """
    gates = weights * selected
    if config.renormalize:
        gates = gates / gates.sum(dim=1, keepdim=True)
    if config.shared_expert:
        gates = torch.cat([torch.ones_like(gates[:, :1]), gates], dim=1)
    return gates


def get_routing_weights(logits: Tensor, config: MotConfig) -> Tensor:
    """Get the gates (B, N) of logits (B, num_routed): softmax, selection, product."""
    weights = logits.softmax(dim=-1)
    return get_gates(weights, select_experts(weights, config), config)


def get_balance_loss(weights: Tensor, selected: Tensor) -> Tensor:
    """Get the load-balancing term N sum_i f_i P_i, a scalar; for top-k it is k when all experts share alike.

    weights, selected: (B, N). f_i is the share of samples that use expert i (no gradient), P_i its mean
    weight.
    Source: Fedus et al. 2022 (Switch Transformers), equations 4-6. A2-Edit has no such term.
    """
    share = selected.to(weights.dtype).mean(dim=0)
    return weights.shape[1] * (share * weights.mean(dim=0)).sum()
