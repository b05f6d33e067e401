"""The handle on an injected transformer: its routing, its parameters, its way back."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from a2cli.errors import BackboneError, ConfigError
from a2cli.mot.config import MotConfig
from a2cli.mot.experts import MotLinear
from a2cli.mot.router import Router, get_balance_loss
from a2cli.mot.routing import BlockRouting
from a2cli.mot.state import copy_state

RoutingMode = Literal["route", "reuse"]
RoutingState = dict[str, Tensor]
ROUTER_NAME = "mot_router"


@dataclass(frozen=True)
class MotBlock:
    """One block's share of the experts; `linears` maps the path inside the block."""

    name: str
    module: nn.Module
    router: Router
    routing: BlockRouting
    linears: dict[str, MotLinear]


class MotModel:
    """Experts inside a transformer; made by `inject_mot`.

    Each call of a block routes once, from the mean of its tokens, and all its linears share the result.
    `mode` is `route` (context pass, or every step) or `reuse` (target pass: the gates of the last routing
    stay, with their gradient). `token_mask` (B, T_text + T_image) bool limits the mean to visible tokens.
    """

    def __init__(
        self,
        transformer: nn.Module,
        config: MotConfig,
        blocks: Sequence[MotBlock],
        base_requires_grad: Mapping[nn.Parameter, bool],
    ) -> None:
        self.transformer = transformer
        self.config = config
        self.blocks = tuple(blocks)
        self._base_requires_grad = dict(base_requires_grad)
        self._by_module = {block.module: block for block in self.blocks}
        self._mode: RoutingMode = "route"
        self._token_mask: Tensor | None = None
        self._merged = False
        self._hooks: list[RemovableHandle] = [
            block.module.register_forward_pre_hook(self._route_block, with_kwargs=True)
            for block in self.blocks
        ]

    # Routing

    def _route_block(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        block = self._by_module[module]
        hidden_states = args[0] if args else kwargs["hidden_states"]
        text = args[1] if len(args) > 1 else kwargs.get("encoder_hidden_states")
        block.routing.route(block.router, self.config, hidden_states, text)

    @property
    def mode(self) -> RoutingMode:
        """`route`: decide and keep the gates in every block; `reuse`: take those kept."""
        return self._mode

    @mode.setter
    def mode(self, mode: RoutingMode) -> None:
        if mode not in get_args(RoutingMode):
            raise ConfigError(f"unknown routing mode {mode!r}", hint="route or reuse")
        self._mode = mode
        for block in self.blocks:
            block.routing.reuse = mode == "reuse"

    @property
    def token_mask(self) -> Tensor | None:
        """Which tokens the routing sees, (B, T_text + T_image) bool; None for all."""
        return self._token_mask

    @token_mask.setter
    def token_mask(self, token_mask: Tensor | None) -> None:
        self._token_mask = token_mask
        for block in self.blocks:
            block.routing.token_mask = token_mask

    def routing_state(self) -> RoutingState:
        """Get the kept gates by block name, (B, N) float32 each: part of a context cache's key.

        Raises BackboneError when a block was not routed yet.
        """
        state = {}
        for block in self.blocks:
            if block.routing.gates is None:
                raise BackboneError(f"{block.name} has not been routed", hint="run the context pass first")
            state[block.name] = block.routing.gates
        return state

    def set_routing_state(self, state: Mapping[str, Tensor]) -> None:
        """Keep these gates, e.g. those of a cached context; `mode` and what the routers said last stay.

        Giving the very same tensors again at every step costs nothing.
        Raises BackboneError when a block is missing or its gates are not (B, N).
        """
        for block in self.blocks:
            gates = state.get(block.name)
            if gates is None or gates.ndim != 2 or gates.shape[1] != self.config.num_experts:
                raise BackboneError(f"no gates (B, {self.config.num_experts}) for {block.name}")
        for block in self.blocks:
            block.routing.store(state[block.name])

    def clear_routing(self) -> None:
        """Forget the kept gates, their graph and the copies made of active experts."""
        for block in self.blocks:
            block.routing.clear()
            for linear in block.linears.values():
                linear.drop_packed()

    def get_replay(self, module: nn.Module) -> Callable[[], AbstractContextManager[None]]:
        """Remember a block's routing as it is, before it runs: entering what the result gives makes it so again.

        For the second run of gradient checkpointing, which must see the mode and gates of the first and must not
        count samples twice. A module without experts needs nothing.
        """
        block = self._by_module.get(module)
        if block is None:
            return nullcontext
        snapshot = copy.copy(block.routing)
        return lambda: block.routing.replaying(snapshot)

    # What the routers do

    @property
    def routers(self) -> dict[str, Router]:
        """The router of each block, by block name."""
        return {block.name: block.router for block in self.blocks}

    @property
    def linears(self) -> dict[str, MotLinear]:
        """The expert linears by their full path in the transformer."""
        return {
            f"{block.name}.{path}": linear for block in self.blocks for path, linear in block.linears.items()
        }

    @property
    def usage(self) -> dict[str, Tensor]:
        """The share of samples that used each routed expert since `reset_usage`, (num_routed,) a block."""
        return {
            block.name: block.routing.counts.double().cpu() / block.routing.samples
            for block in self.blocks
            if block.routing.counts is not None
        }

    def reset_usage(self) -> None:
        """Start counting anew."""
        for block in self.blocks:
            block.routing.counts, block.routing.samples = None, 0

    def get_selected(self) -> Tensor:
        """Get the last routing's choice: (num_blocks, B, num_routed) bool; BackboneError without one."""
        return torch.stack([selected for _, selected in self._get_last()])

    def get_balance_loss(self) -> Tensor:
        """Get the load-balancing term of the last routing, a scalar with gradient: the mean over blocks."""
        return torch.stack([get_balance_loss(*last) for last in self._get_last()]).mean()

    def _get_last(self) -> list[tuple[Tensor, Tensor]]:
        last = []
        for block in self.blocks:
            weights, selected = block.routing.weights, block.routing.selected
            if weights is None or selected is None:
                raise BackboneError(f"{block.name} has not been routed")
            last.append((weights, selected))
        return last

    # Parameters

    def named_parameters(self) -> dict[str, nn.Parameter]:
        """The experts' A and B and the routers' weights, by names that do not depend on the injection."""
        named: dict[str, nn.Parameter] = {}
        for block in self.blocks:
            for name, parameter in block.router.named_parameters():
                named[f"{block.name}.router.{name}"] = parameter
            for path, linear in block.linears.items():
                named[f"{block.name}.{path}.A"] = linear.A
                named[f"{block.name}.{path}.B"] = linear.B
        return named

    def trainable_parameters(self) -> list[nn.Parameter]:
        """The same parameters in a fixed order, for an optimizer."""
        return list(self.named_parameters().values())

    def state_dict(self) -> dict[str, Tensor]:
        """The same parameters detached: the tensors of an adapter file. They share memory with the model."""
        return {name: parameter.detach() for name, parameter in self.named_parameters().items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Copy tensors into the experts and routers; see `copy_state` for what is refused."""
        copy_state(self.named_parameters(), state)
        self.clear_routing()

    # Merging and leaving

    @property
    def merged(self) -> bool:
        """Whether the experts are inside the base weights at present."""
        return self._merged

    def merge(self, state: Mapping[str, Tensor] | None = None) -> None:
        """Fold one routing into the base weights: W = W0 + alpha / rank * sum_i gate_i A_i B_i.

        state: gates as `routing_state` gives them, of one sample, or equal in all; None for those kept.
        Routing stops until `unmerge`, for which the original weights are kept in memory.
        Raises BackboneError when already merged or when samples differ.
        """
        if self._merged:
            raise BackboneError("experts are already merged", hint="unmerge first")
        gates = dict(state) if state is not None else self.routing_state()
        for block in self.blocks:
            if block.name not in gates or gates[block.name].ndim != 2:
                raise BackboneError(f"no gates (1, {self.config.num_experts}) for {block.name}")
            if not bool((gates[block.name] == gates[block.name][:1]).all()):
                raise BackboneError("samples of a batch are routed differently; merge one sample at a time")
        for block in self.blocks:
            for linear in block.linears.values():
                linear.merge(gates[block.name][0])
                linear.drop_packed()
            block.routing.suspended = True
        self._merged = True

    def unmerge(self) -> None:
        """Put the base weights back bit for bit and route again; does nothing when not merged."""
        for block in self.blocks:
            for linear in block.linears.values():
                linear.unmerge()
            block.routing.suspended = False
        self._merged = False

    def remove(self) -> None:
        """Put the original modules back where they were; a second call does nothing."""
        if not self._hooks:
            return
        self.unmerge()
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        for block in self.blocks:
            for path, linear in block.linears.items():
                block.module.set_submodule(path, linear.base_layer)
            delattr(block.module, ROUTER_NAME)
        for parameter, requires_grad in self._base_requires_grad.items():
            parameter.requires_grad_(requires_grad)
        self._by_module = {}
