"""The trained part of a region adapter's run, on a base and perhaps an adapter that lie frozen below it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from a2cli.context.processor import PassState
from a2cli.engine.adapters import choose_adapters, load_experts
from a2cli.errors import CheckpointError, ConfigError
from a2cli.mot import MotModel
from a2cli.mot.folder import check_base, find_weights, read_tensors
from a2cli.region import RegionModel, get_sizes, inject_region, read_region, save_region
from a2cli.training.config import TrainConfig
from a2cli.training.encodings import get_encoder_digest
from a2cli.training.trainable import gather, get_recipe

PREDICTOR = "predictor."  # begins the names of a mask predictor's weights
READS = "reads"  # key of a recipe: through which encoders a predictor sees photos and sentences


class RegionWeights:
    """What makes a frozen base, and an adapter frozen on it, aware of a region; `predicts` says that masks are learned.

    A predictor whose masks are not (`loss.mask: 0`) is kept as it is.
    """

    def __init__(self, backbone: Any, config: TrainConfig, state: PassState) -> None:
        assert config.region is not None
        if config.region.instruction_layers > 1:
            raise ConfigError(
                f"region.instruction_layers: backbone {backbone.name} gives one layer of text states",
                hint="leave it at 1",
            )
        self.backbone, self.config = backbone, config
        self.experts: MotModel | None = None
        self.adapter_hash = ""
        blocks = backbone.get_blocks()  # with the base's own linears, before an adapter replaces them
        if config.model.adapter is not None:
            chosen = choose_adapters(config.model.adapter, backbone=backbone.name, model=config.model.path)
            if "region" in chosen.folders:
                raise ConfigError(
                    f"model.adapter: {chosen.folders['region']} is a region adapter itself",
                    hint="model.region begins with its weights",
                )
            self.experts, _ = load_experts(backbone, chosen, backbone.transformer.dtype)
            self.adapter_hash = chosen.hash
        backbone.transformer.requires_grad_(False)
        torch.manual_seed(config.seed)
        sizes = get_sizes(backbone.transformer)
        self.handle = inject_region(
            backbone.transformer,
            blocks,
            config.region,
            text_dim=sizes["text_dim"],
            latent_dim=sizes["latent_dim"],
            state=state,
        )
        if config.model.region is not None:
            begin_with(self.handle, config.model.region, backbone)
        self.predicts = config.mask_weight > 0
        for name, parameter in self.handle.named_parameters().items():
            parameter.requires_grad_(self.predicts or not name.startswith(PREDICTOR))
        self.modules = nn.ModuleDict({"transformer": backbone.transformer, "region": self.handle.modules})

    def named_parameters(self) -> dict[str, nn.Parameter]:
        return {name: p for name, p in self.handle.named_parameters().items() if p.requires_grad}

    def save(self, folder: Path | None) -> None:
        """Save a region adapter `adapter`, in half precision."""
        state = gather(self.handle.named_parameters())
        if folder is not None:
            base_id = self.config.model.path or self.backbone.name
            self.write(folder, state, base_id, self.backbone.base_hash, {"adapter": self.adapter_hash})

    def write(
        self, folder: Path, state: dict[str, torch.Tensor], base_id: str, base_hash: str, more: dict[str, Any]
    ) -> None:
        """Write the folder `adapter`, made for a base; `more` joins its recipe."""
        save_region(
            self.handle,
            folder / "adapter",
            backbone=self.backbone.name,
            base_id=base_id,
            base_hash=base_hash,
            dtype=torch.float16,
            recipe={**get_recipe(self.config), **more},
            state=state,
        )


def begin_with(handle: RegionModel, folder: str, backbone: Any) -> None:
    """Copy the weights of a saved region adapter into one that has all its parts and perhaps more.

    A predictor that was trained with its text encoder goes with that one, whatever became of the transformer, which
    it does not see. Raises CheckpointError for a damaged folder, another base, and a tensor that has no place or
    another shape here.
    """
    info, path = read_region(folder), find_weights(Path(folder))
    reads = info.recipe.get(READS)
    if info.config.adapter or reads is None:
        check_base(path, info, backbone.base_hash)
    elif reads != get_reads(backbone):
        raise CheckpointError(
            f"{path}: made with another autoencoder or text encoder than this base's",
            hint="use the model that was saved beside it, or one trained on from that",
        )
    tensors = read_tensors(path)
    try:
        handle.load_state_dict({**handle.state_dict(), **tensors})
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error.message}", hint="keep its region settings") from error


def get_reads(backbone: Any) -> str:
    """A digest of the encoders that a predictor reads through, as they are in half precision, hex."""
    parts = ("vae", "text_encoder_2")
    return get_encoder_digest({part: copy.deepcopy(backbone.components[part]).half() for part in parts})
