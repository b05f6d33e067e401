"""Making, opening and saving a nano-sized model folder."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from a2cli.backbones.build import (
    build_image_embedder,
    build_image_encoder,
    build_text_encoder,
    build_transformer,
    build_vae,
)
from a2cli.backbones.flux import NANO_FOLDER, TRAITS_FILE, NanoBackbone
from a2cli.backbones.loading import hash_weights
from a2cli.engine.train_config import ModelConfig
from a2cli.errors import ConfigError

_BUILDERS: dict[str, Callable[[dict[str, Any]], nn.Module]] = {
    "transformer": build_transformer,
    "vae": build_vae,
    "text_encoder_2": build_text_encoder,
    "image_encoder": build_image_encoder,
    "image_embedder": build_image_embedder,
}


def build_or_load_nano(model: ModelConfig, *, seed: int) -> NanoBackbone:
    """Open the parts found under `model.path` and build the ones `model.architecture` describes.

    Without either, the embedded model is opened. Raises `ConfigError` when a part comes from neither.
    """
    source = Path(model.path or NANO_FOLDER)
    torch.manual_seed(seed)
    components: dict[str, Any] = {}
    for name, load in NanoBackbone.get_loaders(source).items():
        if name in model.architecture:
            components[name] = _BUILDERS[name](model.architecture[name])
        elif name.startswith("tokenizer") or (source / name).is_dir():
            components[name] = load(str(source), torch.float32)
        else:
            raise ConfigError(f"{source} holds no {name}", hint=f"describe it under model.architecture.{name}")
    traits = NanoBackbone.read_traits(source)
    if "traits" in model.architecture:
        traits = dataclasses.replace(traits, **model.architecture["traits"])
    return NanoBackbone(components, traits, base_hash=hash_weights(source / "transformer"))


def save_nano(backbone: NanoBackbone, folder: Path) -> None:
    """Write a diffusers folder in half precision: parts, `model_index.json`, scheduler, traits."""
    import copy

    from diffusers import FlowMatchEulerDiscreteScheduler

    index: dict[str, Any] = {"_class_name": "FluxFillPipeline", "_diffusers_version": _get_diffusers_version()}
    for name, component in backbone.components.items():
        index[name] = [type(component).__module__.split(".")[0], type(component).__name__]
        if isinstance(component, nn.Module):
            copy.deepcopy(component).to(torch.float16).save_pretrained(folder / name, safe_serialization=True)
    FlowMatchEulerDiscreteScheduler(shift=backbone.traits.shift or 1.0).save_pretrained(folder / "scheduler")
    index["scheduler"] = ["diffusers", "FlowMatchEulerDiscreteScheduler"]
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    (folder / TRAITS_FILE).write_text(
        json.dumps(dataclasses.asdict(backbone.traits), indent=2) + "\n", encoding="utf-8"
    )


def _get_diffusers_version() -> str:
    from importlib.metadata import version

    return version("diffusers")
