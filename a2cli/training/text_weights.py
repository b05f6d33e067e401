"""The trained part of a text path's run: the text encoder, a mask predictor that reads it, heads that name things."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from a2cli.backbones.loading import hash_weights
from a2cli.context.processor import PassState
from a2cli.training.config import TrainConfig
from a2cli.training.naming import NamingHeads
from a2cli.training.nano import save_nano
from a2cli.training.region_weights import READS, RegionWeights, get_reads
from a2cli.training.trainable import TEXT_ENCODER, gather

NAMING = "naming."  # begins the names of the heads' weights


class TextWeights(RegionWeights):
    """Text encoder, predictor and heads; transformer, autoencoder and image encoder lie frozen."""

    def __init__(self, backbone: Any, config: TrainConfig, state: PassState) -> None:
        super().__init__(backbone, config, state)
        for component in backbone.components.values():
            if isinstance(component, nn.Module):
                component.requires_grad_(False)
        backbone.vae.to(memory_format=torch.channels_last)  # its convolutions are faster so, on CPUs too
        self.encoder: nn.Module = backbone.components["text_encoder_2"].requires_grad_(True)
        assert self.handle.predictor is not None and config.naming is not None
        self.naming = config.naming
        width = self.handle.predictor.config.width
        self.heads = NamingHeads(width, backbone.transformer.config.joint_attention_dim)
        self.modules.update({"text_encoder_2": self.encoder, "naming": self.heads})

    def named_parameters(self) -> dict[str, nn.Parameter]:
        named = super().named_parameters()
        for prefix, module in ((TEXT_ENCODER, self.encoder), (NAMING, self.heads)):
            named |= {f"{prefix}{name}": parameter for name, parameter in module.named_parameters()}
        return named

    def save(self, folder: Path | None) -> None:
        """Save the base `model` and, for it, the region adapter `adapter` that is a predictor alone."""
        state = gather(self.handle.named_parameters())
        if folder is not None:
            save_nano(self.backbone, folder / "model")
            base = folder / "model"
            more = {"naming": asdict(self.naming), READS: get_reads(self.backbone)}
            self.write(folder, state, str(base), hash_weights(base / "transformer"), more)
