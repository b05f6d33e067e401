"""`a2 edit` without its console: find the pictures, edit, write the result whole or not at all."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from a2cli.config.edit import EditConfig
from a2cli.engine.inputs import Inputs, read_inputs
from a2cli.engine.outputs import get_output_paths
from a2cli.engine.recipe import (
    add_found,
    add_hold,
    build_metadata,
    check_weights,
    get_ingredients,
    get_recipe,
)
from a2cli.engine.working import working_at
from a2cli.errors import DataError
from a2cli.files import make_folder, show_name, write_bytes
from a2cli.images.encode import encode_photo
from a2cli.images.geometry import get_blend_weight
from a2cli.images.write import compose, get_target_format, save_mask

if TYPE_CHECKING:
    from a2cli.engine.hold import Hold
    from a2cli.engine.localize import Localization
    from a2cli.engine.pipeline import EditPipeline
    from a2cli.provenance.recipe import Recipe
    from a2cli.provenance.sign import Signer

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
    """What came out of the model: pictures (H, W, 3), how much of them shows (H, W), the recipe if any."""

    pictures: list[np.ndarray]
    weight: np.ndarray
    recipe: Recipe | None


@dataclass(frozen=True)
class Look:
    """What an edit saw and made: `weight` (H, W) is how much of the model's picture shows, `files` its outputs."""

    inputs: Inputs
    weight: np.ndarray
    files: Sequence[bytes]


def run_edit(
    config: EditConfig, progress: Progress | None = None, note: Note | None = None
) -> Iterator[EditResult]:
    """Edit one photo as a command line says; yields a result for every picture written. See `Editor.edit`."""
    yield from Editor(config, note).edit(config, progress, note)


class Editor:
    """Edits with one pipeline, loaded when an edit first needs it.

    `config` says which; the settings of an edit may differ in everything else. `note` is told how it is made to fit the
    memory. `failed`: it could not be loaded.
    """

    def __init__(self, config: EditConfig, note: Note | None = None) -> None:
        self._config, self._note = config, note
        self._pipeline: EditPipeline | None = None
        self._signer: Signer | None = None
        self.failed = False

    def load(self, progress: Progress | None = None) -> EditPipeline:
        """The pipeline, loaded at the first call; raises as `EditPipeline.load`."""
        if self._pipeline is None:
            self.failed = True
            self._pipeline = _load_pipeline(self._config, progress, self._note)
            self.failed = False
        return self._pipeline

    def unload(self) -> None:
        """Let go of the pipeline; the next edit loads it anew."""
        self._pipeline = None

    def edit(
        self,
        config: EditConfig,
        progress: Progress | None = None,
        note: Note | None = None,
        look: Callable[[Look], None] | None = None,
        *,
        working: int | None = None,
    ) -> Iterator[EditResult]:
        """Edit one photo; yields a result for every picture written.

        `note` is told where a region was found, `look` shown what came out; `working` is the side of the crop the
        model sees, px, where it is not to be the model's own. Raises `A2Error` with one line for whatever cannot be
        used. With `dry_run` everything is read and resolved, no model is loaded and nothing written; but a
        region that is yet to be found is found and saved, where `save_region` or `save_attention` ask for it.
        """
        began = time.monotonic()
        inputs = read_inputs(config)
        paths = get_output_paths(config, inputs.name)
        formats = ["PNG" if path == "-" else get_target_format(inputs.photo, path) for path in paths]
        signer = self._load_signer(config, zip(paths, formats, strict=True))
        if config.dry_run:
            share = self._preview(config, inputs, progress, note)
            for i, path in enumerate(paths):
                yield _describe(config, inputs, path, i, share, began, planned=True)
            return
        if inputs.mask is None or inputs.mask.any():
            pipeline = self.load(progress)
            check_weights(config, pipeline)
            side = config.expects.working if working is None and config.expects else working
            with working_at(pipeline, side):
                painted = _generate(config, pipeline, inputs, progress, note)
            if painted.recipe is not None:
                painted = replace(painted, recipe=replace(painted.recipe, working=side))
        else:
            log.warning("%s: the mask is empty, nothing is edited", show_name(inputs.name))
            painted = _Painted([inputs.photo.rgb.astype(np.float32)] * config.num_images, inputs.mask, None)
        share = _get_share(painted.weight)
        # Every file is encoded before the first is written: what cannot be saved leaves nothing behind.
        files = [
            _encode(config, inputs, painted, i, format)
            for i, format in zip(range(config.num_images), formats, strict=True)
        ]
        if signer is not None and painted.recipe is not None:  # else no model was at work
            given = get_ingredients(config, inputs)
            named = zip(files, formats, paths, strict=True)
            files = [signer.sign(data, format, _get_title(path), *given) for data, format, path in named]
        if config.save_region:
            _save_map(config, painted.weight > 0, config.save_region)
        for i, (path, data) in enumerate(zip(paths, files, strict=True)):
            if path == "-":
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
            else:
                make_folder(Path(path).parent)
                write_bytes(data, path)
            yield _describe(config, inputs, path, i, share, began)
        if look is not None:
            look(Look(inputs, painted.weight, files))

    def _load_signer(self, config: EditConfig, outputs: Iterable[tuple[str, str]]) -> Signer | None:
        """The signer of --sign, if there is one, read once; refuses what cannot be signed."""
        if config.sign is None:
            return None
        from a2cli.provenance.sign import check_format, load_signer

        if self._signer is None:
            self._signer = load_signer(config.sign)
        for path, format in outputs:
            check_format(format, path)
        return self._signer

    def _preview(
        self, config: EditConfig, inputs: Inputs, progress: Progress | None, note: Note | None
    ) -> float | None:
        """The share of the photo that may change; found only where the region is asked for, else None."""
        if inputs.mask is not None:
            return _get_share(_get_weight(inputs.mask, config.feather))
        if not (config.save_region or config.save_attention):
            return None
        found = _localize(config, self.load(progress), inputs, note)
        weight = _get_weight(found.mask, config.feather)
        if config.save_region:
            _save_map(config, weight > 0, config.save_region)
        return _get_share(weight)


def _encode(config: EditConfig, inputs: Inputs, painted: _Painted, image: int, format: str) -> bytes:
    """The bytes of one output file."""
    recipe = painted.recipe if config.metadata else None
    metadata = None if recipe is None else build_metadata(recipe, image, inputs.photo.size)
    native = compose(inputs.photo, painted.pictures[image], painted.weight)
    return encode_photo(inputs.photo, native, format, metadata)


def _generate(
    config: EditConfig,
    pipeline: EditPipeline,
    inputs: Inputs,
    progress: Progress | None,
    note: Note | None,
) -> _Painted:
    from a2cli.engine.pipeline import EditOptions

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
    recipe = get_recipe(config, pipeline, inputs, mask)
    if found is not None:
        recipe = add_found(recipe, found)
    if edited.hold is not None:
        recipe = add_hold(recipe, edited.hold, weight)
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
        _save_map(config, found.soft, config.save_attention)
    words = show_words(found.keyword)
    if found.unread:
        log.warning("%s: %s lies behind what the model reads of the prompt", show_name(inputs.name), words)
    if found.diffuse:
        hint = "give --mask, or --keyword with the words that name the thing"
        raise DataError(
            f"{show_name(inputs.name)}: seen as a global edit: {found.reason} ({words}, by {found.way})",
            hint=hint if found.share == 1 else f"{hint}, or --threshold",  # of all, no threshold makes less
        )
    if note:
        percent = f"{100 * found.share:.1f}" if found.share >= LEAST_SHOWN else "under 0.1"
        note(
            f"region: {percent} % of the photo, found by {found.way} from {words}, threshold {found.threshold:.2f}"
        )
    return found


def _load_pipeline(config: EditConfig, progress: Progress | None, note: Note | None) -> EditPipeline:
    from a2cli.engine.pipeline import EditPipeline

    if progress:
        progress("loading", 0, 1)
    return EditPipeline.load(
        config.backbone,
        model=config.model,
        adapter=config.adapter,
        device=config.device,
        dtype=config.dtype,
        memory=config.memory,
        num_images=config.num_images,
        note=note,
    )


def _get_title(path: str) -> str:
    return "stdout.png" if path == "-" else Path(path).name


def _save_map(config: EditConfig, map: np.ndarray, path: str) -> None:
    if config.make_folders:
        make_folder(Path(path).parent)
    save_mask(map, path)


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
