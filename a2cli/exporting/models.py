"""Whole models: the base with one routing merged in, and both passes as programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from a2cli.engine.pipeline import EditPipeline
from a2cli.errors import BackboneError, CheckpointError, ConfigError
from a2cli.exporting.card import Written, get_parts_left_out
from a2cli.exporting.samples import list_samples
from a2cli.exporting.source import Source
from a2cli.files import show_name, write_bytes

if TYPE_CHECKING:
    from a2cli.exporting.example import Example
    from a2cli.exporting.guide import Runtime


def check_merged(source: Source) -> None:
    """Raise ConfigError for experts without --for or --for-ref: their mixture depends on the edit."""
    from a2cli.exporting.merged import REFUSAL

    if source.origin.kind == "mot" and source.config.category is None and source.config.ref is None:
        message, hint = REFUSAL
        raise ConfigError(f"{show_name(source.config.adapter)}: {message}", hint=hint)


def check_onnx(source: Source) -> None:
    """Raise ConfigError where the packages are missing."""
    from a2cli.exporting.onnx import check_packages

    check_packages()


def write_merged_model(source: Source, folder: Path) -> Written:
    """Write the base's folder with the frozen updates in its weights; CheckpointError for another base."""
    from a2cli.exporting.merged import write_merged

    base = _find_base(source)
    dtype = None if source.config.dtype == "auto" else getattr(torch, source.config.dtype)
    write_merged(folder, base, source.deltas, dtype=dtype)
    if source.origin.recipe.get("buckets") is True:
        _keep_buckets(source.origin.backbone, folder)
    limits = "The experts' routing is frozen to one mixture" if source.routing else "Nothing of the adapter"
    return Written(
        f"{limits}; another program runs this model in one pass and without the reference's tokens",
        "`a2 edit --model FOLDER --adapter none` edits with it as with the adapter; diffusers opens it too:\n\n"
        "```python\nfrom diffusers import FluxFillPipeline\n\n"
        f'pipe = FluxFillPipeline.from_pretrained("."{get_parts_left_out(source)})\n```',
    )


def _keep_buckets(backbone: str, folder: Path) -> None:
    """Say in the model's own traits what the adapter said of its crops: nobody reads the adapter any more."""
    from a2cli.backbones.flux import TRAITS_FILE
    from a2cli.backbones.registry import load_backbone_class

    traits = asdict(load_backbone_class(backbone).read_traits(folder)) | {"buckets": True}
    write_bytes((json.dumps(traits, indent=2) + "\n").encode(), folder / TRAITS_FILE, error=CheckpointError)


def write_onnx_graphs(source: Source, folder: Path) -> Written:
    """Write context pass and step as ONNX graphs, checked with onnxruntime."""
    from a2cli.exporting.onnx import write_onnx

    return _write_programs(source, folder, write_onnx, "onnxruntime")


def write_torch_programs(source: Source, folder: Path) -> Written:
    """Write context pass and step as programs of torch.export, loaded back and checked."""
    from a2cli.exporting.program import write_programs

    return _write_programs(source, folder, write_programs, "torch")


def _write_programs(
    source: Source, folder: Path, write: Callable[[Path, EditPipeline, Example], float], runtime: Runtime
) -> Written:
    from a2cli.exporting.example import build_example
    from a2cli.exporting.functional import freeze
    from a2cli.exporting.guide import describe_programs

    if not source.frozen:
        pipeline = source.pipeline
    else:
        deltas = source.deltas
        pipeline = source.load_pipeline("none") if source.origin.kind == "lora" else source.pipeline
        _check_hash(source, pipeline.backbone.base_hash)
        freeze(pipeline, deltas)
    example = build_example(pipeline, next(iter(list_samples(source.config, "train", 1))))
    difference = write(folder, pipeline, example)
    if source.routing is not None:
        limits = "The experts' routing is frozen to one mixture"
    else:
        where = "updates are in the weights" if source.frozen else "routers are in the programs"
        limits = f"Nothing of the adapter: its {where}"
    return Written(
        f"{limits}. Encoders, autoencoder and sampler stay with a2. Checked with {runtime}: at most "
        f"{difference:.1e} from a2's own passes",
        describe_programs(example, runtime),
        facts={"difference": difference},
    )


def _find_base(source: Source) -> Path:
    from a2cli.backbones.loading import fetch_folder, hash_weights
    from a2cli.backbones.registry import load_backbone_class

    backbone = source.origin.backbone
    named = source.config.model or (
        getattr(load_backbone_class(backbone), "default_model", None) if backbone else None
    )
    if named is None:
        raise BackboneError(f"{source.origin.name}: does not say what it stands on", hint="give --model")
    base = fetch_folder(named)
    _check_hash(source, hash_weights(base / "transformer"))
    return base


def _check_hash(source: Source, found: str) -> None:
    wanted = source.origin.base_hash
    if wanted and wanted != found:
        raise CheckpointError(
            f"{source.origin.name}: made for base {wanted[:16]}; this one has {found[:16]}",
            hint="--model: the one it was trained on",
        )
