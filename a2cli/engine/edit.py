"""`a2 edit` without its console: find the pictures, edit, write the result whole or not at all."""

from __future__ import annotations

import hashlib
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
from a2cli.config.edit import EditConfig
from a2cli.engine.inputs import Inputs, read_inputs
from a2cli.engine.outputs import get_output_paths
from a2cli.errors import DataError
from a2cli.files import get_source_name, make_folder, show_name, write_bytes
from a2cli.images.encode import encode_photo
from a2cli.images.geometry import get_blend_weight
from a2cli.images.write import compose, get_target_format, save_mask

if TYPE_CHECKING:
    from a2cli.engine.hold import Hold
    from a2cli.engine.localize import Localization
    from a2cli.engine.pipeline import EditPipeline

Progress = Callable[[str, int, int], None]
Note = Callable[[str], None]
LEAST_SHOWN = 0.0005  # share of a photo that is 0.1 % when rounded
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EditResult:
    """One written picture and what it was made from; `region_share` None where the region is yet to be found."""

    path: str
    source: str
    seed: int
    width: int
    height: int
    region_share: float | None
    seconds: float
    region: str | None = None
    planned: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-ready values."""
        return asdict(self)


@dataclass(frozen=True)
class _Painted:
    """What came out of the model: pictures (H, W, 3), how much of them shows (H, W), how they were made."""

    pictures: list[np.ndarray]
    weight: np.ndarray
    recipe: dict[str, Any]


def run_edit(
    config: EditConfig, progress: Progress | None = None, note: Note | None = None
) -> Iterator[EditResult]:
    """Edit one photo as a command line says; yields a result for every picture written.

    `note` is told where a region was found. Raises `A2Error` with one line for whatever cannot be used. With `dry_run`
    everything is read and resolved, no model is loaded and nothing written; but a region that is yet to be found is
    found and saved, where `save_region` or `save_attention` ask for it.
    """
    began = time.monotonic()
    inputs = read_inputs(config)
    paths = get_output_paths(config, inputs.name)
    formats = ["PNG" if path == "-" else get_target_format(inputs.photo, path) for path in paths]
    if config.dry_run:
        share = _preview(config, inputs, progress, note)
        for i, path in enumerate(paths):
            yield _describe(config, inputs, path, i, share, began, planned=True)
        return
    if inputs.mask is None or inputs.mask.any():
        painted = _generate(config, inputs, progress, note)
    else:
        log.warning("%s: the mask is empty, nothing is edited", show_name(inputs.name))
        painted = _Painted([inputs.photo.rgb.astype(np.float32)] * config.num_images, inputs.mask, {})
    share, recipe = _get_share(painted.weight), painted.recipe
    # Every file is encoded before the first is written: what cannot be saved leaves nothing behind.
    files = []
    for i, (picture, format) in enumerate(zip(painted.pictures, formats, strict=True)):
        metadata = {"a2": json.dumps({**recipe, "image": i})} if config.metadata and recipe else None
        native = compose(inputs.photo, picture, painted.weight)
        files.append(encode_photo(inputs.photo, native, format, metadata))
    if config.save_region:
        save_mask(painted.weight > 0, config.save_region)
    for i, (path, data) in enumerate(zip(paths, files, strict=True)):
        if path == "-":
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        else:
            make_folder(Path(path).parent)
            write_bytes(data, path)
        yield _describe(config, inputs, path, i, share, began)


def _preview(
    config: EditConfig, inputs: Inputs, progress: Progress | None, note: Note | None
) -> float | None:
    """The share of the photo that may change; found only where the region is asked for, else None."""
    if inputs.mask is not None:
        return _get_share(_get_weight(inputs.mask, config.feather))
    if not (config.save_region or config.save_attention):
        return None
    found = _localize(config, _load_pipeline(config, progress), inputs, note)
    weight = _get_weight(found.mask, config.feather)
    if config.save_region:
        save_mask(weight > 0, config.save_region)
    return _get_share(weight)


def _generate(config: EditConfig, inputs: Inputs, progress: Progress | None, note: Note | None) -> _Painted:
    from a2cli.engine.pipeline import EditOptions

    pipeline = _load_pipeline(config, progress)
    found = None if inputs.mask is not None else _localize(config, pipeline, inputs, note)
    mask = found.mask.astype(np.float32) if found is not None else inputs.mask
    assert mask is not None
    options = EditOptions(
        config.prompt,
        config.steps,
        config.guidance,
        config.seed,
        config.num_images,
        localize=config.get_localize_options() if config.way == "mask" else None,
    )

    def on_step(step: Any) -> None:
        if progress:
            progress("editing", step.index + 1, step.num_steps)

    edited = pipeline.run(
        inputs.photo.rgb,
        mask,
        inputs.subject,
        options,
        region=None if found is None else mask,
        callback=on_step,
    )
    whole = _get_weight(mask, config.feather)
    weight = whole if edited.region is None else whole * edited.region
    recipe = get_recipe(config, pipeline, mask)
    if found is not None:
        recipe["localize"] = describe_found(found, pipeline.region_hash)
    if edited.hold is not None:
        recipe["localize"] = describe_hold(edited.hold, weight, pipeline.region_hash)
        if note:
            note(_tell_of_hold(edited.hold, _get_share(weight) / max(_get_share(whole), 1e-9)))
    return _Painted(edited.pictures, weight, recipe)


def _tell_of_hold(hold: Hold, kept: float) -> str:
    """The line about a hold; `kept` is the share of the mask that is edited after all."""
    if not hold.held:
        return f"region hold: nothing is held, {hold.reason}"
    return f"region hold: {100 * (1 - kept):.0f} % of the mask goes back to the photo"


def _localize(config: EditConfig, pipeline: EditPipeline, inputs: Inputs, note: Note | None) -> Localization:
    """Find the region of an edit without a mask; DataError where the prompt names no place."""
    from a2cli.engine.localize import localize
    from a2cli.localize.keywords import show_words

    found = localize(pipeline, inputs.photo.rgb, config.prompt, options=config.get_localize_options())
    if config.save_attention:  # of a failure as well: it shows why
        save_mask(found.soft, config.save_attention)
    words = show_words(found.keyword)
    if found.diffuse:
        raise DataError(
            f"{show_name(inputs.name)}: seen as a global edit: {found.reason} ({words}, by {found.way})",
            hint="give --mask, --keyword with the words that name the thing, or --threshold",
        )
    if note:
        percent = f"{100 * found.share:.1f}" if found.share >= LEAST_SHOWN else "under 0.1"
        note(
            f"region: {percent} % of the photo, found by {found.way} from {words}, threshold {found.threshold:.2f}"
        )
    return found


def _load_pipeline(config: EditConfig, progress: Progress | None) -> EditPipeline:
    from a2cli.engine.pipeline import EditPipeline

    if progress:
        progress("loading", 0, 1)
    return EditPipeline.load(
        config.backbone, model=config.model, adapter=config.adapter, device=config.device, dtype=config.dtype
    )


def get_recipe(config: EditConfig, pipeline: EditPipeline, mask: np.ndarray) -> dict[str, Any]:
    """What an output carries to be made again: model, adapter, seed, steps, mask digest, version."""
    traits = pipeline.backbone.traits
    return {
        "a2": __version__,
        "backbone": config.backbone,
        "model": "default" if config.model is None else get_source_name(config.model),
        "base_hash": pipeline.backbone.base_hash[:16],
        "adapter_hash": pipeline.adapter_hash[:16],
        "seed": config.seed,
        "steps": config.steps or traits.steps,
        "guidance": traits.guidance if config.guidance is None else config.guidance,
        "prompt": config.prompt,
        "feather": config.feather,
        "mask_sha256": _digest(mask),
    }


def describe_found(found: Localization, region_hash: str) -> dict[str, Any]:
    """What a recipe says of a region that was found; `region_hash` is the region adapter's, "" without one."""
    return {
        "way": found.way,
        "keyword": found.keyword,
        "threshold": round(found.threshold, 4),
        "blocks": list(found.blocks),
        "adapter_hash": region_hash[:16],
        "region_sha256": _digest(found.region),
    }


def describe_hold(hold: Hold, weight: np.ndarray, region_hash: str) -> dict[str, Any]:
    """What a recipe says of a mask that was narrowed; `weight` (H, W) is how much of the picture shows."""
    return {
        "way": "mask",
        "tokens_left": hold.left,
        "held": hold.reason or "yes",
        "adapter_hash": region_hash[:16],
        "region_sha256": _digest(weight),
    }


def _digest(mask: np.ndarray) -> str:
    return hashlib.sha256(np.round(mask.astype(np.float32) * 255).astype(np.uint8).tobytes()).hexdigest()[:16]


def _get_weight(mask: np.ndarray, feather: float) -> np.ndarray:
    return get_blend_weight(mask, feather) if mask.any() else mask.astype(np.float32)


def _get_share(weight: np.ndarray) -> float:
    return float((weight > 0).mean())


def _describe(
    config: EditConfig,
    inputs: Inputs,
    path: str,
    image: int,
    share: float | None,
    began: float,
    *,
    planned: bool = False,
) -> EditResult:
    height, width = inputs.photo.size
    return EditResult(
        path=path,
        source=inputs.name,
        seed=config.seed,
        width=width,
        height=height,
        region_share=None if share is None else round(share, 6),
        seconds=round(time.monotonic() - began, 3),
        region=config.save_region,
        planned=planned,
    )
