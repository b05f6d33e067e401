"""A linear layer with low-rank experts beside it."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from a2cli.errors import BackboneError
from a2cli.mot.config import MotConfig
from a2cli.mot.routing import BlockRouting


class _Packed(NamedTuple):
    """The active experts of one frozen routing, side by side; `B` times the gates where all samples share them."""

    key: tuple[object, ...]
    A: Tensor  # (in, k * rank)
    B: Tensor  # (k * rank, out)
    active: Tensor  # (k,)
    shared: bool


class MotLinear(nn.Module):
    """y = base(x) + alpha / rank * sum_i gate_i x A_i B_i, as one product of concatenated rank.

    base_layer stays the original module object. A (in, N * rank) and B (N * rank, out) hold expert i at
    [i * rank, (i + 1) * rank); B starts at zero, so a fresh layer returns the base's numbers bit for bit. The
    gates (B, N), or (1, N) for all samples, come from the block's `routing`. While a routing is reused
    without gradients only its active experts are multiplied.
    Source: A2-Edit, equation 2.
    """

    def __init__(
        self,
        base_layer: nn.Linear,
        config: MotConfig,
        routing: BlockRouting,
        *,
        dtype: torch.dtype = torch.float32,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.routing = routing
        self.rank = config.rank
        self.scaling = config.scaling
        self.in_features, self.out_features = base_layer.in_features, base_layer.out_features
        width = config.num_experts * config.rank
        device = base_layer.weight.device
        self.A = nn.Parameter(torch.empty(self.in_features, width, device=device, dtype=dtype))
        self.B = nn.Parameter(torch.zeros(width, self.out_features, device=device, dtype=dtype))
        bound = 1 / math.sqrt(self.in_features)
        nn.init.uniform_(self.A, -bound, bound, generator=generator)
        self._packed: _Packed | None = None
        self._base_weight: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        y = self.base_layer(x)
        if self.routing.suspended:
            return y
        gates = self.routing.gates
        if gates is None:
            raise BackboneError("an expert layer ran before its block was routed")
        if gates.shape[0] not in (1, x.shape[0]):
            raise BackboneError(f"routing of {gates.shape[0]} samples used for a batch of {x.shape[0]}")
        A: Tensor = self.A
        B: Tensor = self.B
        dtype = _get_compute_dtype(x)
        if self.routing.reuse and not torch.is_grad_enabled():
            packed = self._get_packed(dtype, gates)
            if packed.shared:
                return y + (x.to(dtype) @ packed.A @ packed.B).to(y.dtype)
            A, B, gates = packed.A, packed.B, gates[:, packed.active]
        # (B, 1.., k, 1) against (B, T.., k, rank)
        factors = (self.scaling * gates).to(x.device, dtype)
        factors = factors.reshape(gates.shape[0], *(1 for _ in x.shape[1:-1]), -1, 1)
        low = (x.to(dtype) @ A.to(dtype)).unflatten(-1, (-1, self.rank)) * factors
        return y + (low.flatten(-2) @ B.to(dtype)).to(y.dtype)

    def _get_packed(self, dtype: torch.dtype, gates: Tensor) -> _Packed:
        key = (self.routing.version, dtype, self.A.device, _get_version(self.A), _get_version(self.B))
        if self._packed is None or self._packed.key != key:
            active = self.routing.get_active().to(self.A.device)
            A = self.A.detach().unflatten(1, (-1, self.rank))[:, active].flatten(1)
            B = self.B.detach().unflatten(0, (-1, self.rank))[active]
            shared = gates.shape[0] == 1
            if shared:
                factors = (self.scaling * gates[0, active]).to(B.device)
                B = B * factors[:, None, None]
            self._packed = _Packed(key, A.to(dtype), B.flatten(0, 1).to(dtype), active, shared)
        return self._packed

    def drop_packed(self) -> None:
        """Free the copy of the active experts."""
        self._packed = None

    def get_delta(self, gates: Tensor) -> Tensor:
        """Get the update of the base weight for gates (N,): (out, in) float32, shaped as the weight."""
        factors = (self.scaling * gates.to(self.A.device, torch.float32)).repeat_interleave(self.rank)
        return ((self.A.float() * factors) @ self.B.float()).T

    @property
    def merged(self) -> bool:
        """Whether the base weight holds an update at present."""
        return self._base_weight is not None

    @torch.no_grad()
    def merge(self, gates: Tensor) -> None:
        """Add the update for gates (N,) to the base weight; a copy of the weight is kept for `unmerge`."""
        if self._base_weight is not None:
            raise BackboneError("experts are already merged", hint="unmerge first")
        weight = self.base_layer.weight
        if type(weight) is not nn.Parameter or not weight.is_floating_point():
            raise BackboneError(
                "experts cannot be merged into a base of fewer bits", hint="load it unquantised"
            )
        self._base_weight = weight.detach().clone()
        weight.copy_(weight.float() + self.get_delta(gates))

    @torch.no_grad()
    def unmerge(self) -> None:
        """Put the base weight back, bit for bit; does nothing when not merged."""
        if self._base_weight is not None:
            self.base_layer.weight.copy_(self._base_weight)
            self._base_weight = None

    def extra_repr(self) -> str:
        return f"rank={self.rank}, experts={self.A.shape[1] // self.rank}, scaling={self.scaling:g}"


def _get_compute_dtype(x: Tensor) -> torch.dtype:
    """What the base computes in: autocast's dtype where it is on, else that of x."""
    if torch.is_autocast_enabled(x.device.type):
        return torch.get_autocast_dtype(x.device.type)
    return x.dtype


def _get_version(parameter: Tensor) -> int:
    return -1 if parameter.is_inference() else parameter._version
