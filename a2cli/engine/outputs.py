"""Where an edit's files go: named, and refused where nothing can be written, before a model is loaded."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from a2cli.config.edit import EditConfig
from a2cli.errors import ConfigError, DataError

NAME_BYTES = 255  # of a file name, on all common file systems


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
    maps = [Path(path) for path in (config.save_region, config.save_attention) if path]
    inputs = [Path(p) for p in (name, config.ref, config.mask, config.ref_mask) if p and p != "-"]
    for path in (*paths, *maps):
        hint = "choose another file" if path in maps else "choose another -o"
        new_folder = path not in maps and (config.out or "").endswith("/")
        try:
            _check_target(path, inputs, new_folder=new_folder, hint=hint)
        except OSError as error:
            raise DataError(f"{path}: cannot be written: {error.strerror}", hint=hint) from error
    if config.save_region and config.save_attention and _is_same(*maps):
        raise ConfigError(f"{maps[0]}: region and attention would replace each other", hint="name two files")
    for path in maps:
        if any(_is_same(path, picture) for picture in paths):
            what = "region" if str(path) == str(Path(config.save_region or "")) else "attention"
            raise ConfigError(f"{path}: the {what} would replace the picture", hint="name two files")
    return [str(p) for p in paths] or ["-"]


def _get_name(stem: str, room: int) -> str:
    """STEM.a2.png with `room` bytes to spare; a stem too long for that ends in a digest, so that two stay apart."""
    given = os.fsencode(stem)
    most = NAME_BYTES - room - len(".a2.png")
    if len(given) > most:
        digest = hashlib.sha256(given).hexdigest()[:8]
        stem = f"{given[: most - 9].decode('utf-8', 'ignore')}-{digest}"
    return f"{stem}.a2.png"


def _is_same(a: Path, b: Path) -> bool:
    return os.path.abspath(a) == os.path.abspath(b)


def _check_target(path: Path, inputs: list[Path], *, new_folder: bool, hint: str) -> None:
    if path.exists():
        if any(given.exists() and path.samefile(given) for given in inputs):
            raise ConfigError(f"{path}: the output would replace an input", hint=hint)
        if not path.is_file():
            raise DataError(f"{path}: not a regular file, nothing is written there", hint=hint)
    if not new_folder and not path.parent.is_dir():
        raise DataError(f"{path.parent}: no such folder", hint="make it first")
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir():
        raise DataError(f"{above}: not a folder", hint=hint)
