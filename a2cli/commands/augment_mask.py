"""a2 augment-mask: make fine masks sloppier, as training does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Exit, Option

from a2cli.commands import options as o
from a2cli.commands.console import Console, open_console
from a2cli.errors import A2Error, ConfigError, DataError

Masks = Annotated[list[str], Argument(metavar="MASK...", help="Fine masks, white on black.")]
Stage = Annotated[
    Literal["fine", "rough", "box"],
    Option(
        "--stage", help="fine: as it is; rough: grown and its outline moved; box: the box of the rough mask."
    ),
]
Out = Annotated[
    str | None,
    Option(
        "-o", "--out", metavar="OUT", help="File, or a folder for several. Default: NAME.STAGE.png beside."
    ),
]


def augment_mask(
    masks: Masks, stage: Stage, out: Out = None, seed: o.Seed = 0, quiet: o.Quiet = False
) -> None:
    """Make masks as sloppy as a training stage does."""
    targets = [Path(mask).with_suffix(f".{stage}.png") for mask in masks]
    if out is not None:
        folder = len(masks) > 1 or Path(out).is_dir()
        targets = [Path(out) / target.name if folder else Path(out) for target in targets]
    if len({target.absolute() for target in targets}) < len(masks):
        raise ConfigError("two masks have one name", hint="write them to different folders")
    if {os.path.realpath(target) for target in targets} & {os.path.realpath(mask) for mask in masks}:
        raise ConfigError("an output would replace a mask", hint="choose another -o")
    failed = 0
    with open_console(quiet=quiet) as console:
        for index, (mask, target) in enumerate(zip(masks, targets, strict=True)):
            try:
                _augment(mask, stage, target, seed, console)
            except A2Error as error:
                if len(masks) == 1:
                    raise
                failed += 1
                console.warn(str(error))
            console.progress("masks", index + 1, len(masks))
    if failed:
        raise Exit(3)


def _augment(
    mask: str, stage: Literal["fine", "rough", "box"], target: Path, seed: int, console: Console
) -> None:
    import numpy as np

    from a2cli.files import make_folder
    from a2cli.images import open_photo, save_mask
    from a2cli.masks.augment import RoughConfig
    from a2cli.masks.curriculum import apply_stage
    from a2cli.masks.read import read_mask

    size = open_photo(mask).size
    fine = read_mask(mask, size) >= 0.5
    if not fine.any():
        raise DataError(f"{mask}: the mask is empty", hint="white is what is masked")
    moved = apply_stage(fine, stage, np.random.default_rng(seed), RoughConfig())
    make_folder(target.parent)
    save_mask(moved.astype(np.float32), target)
    console.result(target)
