"""Put experts and routers into a transformer, and take them out again."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from a2cli.errors import ConfigError
from a2cli.mot.config import MotConfig, Targets
from a2cli.mot.experts import MotLinear
from a2cli.mot.model import ROUTER_NAME, MotBlock, MotModel
from a2cli.mot.router import Router
from a2cli.mot.routing import BlockRouting
from a2cli.types import BlockSpec

QKV_NAMES = frozenset({"to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj"})


def is_target(path: str, targets: Targets) -> bool:
    """Tell whether the linear at `path` inside its block carries experts.

    Linears under `attn` are attention, all others feed-forward; a single-stream block's fused output
    projection, which lies outside `attn` and holds W_2, counts as feed-forward.
    """
    if targets == "all":
        return True
    first, last = path.split(".")[0], path.split(".")[-1]
    if targets == "qkv":
        return last in QKV_NAMES
    return (first == "attn") == (targets == "attention")


def inject_mot(
    transformer: nn.Module,
    blocks: Sequence[BlockSpec],
    config: MotConfig,
    *,
    dtype: torch.dtype = torch.float32,
    generator: torch.Generator | None = None,
) -> MotModel:
    """Give every listed block a router and every targeted linear of it experts; the base is frozen.

    blocks: as the backbone lists them; the first linear of each reads the block's hidden width. dtype: of the
    new parameters, float32 for training; they are made on the device of the linear they join. The
    transformer's output does not change by a bit until a B is no longer zero. Undo with `MotModel.remove()`.
    Raises ConfigError, before anything is changed, for a block list that does not fit or already has experts.
    """
    _check_blocks(blocks, config)
    frozen = {parameter: parameter.requires_grad for parameter in transformer.parameters()}
    transformer.requires_grad_(False)
    parts = []
    for spec in blocks:
        routing = BlockRouting()
        first = next(iter(spec.linears.values()))
        router = Router(
            first.in_features, config, device=first.weight.device, dtype=dtype, generator=generator
        )
        spec.module.add_module(ROUTER_NAME, router)
        linears = {}
        for path, base_layer in spec.linears.items():
            if is_target(path, config.targets):
                linears[path] = MotLinear(base_layer, config, routing, dtype=dtype, generator=generator)
                linears[path].train(base_layer.training)
                spec.module.set_submodule(path, linears[path])
        parts.append(MotBlock(spec.name, spec.module, router, routing, linears))
    return MotModel(transformer, config, parts, frozen)


def get_parameter_shapes(blocks: Sequence[BlockSpec], config: MotConfig) -> dict[str, tuple[int, ...]]:
    """Get the shapes `inject_mot` would make, by the names of `MotModel.named_parameters`; allocates nothing.

    Raises ConfigError for a block list that does not fit or already has experts.
    """
    _check_blocks(blocks, config)
    width = config.num_experts * config.rank
    shapes: dict[str, tuple[int, ...]] = {}
    for spec in blocks:
        router = Router(next(iter(spec.linears.values())).in_features, config, device="meta")
        for name, parameter in router.named_parameters():
            shapes[f"{spec.name}.router.{name}"] = tuple(parameter.shape)
        for path, linear in spec.linears.items():
            if is_target(path, config.targets):
                shapes[f"{spec.name}.{path}.A"] = (linear.in_features, width)
                shapes[f"{spec.name}.{path}.B"] = (width, linear.out_features)
    return shapes


def _check_blocks(blocks: Sequence[BlockSpec], config: MotConfig) -> None:
    if not blocks:
        raise ConfigError("the backbone lists no blocks to put experts into")
    if len({spec.name for spec in blocks}) != len(blocks):
        raise ConfigError("two blocks of the backbone share a name")
    for spec in blocks:
        if hasattr(spec.module, ROUTER_NAME):
            raise ConfigError(f"{spec.name} already has experts", hint="remove the other adapter first")
        if not any(is_target(path, config.targets) for path in spec.linears):
            raise ConfigError(f"{spec.name} has no linear for targets {config.targets!r}")
        for path, linear in spec.linears.items():
            if not isinstance(linear, nn.Linear):
                raise ConfigError(f"{spec.name}.{path} is a {type(linear).__name__}, not a linear")
            if spec.module.get_submodule(path) is not linear:
                raise ConfigError(f"{spec.name}.{path} is not the linear the backbone lists")
