"""`a2 edit` without its console: find the pictures, edit, write the result whole or not at all."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import select
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
from a2cli.files import get_source_name, make_folder, show_name, write_bytes
from a2cli.images.cutout import Cutout, cut_out
from a2cli.images.encode import encode_photo
from a2cli.images.geometry import get_blend_weight
from a2cli.images.photo import Photo
from a2cli.images.read import open_photo
from a2cli.images.write import compose, get_target_format, save_mask
from a2cli.masks.read import get_hole, has_hole, read_mask

if TYPE_CHECKING:
    from a2cli.engine.pipeline import EditPipeline

Progress = Callable[[str, int, int], None]
log = logging.getLogger(__name__)
NAME_BYTES = 255  # of a file name, on all common file systems
SILENCE = 2.0  # seconds without a byte on stdin after which a2 says what it waits for


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
    formats = ["PNG" if path == "-" else get_target_format(inputs.photo, path) for path in paths]
    weight = get_blend_weight(inputs.mask, config.feather) if inputs.mask.any() else inputs.mask
    share = float((weight > 0).mean())
    if config.dry_run:
        for i, path in enumerate(paths):
            yield _describe(config, inputs, path, i, share, began, planned=True)
        return
    if weight.any():
        pictures, recipe = _generate(config, inputs, progress)
    else:
        log.warning("%s: the mask is empty, nothing is edited", show_name(inputs.name))
        pictures = [inputs.photo.rgb.astype(np.float32)] * config.num_images
        recipe = {}
    # Every file is encoded before the first is written: what cannot be saved leaves nothing behind.
    files = []
    for i, (picture, format) in enumerate(zip(pictures, formats, strict=True)):
        metadata = {"a2": json.dumps({**recipe, "image": i})} if config.metadata and recipe else None
        files.append(encode_photo(inputs.photo, compose(inputs.photo, picture, weight), format, metadata))
    if config.save_region:
        save_mask(weight > 0, config.save_region)
    for i, (path, data) in enumerate(zip(paths, files, strict=True)):
        if path == "-":
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        else:
            make_folder(Path(path).parent)
            write_bytes(data, path)
        yield _describe(config, inputs, path, i, share, began)


def read_inputs(config: EditConfig) -> Inputs:
    """Read source, mask and reference in any of the forms `a2 edit` takes; raises `DataError`, `ConfigError`."""
    if config.mask is None:
        raise ConfigError("no mask", hint="give --mask")
    named = (*config.sources, config.ref, config.mask, config.ref_mask)
    stdin = sys.stdin.buffer.read() if "-" in named else b""

    def read(name: str) -> Photo:
        if name == "-":
            return open_photo(stdin, name="stdin", max_pixels=config.max_pixels)
        return open_photo(name, max_pixels=config.max_pixels)

    def read_any_mask(name: str, size: tuple[int, int], *, hole: bool = True) -> np.ndarray:
        spec = stdin if name == "-" else name
        return read_mask(spec, size, fit=config.fit_mask, hole=hole, max_pixels=config.max_pixels)

    def read_subject() -> Cutout:
        reference = read(config.ref)
        if config.ref_mask is None:
            return cut_out(reference)
        return cut_out(reference, read_any_mask(config.ref_mask, reference.size, hole=False))

    source = config.sources[0] if config.sources else None
    if source is None and "-" not in named and has_piped_stdin():
        _warn_of_silence()
        stdin = sys.stdin.buffer.read()
        source = "-" if stdin else None
    if source is None:
        holed = None if config.mask.lower().startswith("box:") else read(config.mask)
        if holed is None or not has_hole(holed):
            raise ConfigError("no photo to edit", hint=SOURCE_WAYS)
        return Inputs(holed, get_hole(holed), read_subject(), config.mask)
    photo = read(source)
    return Inputs(photo, read_any_mask(config.mask, photo.size), read_subject(), source)


def _warn_of_silence() -> None:
    """Say what a2 waits for when nothing comes from a stdin that nobody named."""
    try:
        ready = select.select([sys.stdin], [], [], SILENCE)[0]
    except (OSError, ValueError):  # Windows can only select on sockets
        return
    if not ready:
        log.warning("no SOURCE was named: waiting for a photo on stdin (name one, or add < /dev/null)")


def get_output_paths(config: EditConfig, name: str) -> list[str]:
    """Name the outputs: as -o says, else NAME.a2.png beside the source; several images are numbered.

    Nothing is made yet. Raises `ConfigError` when a name cannot be made or would replace an input or another
    output, `DataError` for a place where no file can be written.
    """
    if config.out is None and name == "-":
        raise ConfigError("a photo from stdin has no name to build on", hint="give -o FILE or -o -")
    count = config.num_images
    own = _get_name("stdin" if name == "-" else Path(name).stem, room=len(f"-{count}") if count > 1 else 0)
    if config.out is None:
        base = Path(name).with_name(own)
    elif config.out.endswith("/") or os.path.isdir(config.out):
        base = Path(config.out) / own
    else:
        base = Path(config.out)
    paths = [
        base if count == 1 else base.with_name(f"{base.stem}-{i + 1}{base.suffix}") for i in range(count)
    ]
    if config.out == "-":
        paths = []
    region = [Path(config.save_region)] if config.save_region else []
    inputs = [Path(p) for p in (name, config.ref, config.mask, config.ref_mask) if p and p != "-"]
    for path in (*paths, *region):
        try:
            _check_target(path, inputs, new_folder=path not in region and (config.out or "").endswith("/"))
        except OSError as error:
            raise DataError(
                f"{path}: cannot be written: {error.strerror}", hint="choose another -o"
            ) from error
    if any(os.path.abspath(path) == os.path.abspath(region[0]) for path in paths if region):
        raise ConfigError(f"{region[0]}: the region would replace the picture", hint="name two files")
    return [str(p) for p in paths] or ["-"]


def _get_name(stem: str, room: int) -> str:
    """STEM.a2.png with `room` bytes to spare; a stem too long for that ends in a digest, so that two stay apart."""
    given = os.fsencode(stem)
    most = NAME_BYTES - room - len(".a2.png")
    if len(given) > most:
        digest = hashlib.sha256(given).hexdigest()[:8]
        stem = f"{given[: most - 9].decode('utf-8', 'ignore')}-{digest}"
    return f"{stem}.a2.png"


def _check_target(path: Path, inputs: list[Path], *, new_folder: bool) -> None:
    if path.exists():
        if any(given.exists() and path.samefile(given) for given in inputs):
            raise ConfigError(f"{path}: the output would replace an input", hint="choose another -o")
        if not path.is_file():
            raise DataError(f"{path}: not a regular file, nothing is written there", hint="choose another -o")
    if not new_folder and not path.parent.is_dir():
        raise DataError(f"{path.parent}: no such folder", hint="make it first")
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir():
        raise DataError(f"{above}: not a folder", hint="choose another -o")


def _generate(
    config: EditConfig, inputs: Inputs, progress: Progress | None
) -> tuple[list[np.ndarray], dict[str, Any]]:
    from a2cli.engine.pipeline import EditOptions, EditPipeline

    if progress:
        progress("loading", 0, 1)
    _silence_libraries()
    pipeline = EditPipeline.load(
        config.backbone, model=config.model, adapter=config.adapter, device=config.device, dtype=config.dtype
    )
    options = EditOptions(config.prompt, config.steps, config.guidance, config.seed, config.num_images)

    def on_step(step: Any) -> None:
        if progress:
            progress("editing", step.index + 1, step.num_steps)

    pictures = pipeline.generate(inputs.photo.rgb, inputs.mask, inputs.subject, options, callback=on_step)
    return pictures, get_recipe(config, pipeline, inputs.mask)


def _silence_libraries() -> None:
    """Keep the progress bars and advice of diffusers and transformers off stderr; both read no variable for it."""
    import diffusers.utils.logging
    import transformers.utils.logging

    for library in (diffusers.utils.logging, transformers.utils.logging):
        library.disable_progress_bar()
        library.set_verbosity_error()


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
        "mask_sha256": hashlib.sha256(np.round(mask * 255).astype(np.uint8).tobytes()).hexdigest()[:16],
    }


def _describe(
    config: EditConfig,
    inputs: Inputs,
    path: str,
    image: int,
    share: float,
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
        region_share=round(share, 6),
        seconds=round(time.monotonic() - began, 3),
        region=config.save_region,
        planned=planned,
    )
