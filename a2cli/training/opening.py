"""Opening the backbone a run starts from: built fresh, or loaded and frozen."""

from __future__ import annotations

import os
from typing import Any

import torch

from a2cli.backbones.quantize import load_quantized
from a2cli.backbones.registry import load_backbone_class
from a2cli.errors import ConfigError
from a2cli.training.config import TrainConfig
from a2cli.training.nano import build_or_load_nano


def open_base(config: TrainConfig, *, half: bool) -> Any:
    """Open the backbone of a run.

    nano is built or loaded in float32; others, and a quantised nano, are loaded frozen in bfloat16 (`half`) or
    float32, onto this process's own GPU where there is one. Raises ConfigError where the parts or the resolution do
    not fit, BackboneError and CheckpointError as loading does.
    """
    model = config.model
    if model.backbone == "nano" and model.quantize is None:
        backbone: Any = build_or_load_nano(model, seed=config.seed)
    else:
        backbone = load_quantized(
            load_backbone_class(model.backbone),
            model.path,
            device=get_device(config),
            dtype="bfloat16" if half else "float32",
            quantize=model.quantize,
        )
    token_px = backbone.traits.token_px
    if config.data.resolution < token_px or config.data.resolution % token_px:
        raise ConfigError(
            f"data.resolution: {config.data.resolution}", hint=f"a multiple of {token_px}, a token's side"
        )
    _check_buckets(config, backbone.traits.buckets)
    return backbone


def _check_buckets(config: TrainConfig, edits: bool) -> None:
    """A run must see the crops that its result is later given: the base's say is in its traits."""
    if config.data.buckets and not edits and config.model.train == "base":
        raise ConfigError(
            "data.buckets: the model would edit in squares", hint="model.architecture.traits.buckets: true"
        )
    if edits and not config.data.buckets:
        raise ConfigError(
            "data.buckets: false, and the model edits in aspect buckets", hint="data.buckets: true"
        )


def get_device(config: TrainConfig) -> str:
    """Where a frozen base is loaded to: this process's GPU, or the CPU (also where it is sharded later)."""
    sharded = os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"
    if config.device == "cpu" or sharded or not torch.cuda.is_available():
        return "cpu"
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
