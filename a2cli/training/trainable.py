"""What of a model a run trains: the base or a part of it, experts and routers, a low-rank or a region adapter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from a2cli.context.processor import PassState
from a2cli.lora.adapter import LoraAdapter, inject_lora
from a2cli.mot import MotModel, inject_mot, save_adapter
from a2cli.training.config import GroundingConfig, TrainConfig
from a2cli.training.nano import save_nano
from a2cli.training.processes import get_whole

PARTS = ("transformer", "text_encoder_2", "image_encoder", "image_embedder")
TEXT_ENCODER = "text_encoder_2."  # begins the names of its weights
TEXT_PARTS = (TEXT_ENCODER, "transformer.context_embedder.")
# Of a double block; in a single one text and picture share every weight.
TEXT_WEIGHTS = ("attn.add_", "attn.to_add_out.", "attn.norm_added_", "ff_context.", "norm1_context.")


class Trainable(Protocol):
    """The trained part of a backbone."""

    experts: MotModel | None
    modules: nn.ModuleDict

    def named_parameters(self) -> dict[str, nn.Parameter]:
        """List the trained parameters under stable names."""

    def save(self, folder: Path | None) -> None:
        """Write the public format into a run folder; None only takes part in gathering shards."""


def build_trainable(backbone: Any, config: TrainConfig, state: PassState) -> Trainable:
    """Prepare a backbone, whose passes `state` tells of, for what `config.model.train` names; all else is frozen."""
    if config.model.train == "base":
        return BaseWeights(backbone, config.grounding or GroundingConfig())
    torch.manual_seed(config.seed)
    if config.model.train == "text":
        from a2cli.training.text_weights import TextWeights

        return TextWeights(backbone, config, state)
    if config.model.train == "region":
        from a2cli.training.region_weights import RegionWeights

        return RegionWeights(backbone, config, state)
    return (ExpertWeights if config.model.train == "mot" else LoraWeights)(backbone, config)


class BaseWeights:
    """Every weight but the autoencoder's; of the text's path alone, or without the text encoder's, if so asked."""

    experts: MotModel | None = None

    def __init__(self, backbone: Any, grounding: GroundingConfig) -> None:
        self.backbone = backbone
        self.modules = nn.ModuleDict({part: backbone.components[part] for part in PARTS})
        for name, parameter in self.modules.named_parameters():
            encoder = name.startswith(TEXT_ENCODER) and not grounding.train_encoder
            parameter.requires_grad_(not encoder and (is_text_path(name) or not grounding.text_only))

    def named_parameters(self) -> dict[str, nn.Parameter]:
        return {name: p for name, p in self.modules.named_parameters() if p.requires_grad}

    def save(self, folder: Path | None) -> None:
        """Save a diffusers folder `model`."""
        if folder is not None:
            save_nano(self.backbone, folder / "model")


def is_text_path(name: str) -> bool:
    """Whether a weight of the base, PART.NAME, serves the text's tokens alone."""
    return name.startswith(TEXT_PARTS) or any(f".{word}" in name for word in TEXT_WEIGHTS)


class ExpertWeights:
    """Experts and routers on a frozen base (A2-Edit, section 3.2)."""

    def __init__(self, backbone: Any, config: TrainConfig) -> None:
        assert config.adapter is not None
        self.backbone, self.config = backbone, config
        self.handle = inject_mot(backbone.transformer, backbone.get_blocks(), config.adapter)
        self.experts: MotModel | None = self.handle
        self.modules = nn.ModuleDict({"transformer": backbone.transformer})

    def named_parameters(self) -> dict[str, nn.Parameter]:
        return self.handle.named_parameters()

    def save(self, folder: Path | None) -> None:
        """Save an adapter folder `adapter`, in half precision."""
        state = gather(self.named_parameters())
        if folder is not None:
            save_adapter(
                self.handle,
                folder / "adapter",
                backbone=self.backbone.name,
                base_id=self.config.model.path or self.backbone.name,
                base_hash=self.backbone.base_hash,
                dtype=torch.float16,
                recipe=get_recipe(self.config),
                state=state,
            )


class LoraWeights:
    """One low-rank pair a linear, without routing: the row "w/o AE" of A2-Edit's table 3."""

    experts: MotModel | None = None

    def __init__(self, backbone: Any, config: TrainConfig) -> None:
        assert config.lora is not None
        self.backbone, self.config = backbone, config
        self.lora: LoraAdapter = inject_lora(backbone.transformer, backbone.get_blocks(), config.lora)
        self.modules = nn.ModuleDict({"transformer": backbone.transformer})

    def named_parameters(self) -> dict[str, nn.Parameter]:
        return self.lora.named_parameters()

    def save(self, folder: Path | None) -> None:
        """Save a folder `adapter` in peft's format."""
        tensors = gather(self.named_parameters())
        if folder is not None:
            origin = {
                "backbone": self.backbone.name,
                "base_hash": self.backbone.base_hash,
                "recipe": get_recipe(self.config),
            }
            self.lora.save(folder / "adapter", tensors, origin)


def get_recipe(config: TrainConfig) -> dict[str, Any]:
    """How an adapter was trained, as JSON values without a path of this machine."""
    return {
        "steps": config.steps,
        "seed": config.seed,
        "resolution": config.data.resolution,
        "buckets": config.data.buckets,
        "mats": asdict(config.mats),
        "loss": config.list_terms(),
        "lr": config.optimizer.lr,
    }


def gather(named: Mapping[str, nn.Parameter]) -> dict[str, torch.Tensor]:
    """The whole of every parameter, on the CPU; all processes of a sharded run must take part."""
    return {name: get_whole(parameter.detach()).cpu() for name, parameter in named.items()}
