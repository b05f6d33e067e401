"""Making, opening and saving a nano-sized model folder."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from a2cli.backbones.base import Traits
from a2cli.backbones.build import (
    build_image_embedder,
    build_image_encoder,
    build_text_encoder,
    build_transformer,
    build_vae,
)
from a2cli.backbones.flux import NANO_FOLDER, TRAITS_FILE, NanoBackbone
from a2cli.backbones.loading import check_folder, hash_weights
from a2cli.config.load import build
from a2cli.config.suggest import get_suggestion
from a2cli.context.layout import PATCH
from a2cli.errors import CheckpointError, ConfigError
from a2cli.files import replace_folder
from a2cli.training.config import ModelConfig

_BUILDERS: dict[str, Callable[[dict[str, Any]], nn.Module]] = {
    "transformer": build_transformer,
    "vae": build_vae,
    "text_encoder_2": build_text_encoder,
    "image_encoder": build_image_encoder,
    "image_embedder": build_image_embedder,
}


def build_or_load_nano(model: ModelConfig, *, seed: int) -> NanoBackbone:
    """Open the parts found under `model.path` and build the ones `model.architecture` describes.

    Without either, the embedded model is opened. Raises `ConfigError` when a part comes from neither or the
    parts do not fit each other.
    """
    check_architecture(model)
    if model.path:
        check_folder(Path(model.path))
    source = Path(model.path or NANO_FOLDER)
    torch.manual_seed(seed)
    components: dict[str, Any] = {}
    for name, load in NanoBackbone.get_loaders(source).items():
        if name in model.architecture:
            components[name] = _BUILDERS[name](model.architecture[name])
        elif name.startswith("tokenizer") or (source / name).is_dir():
            components[name] = load(str(source), torch.float32)
        else:
            raise ConfigError(
                f"{source} holds no {name}", hint=f"describe it under model.architecture.{name}"
            )
    traits = NanoBackbone.read_traits(source)
    if "traits" in model.architecture:
        changed = {**dataclasses.asdict(traits), **model.architecture["traits"]}
        traits = build(Traits, changed, where="model.architecture.traits")
    backbone = NanoBackbone(components, traits, base_hash=hash_weights(source / "transformer"))
    _check_fit(backbone)
    return backbone


def check_architecture(model: ModelConfig) -> None:
    """Check that `model.architecture` describes known parts by mappings; raises `ConfigError`."""
    for name, options in model.architecture.items():
        if name not in _BUILDERS and name != "traits":
            raise ConfigError(
                f"model.architecture: unknown part {name!r}",
                hint=get_suggestion(name, [*_BUILDERS, "traits"]),
            )
        if not isinstance(options, dict):
            raise ConfigError(f"model.architecture.{name}: expected keys and values")


def _check_fit(backbone: NanoBackbone) -> None:
    parts: dict[str, Any] = {
        name: getattr(part, "config", None) for name, part in backbone.components.items()
    }
    transformer, text, embedder = parts["transformer"], parts["text_encoder_2"], parts["image_embedder"]
    channels = parts["vae"].latent_channels * PATCH**2
    mask_bits = (backbone.downscale * PATCH) ** 2
    wanted = {
        "transformer.in_channels": (transformer.in_channels, 2 * channels + mask_bits),
        "transformer.out_channels": (transformer.out_channels or transformer.in_channels, channels),
        "transformer.joint_attention_dim": (transformer.joint_attention_dim, text.d_model),
        "transformer.pooled_projection_dim": (transformer.pooled_projection_dim, text.d_model),
        "image_embedder.redux_dim": (embedder.redux_dim, parts["image_encoder"].hidden_size),
        "image_embedder.txt_in_features": (embedder.txt_in_features, text.d_model),
        "traits.token_px": (backbone.traits.token_px, backbone.downscale * PATCH),
    }
    for name, (found, fitting) in wanted.items():
        if found != fitting:
            raise ConfigError(f"model.architecture.{name}: {found} does not fit, it must be {fitting}")


def save_nano(backbone: NanoBackbone, folder: Path) -> None:
    """Write a diffusers folder in half precision: parts, `model_index.json`, scheduler, traits.

    A reader sees the old folder or the new one. Raises `CheckpointError` naming a tensor that half precision
    cannot hold, or when the disk refuses.
    """
    with replace_folder(folder) as beside:
        _write_nano(backbone, beside)


def _write_nano(backbone: NanoBackbone, folder: Path) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler

    index: dict[str, Any] = {
        "_class_name": "FluxFillPipeline",
        "_diffusers_version": _get_diffusers_version(),
        "text_encoder": [None, None],  # no CLIP: its pooled vector is the mean of the other's states
        "tokenizer": [None, None],
    }
    for name, component in backbone.components.items():
        index[name] = [type(component).__module__.split(".")[0], type(component).__name__]
        if isinstance(component, nn.Module):
            half: Any = copy.deepcopy(component).to(torch.float16)
            half.to(memory_format=torch.contiguous_format)
            for key, tensor in half.state_dict().items():
                if not bool(tensor.isfinite().all()):
                    raise CheckpointError(
                        f"{name}: tensor {key} is NaN or infinite in half precision; not saved"
                    )
            half.save_pretrained(folder / name, safe_serialization=True)
            _forget_origin(folder / name / "config.json")
        else:
            component.save_pretrained(folder / name)
    FlowMatchEulerDiscreteScheduler(shift=backbone.traits.shift or 1.0).save_pretrained(folder / "scheduler")
    index["scheduler"] = ["diffusers", "FlowMatchEulerDiscreteScheduler"]
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    (folder / TRAITS_FILE).write_text(
        json.dumps(dataclasses.asdict(backbone.traits), indent=2) + "\n", encoding="utf-8"
    )


def _forget_origin(path: Path) -> None:
    """Drop the folder a part was once loaded from: a path of the machine that trained it."""
    config = json.loads(path.read_text(encoding="utf-8"))
    config.pop("_name_or_path", None)
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _get_diffusers_version() -> str:
    from importlib.metadata import version

    return version("diffusers")
