"""Put a region adapter onto a transformer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from a2cli.errors import BackboneError, ConfigError
from a2cli.region.config import RegionConfig
from a2cli.region.model import RegionModel, RegionParts
from a2cli.types import BlockSpec

if TYPE_CHECKING:
    from a2cli.context.processor import PassState


def inject_region(
    transformer: nn.Module,
    blocks: Sequence[BlockSpec],
    config: RegionConfig,
    *,
    text_dim: int,
    latent_dim: int,
    state: PassState,
    dtype: torch.dtype = torch.float32,
) -> RegionModel:
    """Put a block adapter behind every listed block, what they read beside it, and a predictor; the base is frozen.

    blocks: as the backbone lists them; the first linear of each reads the block's width, and each block returns
    (text, image) states. text_dim: J of the text states, latent_dim: C of a latent token. state: that of the
    `TwoPass` which will run the transformer. dtype: of the new parameters, float32 for training; each adapter
    lies on its block's device, all else on the first one's. Experts may be in the blocks or come later. The
    transformer's output does not change by a bit until it is given region inputs and has been trained. Draws from
    torch's global generator. Undo with `RegionModel.remove()`. Raises ConfigError for a block list that does not fit.
    """
    parts = _build_parts(blocks, config, text_dim, latent_dim)
    for name, part in parts.named_children():
        if name != "adapters":
            part.to(_get_device(blocks[0]), dtype)
    for spec, adapter in zip(blocks, parts.adapters, strict=False):
        adapter.to(_get_device(spec), dtype)
    frozen = {parameter: parameter.requires_grad for parameter in transformer.parameters()}
    transformer.requires_grad_(False)
    modules = {spec.name: spec.module for spec in blocks}
    return RegionModel(transformer, config, modules, parts, state, frozen)


def get_parameter_shapes(
    blocks: Sequence[BlockSpec], config: RegionConfig, *, text_dim: int, latent_dim: int
) -> dict[str, tuple[int, ...]]:
    """Get the shapes `inject_region` would make, by the names of `RegionModel.named_parameters`; allocates nothing."""
    with torch.device("meta"):
        parts = _build_parts(blocks, config, text_dim, latent_dim)
    named = parts.name_parameters([spec.name for spec in blocks])
    return {name: tuple(parameter.shape) for name, parameter in named.items()}


def get_sizes(transformer: nn.Module) -> dict[str, int]:
    """What a transformer's config says of its inputs: `text_dim` and `latent_dim`, as `inject_region` takes them.

    Raises BackboneError where it does not say.
    """
    config: Any = getattr(transformer, "config", None)
    text_dim = getattr(config, "joint_attention_dim", None)
    latent_dim = getattr(config, "out_channels", None) or getattr(config, "in_channels", None)
    if not (isinstance(text_dim, int) and isinstance(latent_dim, int)):
        raise BackboneError("the transformer does not say how wide text states and latent tokens are")
    return {"text_dim": text_dim, "latent_dim": latent_dim}


def _build_parts(
    blocks: Sequence[BlockSpec], config: RegionConfig, text_dim: int, latent_dim: int
) -> RegionParts:
    if not blocks:
        raise ConfigError("the backbone lists no blocks to put adapters behind")
    if len({spec.name for spec in blocks}) != len(blocks):
        raise ConfigError("two blocks of the backbone share a name")
    for spec in blocks:
        if any(
            isinstance(getattr(h, "__self__", None), RegionModel) for h in spec.module._forward_hooks.values()
        ):
            raise ConfigError(f"{spec.name} already has a region adapter", hint="remove the other one first")
    dims = [next(iter(spec.linears.values())).in_features for spec in blocks]
    return RegionParts(config, dims, text_dim=text_dim, latent_dim=latent_dim)


def _get_device(spec: BlockSpec) -> torch.device:
    linear = next(iter(spec.linears.values()))  # perhaps one with experts, which has no weight of that name
    return next(linear.parameters()).device
