"""What one frozen routing adds to each linear, as a pair of low-rank matrices. Pure functions of tensors.

W + B A is the linear of the frozen model: gates and alpha / rank are inside B.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from a2cli.mot.config import MotConfig


@dataclass(frozen=True)
class LowRank:
    """An update of one linear: A (r, in) and B (out, r), shaped as peft's."""

    A: Tensor
    B: Tensor

    @property
    def rank(self) -> int:
        return self.A.shape[0]

    def get_product(self) -> Tensor:
        """The update of the weight itself, (out, in) float32."""
        return self.B.float() @ self.A.float()

    def to(self, dtype: torch.dtype) -> LowRank:
        """The same on the CPU in another dtype, each matrix in memory of its own."""
        return LowRank(*(t.to("cpu", dtype).contiguous() for t in (self.A, self.B)))


Deltas = dict[str, LowRank]  # full path of the linear in the transformer -> its update


def get_frozen_deltas(state: Mapping[str, Tensor], config: MotConfig, gates: Mapping[str, Tensor]) -> Deltas:
    """Get the updates of one frozen routing, exactly: the active experts' matrices side by side, float32.

    state: an adapter's tensors, BLOCK.PATH.A (in, N * rank) and .B (N * rank, out). gates: block name -> (N,). Experts
    whose gate is 0 are left out; a linear none of whose experts is active is not in the result.
    """
    deltas = {}
    for name in state:
        if not name.endswith(".A"):
            continue
        path = name.removesuffix(".A")
        block = next(b for b in gates if path.startswith(f"{b}."))
        factors = config.scaling * gates[block].to(state[name].device, torch.float32)
        active = factors.nonzero().flatten()
        if not len(active):
            continue
        A = state[name].detach().float().unflatten(1, (-1, config.rank))[:, active].flatten(1)
        B = state[f"{path}.B"].detach().float().unflatten(0, (-1, config.rank))[active]
        B = (B * factors[active][:, None, None]).flatten(0, 1)
        deltas[path] = LowRank(A.T.contiguous(), B.T.contiguous())
    return deltas


def get_expert_gates(gates: Mapping[str, Tensor], expert: int) -> dict[str, Tensor]:
    """Gates (N,) of 1 for one expert and 0 for the others, in every block that `gates` names."""
    return {name: torch.eye(len(values))[expert] for name, values in gates.items()}


def truncate(deltas: Mapping[str, LowRank], rank: int) -> tuple[Deltas, float]:
    """Cut every update to its `rank` largest singular values; also the share lost, in [0, 1], Frobenius over all.

    Exact without forming the product: QR of both factors, then the SVD of a small core. Updates of at most that rank
    stay as they are. Source: Eckart and Young 1936.
    """
    cut, lost, total = {}, 0.0, 0.0
    for name, delta in deltas.items():
        q_b, r_b = torch.linalg.qr(delta.B.float())
        q_a, r_a = torch.linalg.qr(delta.A.float().T)
        left, values, right = torch.linalg.svd(r_b @ r_a.T)
        total += float(values.square().sum())
        if delta.rank <= rank:
            cut[name] = delta
            continue
        lost += float(values[rank:].square().sum())
        root = values[:rank].sqrt()
        B = q_b @ (left[:, :rank] * root)
        A = (root[:, None] * right[:rank]) @ q_a.T
        cut[name] = LowRank(A.contiguous(), B.contiguous())
    return cut, math.sqrt(lost / total) if total else 0.0
