"""`a2 edit --pick`: which photo is marked, where its mask goes, and the edit that follows."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from a2cli.config.edit import ADDRESS, EditConfig
from a2cli.engine.outputs import get_output_name, get_output_paths
from a2cli.errors import ConfigError
from a2cli.files import show_name
from a2cli.images.read import open_photo
from a2cli.masks.read import BOX
from a2cli.picking.pick import load_start, pick_mask

ENDING = ".mask.png"


def print_line(message: str) -> None:
    """Say on stderr what nobody could go on without, also with --quiet."""
    print(message, file=sys.stderr, flush=True)


def resolve_pick(
    config: EditConfig,
    *,
    port: int = 0,
    open_browser: bool = True,
    show: Callable[[str], None] = print_line,
) -> EditConfig:
    """Have the mask of an edit marked by hand; returns the edit with it: NAME.mask.png beside the photo, or --mask.

    What would make the edit fail is looked for first, so that nobody marks in vain: settings that contradict, a
    reference that cannot be read, an output that cannot be written. With `dry_run` no page is opened and the mask must
    be there. Raises as `pick_mask` does, and `ConfigError` for anything but one photo that is a file.
    """
    source = _get_source(config)
    if config.mask is not None:
        _check_mask_name(config.mask)
    mask = Path(config.mask) if config.mask is not None else get_mask_path(source)
    picked = replace(config, mask=str(mask))
    for given in (source, *picked.refs, picked.ref_mask):
        if given is not None and mask.exists() and os.path.exists(given) and os.path.samefile(mask, given):
            raise ConfigError(
                f"{show_name(str(mask))}: the mask would replace an input", hint="name another --mask"
            )
    for ref in picked.refs:
        if not (ADDRESS.match(ref) or os.path.isdir(ref)):
            open_photo(ref, max_pixels=config.max_pixels)
    if len(picked.refs) == 1:  # the batch names the outputs of several
        get_output_paths(picked, source)
    if config.dry_run:
        if load_start(mask, open_photo(source, max_pixels=config.max_pixels)) is None:
            raise ConfigError(f"{show_name(str(mask))}: not marked yet", hint="leave out --dry-run once")
        return picked
    pick_mask(source, mask, show=show, port=port, open_browser=open_browser, max_pixels=config.max_pixels)
    return picked


def get_mask_path(source: str) -> Path:
    """NAME.mask.png beside NAME.jpg."""
    path = Path(source)
    return path.with_name(get_output_name(path.stem, ending=ENDING))


def _get_source(config: EditConfig) -> str:
    hint = "such as a2 edit photo.png --ref cat.png --pick"
    if config.batch.manifest is not None or len(config.sources) != 1:
        raise ConfigError("--pick marks one photo", hint=hint)
    source = config.sources[0]
    if source == "-" or ADDRESS.match(source) or not os.path.isfile(source):
        raise ConfigError(f"{show_name(source)}: --pick marks a photo that is a file", hint=hint)
    return source


def _check_mask_name(mask: str) -> None:
    if mask == "-" or BOX.match(mask) or ADDRESS.match(mask) or os.path.isdir(mask):
        raise ConfigError(
            f"{show_name(mask)}: with --pick, --mask is the file the marks are saved in",
            hint="leave it out, or name a .png",
        )
