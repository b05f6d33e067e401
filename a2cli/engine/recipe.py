"""What an output says of how it was made: enough to make it again."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from a2cli import __version__
from a2cli.config.edit import EditConfig
from a2cli.config.expect import Weights
from a2cli.config.load import to_dict
from a2cli.engine.inputs import Inputs
from a2cli.engine.outputs import get_file_name
from a2cli.errors import CheckpointError
from a2cli.files import get_source_name, show_name
from a2cli.images.metadata import Metadata
from a2cli.provenance.parameters import get_parameters
from a2cli.provenance.recipe import (
    KEY,
    SHIPPED,
    SHORT,
    Asked,
    InputFile,
    Recipe,
    RecipeInputs,
    get_digest,
    load_digest,
)
from a2cli.provenance.sign import Ingredient

if TYPE_CHECKING:
    from a2cli.engine.hold import Hold
    from a2cli.engine.localize import Localization
    from a2cli.engine.pipeline import EditPipeline

log = logging.getLogger(__name__)


def get_recipe(
    config: EditConfig,
    pipeline: EditPipeline,
    inputs: Inputs,
    mask: np.ndarray,
) -> Recipe:
    """The recipe of an edit of one photo with everything resolved; files of the inputs are read for their digests.

    mask: (H, W) in [0, 1], given or found.
    """
    from a2cli.engine.pipeline import choose_dtype

    traits, device = pipeline.backbone.traits, pipeline.backbone.device.type
    asked = Asked() if config.way == "off" else Asked(config.localize, config.keyword, config.threshold)
    return Recipe(
        a2=__version__,
        backbone=config.backbone,
        model=SHIPPED if config.model is None else get_source_name(config.model),
        base_hash=pipeline.backbone.base_hash[:SHORT],
        adapter=None if config.adapter is None else tuple(map(get_source_name, config.adapter)),
        adapter_hash=pipeline.adapter_hash[:SHORT],
        region_hash=pipeline.region_hash[:SHORT],
        prompt=config.prompt,
        seed=config.seed,
        steps=config.steps or traits.steps,
        guidance=float(traits.guidance if config.guidance is None else config.guidance),
        feather=config.feather,
        dtype=cast(Any, choose_dtype(config.dtype, device)),
        device=cast(Any, device),
        num_images=config.num_images,
        fit_mask=config.fit_mask,
        asked=asked,
        mask_sha256=_digest(mask),
        inputs=_describe_inputs(config, inputs),
        quantize=config.memory.quantize,
    )


def build_metadata(recipe: Recipe, image: int, size: tuple[int, int]) -> Metadata:
    """What picture number `image` of an edit says of itself; size (H, W) in px."""
    own = replace(recipe, image=image)
    content = {key: value for key, value in to_dict(own).items() if value is not None}
    named = "" if recipe.model == SHIPPED else f" ({recipe.model})"
    return Metadata(
        texts={KEY: json.dumps(content)},
        parameters=get_parameters(own, width=size[1], height=size[0]),
        system=f"a2 {recipe.backbone}{named}",
        version=recipe.a2,
        prompt=recipe.prompt,
    )


def check_weights(config: EditConfig, pipeline: EditPipeline) -> None:
    """CheckpointError, naming both, where an edit that is repeated would be made with other weights.

    A line in the log alone for weights the user chose.
    """
    expected = config.expects
    if expected is None:
        return
    picture = show_name(expected.picture)
    weights: tuple[tuple[Weights, str, str, str], ...] = (
        ("model", expected.model, expected.base_hash, pipeline.backbone.base_hash),
        ("adapter", expected.adapter, expected.adapter_hash, pipeline.adapter_hash),
        ("region adapter", expected.adapter, expected.region_hash, pipeline.region_hash),
    )
    for kind, name, wanted, found in weights:
        if wanted[:SHORT] == found[:SHORT]:
            continue
        message = (
            f"{picture}: made with the {kind} {show_name(name)} ({wanted[:SHORT] or 'none'}), "
            f"the one at hand is {found[:SHORT] or 'none'}"
        )
        if kind not in expected.chosen:
            option = "--model" if kind == "model" else "--adapter"
            raise CheckpointError(message, hint=f"give {option} with that one, or with another to edit anew")
        log.warning("%s: another edit", message)


def get_ingredients(config: EditConfig, inputs: Inputs) -> tuple[Ingredient, Ingredient]:
    """Photo and reference as content credentials name them."""

    def get(name: str) -> Ingredient:
        return Ingredient("stdin" if name == "-" else get_file_name(name), inputs.raw.get(name, name))

    return get(inputs.name), get(config.refs[0])


def add_found(recipe: Recipe, found: Localization) -> Recipe:
    """A recipe that says what region was found, and by which way where that was left open."""
    told = {
        "way": found.way,
        "keyword": found.keyword,
        "threshold": round(found.threshold, 4),
        "blocks": list(found.blocks),
        "adapter_hash": recipe.region_hash,
        "region_sha256": _digest(found.region),
    }
    return replace(recipe, localize=told, asked=replace(recipe.asked, localize=cast(Any, found.way)))


def add_hold(recipe: Recipe, hold: Hold, weight: np.ndarray) -> Recipe:
    """A recipe that says how a mask was narrowed; `weight` (H, W) is how much of the picture shows."""
    told = {
        "way": "mask",
        "tokens_left": hold.left,
        "held": hold.reason or "yes",
        "adapter_hash": recipe.region_hash,
        "region_sha256": _digest(weight),
    }
    return replace(recipe, localize=told)


def _describe_inputs(config: EditConfig, inputs: Inputs) -> RecipeInputs:
    """What was read, by file name and digest: a published picture tells nothing of its maker's folders."""

    def describe(name: str) -> InputFile:
        data = inputs.raw.get(name)
        own = "" if name == "-" else get_file_name(name)
        return InputFile(own, load_digest(name) if data is None else get_digest(data))

    def describe_mask(name: str | None) -> InputFile | str | None:
        if name is None or name.lower().startswith("box:"):
            return name
        return describe(name)

    holed = not config.sources and inputs.name == config.mask
    return RecipeInputs(
        ref=describe(config.refs[0]),
        source=None if holed else describe(inputs.name),
        mask=describe_mask(config.mask),
        ref_mask=describe_mask(config.ref_mask),
    )


def _digest(mask: np.ndarray) -> str:
    samples = np.round(mask.astype(np.float32) * 255).astype(np.uint8)
    return hashlib.sha256(samples.tobytes()).hexdigest()[:SHORT]
