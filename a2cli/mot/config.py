"""The settings of a mixture of transformers; importing this module imports no framework."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from a2cli.errors import ConfigError

RoutingStrategy = Literal["agr", "top_k", "dense"]
Targets = Literal["all", "attention", "ffn", "qkv"]


@dataclass(frozen=True)
class MotConfig:
    """Shape and routing of the experts.

    num_experts: N of the paper, the anchor or shared expert included. rank, alpha: a low-rank product is
    scaled by alpha / rank; alpha None means rank. routing: `agr` is anchor-guided (expert 0 always,
    assistants that outweigh it), `top_k` takes the k best, `dense` all. shared_expert: expert 0 is always on
    with weight 1 and the router weighs the others only (X2Edit's layout, not for `agr`). renormalize: weights
    of the selected experts sum to 1. targets: which linears of a block carry experts. router_hidden: width of
    the gating MLP, None for a sixth of the block's width, which gives FLUX.1 routers of about the size the
    paper's memory figures leave room for.

    Raises ConfigError for a value out of range or a combination that cannot learn.
    Source: A2-Edit, sections 3.2.2, 3.2.3 and 5.1; X2Edit, equations 1-4.
    """

    num_experts: int = 8
    rank: int = 32
    alpha: float | None = None
    routing: RoutingStrategy = "agr"
    top_k: int = 2
    shared_expert: bool = False
    renormalize: bool = False
    targets: Targets = "all"
    router_hidden: int | None = None

    def __post_init__(self) -> None:
        if self.routing not in get_args(RoutingStrategy):
            raise ConfigError(f"unknown routing {self.routing!r}", hint="agr, top_k or dense")
        if self.targets not in get_args(Targets):
            raise ConfigError(f"unknown expert targets {self.targets!r}", hint="all, attention, ffn or qkv")
        for name in ("num_experts", "rank", "top_k", "router_hidden"):
            value = getattr(self, name)
            if value is None and name == "router_hidden":
                continue
            if type(value) is not int or value < 1:
                raise ConfigError(f"{name} must be a whole number of at least 1, not {value!r}")
        for name in ("shared_expert", "renormalize"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"{name} must be true or false, not {getattr(self, name)!r}")
        if self.alpha is None:
            object.__setattr__(self, "alpha", float(self.rank))
        elif not (math.isfinite(self.alpha) and self.alpha > 0):
            raise ConfigError(f"alpha must be a positive number, not {self.alpha}")
        self._check_routing()

    def _check_routing(self) -> None:
        if self.shared_expert and self.routing == "agr":
            raise ConfigError("agr has its own always-on expert", hint="leave shared_expert false")
        if self.num_routed < 2:
            raise ConfigError(f"nothing to route among {self.num_routed} experts", hint="raise num_experts")
        if self.routing == "top_k" and self.top_k > self.num_routed:
            raise ConfigError(f"top_k {self.top_k} exceeds the {self.num_routed} routed experts")
        if self.routing == "top_k" and self.top_k == 1 and self.renormalize:
            # One renormalised weight is the constant 1: the router would never see a gradient.
            raise ConfigError("top_k 1 with renormalize cannot train its router", hint="renormalize=false")

    @property
    def num_routed(self) -> int:
        """Experts the router weighs: all, or all but the shared one."""
        return self.num_experts - int(self.shared_expert)

    @property
    def scaling(self) -> float:
        """Factor of every low-rank product, alpha / rank."""
        assert self.alpha is not None  # set in __post_init__
        return self.alpha / self.rank
