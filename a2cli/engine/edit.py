"""`a2 edit` without its console: find the pictures, edit, write the result whole or not at all."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from a2cli import __version__
from a2cli.config.edit import SOURCE_WAYS, EditConfig, has_piped_stdin
from a2cli.errors import ConfigError, DataError
from a2cli.images.cutout import Cutout, cut_out
from a2cli.images.geometry import get_blend_weight
from a2cli.images.photo import Photo
from a2cli.images.read import open_photo
from a2cli.images.write import compose, encode_png, save_mask, save_photo
from a2cli.masks.read import get_hole, has_hole, read_mask

if TYPE_CHECKING:
    from a2cli.engine.pipeline import EditPipeline

Progress = Callable[[str, int, int], None]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EditResult:
    """One written picture and what it was made from."""

    path: str
    source: str
    seed: int
    width: int
    height: int
    region_share: float
    seconds: float
    region: str | None = None
    planned: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-ready values."""
        return asdict(self)


@dataclass(frozen=True)
class Inputs:
    """What an edit reads: the photo, the mask (H, W) in [0, 1], the cut-out reference, the photo's name."""

    photo: Photo
    mask: np.ndarray
    subject: Cutout
    name: str


def run_edit(config: EditConfig, progress: Progress | None = None) -> Iterator[EditResult]:
    """Edit one photo as a command line says; yields a result for every picture written.

    Raises `A2Error` with one line for whatever cannot be used. With `dry_run` everything is read and resolved,
    no model is loaded and nothing written.
    """
    began = time.monotonic()
    inputs = read_inputs(config)
    paths = get_output_paths(config, inputs.name)
    weight = get_blend_weight(inputs.mask, config.feather) if inputs.mask.any() else inputs.mask
    share = float((weight > 0).mean())
    if config.dry_run:
        for i, path in enumerate(paths):
            yield _describe(config, inputs, path, i, share, began, planned=True)
        return
    if weight.any():
        pictures, recipe = _generate(config, inputs, progress)
    else:
        log.warning("%s: the mask is empty, nothing is edited", inputs.name)
        pictures = [inputs.photo.rgb.astype(np.float32)] * config.num_images
        recipe = {"a2": __version__, "edited": False}
    if config.save_region:
        save_mask(weight > 0, config.save_region)
    for i, (path, picture) in enumerate(zip(paths, pictures, strict=True)):
        native = compose(inputs.photo, picture, weight)
        metadata = {"a2": json.dumps({**recipe, "image": i})} if config.metadata else None
        if path == "-":
            sys.stdout.buffer.write(encode_png(inputs.photo, native, metadata=metadata))
            sys.stdout.buffer.flush()
        else:
            save_photo(inputs.photo, native, path, metadata=metadata)
        yield _describe(config, inputs, path, i, share, began)


def read_inputs(config: EditConfig) -> Inputs:
    """Read source, mask and reference in any of the forms `a2 edit` takes; raises `DataError`, `ConfigError`."""
    limit = config.max_pixels
    stdin = sys.stdin.buffer.read() if "-" in (*config.sources, config.ref, config.mask) else b""

    def read(name: str) -> Photo:
        return open_photo(stdin, name="stdin", max_pixels=limit) if name == "-" else open_photo(name, max_pixels=limit)

    if config.mask is None:
        raise ConfigError("no mask", hint="give --mask")
    sources = config.sources
    if not sources and not config.mask.lower().startswith("box:") and config.mask != "-":
        holed = read(config.mask)
        if has_hole(holed):
            photo, mask, name = holed, get_hole(holed), config.mask
            return Inputs(photo, mask, _read_subject(config, read), name)
    if not sources:
        if not has_piped_stdin() or not (stdin := sys.stdin.buffer.read()):
            raise ConfigError("no photo to edit", hint=SOURCE_WAYS)
        sources = ("-",)
    photo = read(sources[0])
    mask = read_mask(stdin if config.mask == "-" else config.mask, photo.size, fit=config.fit_mask)
    return Inputs(photo, mask, _read_subject(config, read), sources[0])


def _read_subject(config: EditConfig, read: Callable[[str], Photo]) -> Cutout:
    reference = read(config.ref)
    given = None if config.ref_mask is None else read_mask(config.ref_mask, reference.size, fit=config.fit_mask)
    return cut_out(reference, given)


def get_output_paths(config: EditConfig, name: str) -> list[str]:
    """Name the outputs: as -o says, else NAME.a2.png beside the source; several images are numbered.

    Raises `ConfigError` when a name cannot be made or would replace an input.
    """
    if config.out == "-":
        return ["-"]
    if config.out is None and name == "-":
        raise ConfigError("a photo from stdin has no name to build on", hint="give -o FILE or -o -")
    stem = "stdin" if name == "-" else Path(name).stem
    if config.out is None:
        base = Path(name).with_name(f"{stem}.a2.png")
    elif Path(config.out).is_dir() or config.out.endswith("/"):
        base = Path(config.out) / f"{stem}.a2.png"
    else:
        base = Path(config.out)
    count = config.num_images
    paths = [base if count == 1 else base.with_name(f"{base.stem}-{i + 1}{base.suffix}") for i in range(count)]
    inputs = [Path(p) for p in (name, config.ref, config.mask, config.ref_mask) if p and p != "-"]
    for path in paths:
        for given in inputs:
            if path.exists() and given.exists() and path.samefile(given):
                raise ConfigError(f"{path}: the output would replace an input", hint="choose another -o")
        if not path.parent.is_dir():
            raise DataError(f"{path.parent}: no such folder", hint="make it first")
    return [str(p) for p in paths]


def _generate(
    config: EditConfig, inputs: Inputs, progress: Progress | None
) -> tuple[list[np.ndarray], dict[str, Any]]:
    from a2cli.engine.pipeline import EditOptions, EditPipeline

    if progress:
        progress("loading", 0, 1)
    pipeline = EditPipeline.load(
        config.backbone, model=config.model, adapter=config.adapter, device=config.device, dtype=config.dtype
    )
    options = EditOptions(config.prompt, config.steps, config.guidance, config.seed, config.num_images)

    def on_step(step: Any) -> None:
        if progress:
            progress("editing", step.index + 1, step.num_steps)

    pictures = pipeline.generate(inputs.photo.rgb, inputs.mask, inputs.subject, options, callback=on_step)
    return pictures, get_recipe(config, pipeline, inputs.mask)


def get_recipe(config: EditConfig, pipeline: EditPipeline, mask: np.ndarray) -> dict[str, Any]:
    """What an output carries to be made again: model, adapter, seed, steps, mask digest, version."""
    import hashlib

    traits = pipeline.backbone.traits
    return {
        "a2": __version__,
        "backbone": config.backbone,
        "model": config.model or "default",
        "base_hash": pipeline.backbone.base_hash[:16],
        "adapter_hash": pipeline.adapter_hash[:16],
        "seed": config.seed,
        "steps": config.steps or traits.steps,
        "guidance": traits.guidance if config.guidance is None else config.guidance,
        "prompt": config.prompt,
        "feather": config.feather,
        "mask_sha256": hashlib.sha256(np.round(mask * 255).astype(np.uint8).tobytes()).hexdigest()[:16],
    }


def _describe(
    config: EditConfig, inputs: Inputs, path: str, image: int, share: float, began: float, *, planned: bool = False
) -> EditResult:
    height, width = inputs.photo.size
    return EditResult(
        path=path,
        source=inputs.name,
        seed=config.seed,
        width=width,
        height=height,
        region_share=round(share, 6),
        seconds=round(time.monotonic() - began, 3),
        region=config.save_region,
        planned=planned,
    )
