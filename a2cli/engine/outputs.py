"""Where an edit's files go: named, and refused where nothing can be written, before a model is loaded."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from a2cli.config.edit import ADDRESS, EditConfig
from a2cli.errors import ConfigError, DataError
from a2cli.files import show_name

NAME_BYTES = 255  # of a file name, on all common file systems


def get_output_paths(config: EditConfig, name: str) -> list[str]:
    """Name the outputs: as -o says, else NAME.a2.png beside the source; several images are numbered.

    Nothing is made yet. Raises `ConfigError` when a name cannot be made or would replace an input or another
    output, `DataError` for a place where no file can be written.
    """
    count = config.num_images
    base = get_base(config, name)
    paths = [
        base if count == 1 else base.with_name(f"{base.stem}-{i + 1}{base.suffix}") for i in range(count)
    ]
    if config.out == "-":
        paths = []
    maps = [Path(path) for path in (config.save_region, config.save_attention) if path]
    given = (name, *config.refs, config.mask, config.ref_mask)
    inputs = [Path(p) for p in given if p and p != "-" and not ADDRESS.match(p)]
    for path in (*paths, *maps):
        hint = "choose another file" if path in maps else "choose another -o"
        new_folder = config.make_folders or (path not in maps and (config.out or "").endswith("/"))
        try:
            _check_target(path, inputs, new_folder=new_folder, hint=hint)
        except OSError as error:
            raise DataError(
                f"{show_name(str(path))}: cannot be written: {error.strerror}", hint=hint
            ) from error
    if config.save_region and config.save_attention and _is_same(*maps):
        raise ConfigError(
            f"{show_name(str(maps[0]))}: region and attention would replace each other", hint="name two files"
        )
    for path in maps:
        if any(_is_same(path, picture) for picture in paths):
            what = "region" if str(path) == str(Path(config.save_region or "")) else "attention"
            raise ConfigError(
                f"{show_name(str(path))}: the {what} would replace the picture", hint="name two files"
            )
    return [str(p) for p in paths] or ["-"]


def get_base(config: EditConfig, name: str) -> Path:
    """The output of an edit of `name`, before several images are numbered; of an address without -o, in this folder."""
    if config.out is None and name == "-":
        raise ConfigError("a photo from stdin has no name to build on", hint="give -o FILE or -o -")
    own = get_output_name("stdin" if name == "-" else Path(get_file_name(name)).stem, config.num_images)
    if config.out is None:
        return Path(own) if ADDRESS.match(name) else Path(name).with_name(own)
    if config.out.endswith("/") or os.path.isdir(config.out):
        return Path(config.out) / own
    return Path(config.out)


def get_output_name(stem: str, count: int = 1, *, ending: str = ".a2.png") -> str:
    """STEM.a2.png with room for the numbers of `count` images; a stem too long for that ends in a digest."""
    given = os.fsencode(stem)
    most = NAME_BYTES - (len(f"-{count}") if count > 1 else 0) - len(ending)
    if len(given) > most:
        digest = hashlib.sha256(given).hexdigest()[:8]
        stem = f"{given[: most - 9].decode('utf-8', 'ignore')}-{digest}"
    return f"{stem}{ending}"


def get_file_name(path: str) -> str:
    """The last part of a path or of an address."""
    return get_address_names(path)[-1] if ADDRESS.match(path) else os.path.basename(os.path.normpath(path))


def get_address_names(address: str) -> list[str]:
    """Host and path of an address as names of folders and a file, none of which leads elsewhere."""
    try:
        parts = urlsplit(address)
        names = [parts.hostname or "", *(unquote(part) for part in parts.path.split("/"))]
    except ValueError:  # no address at all, as reading it will tell
        names = []
    cleaned = [name.replace("/", "_").replace("\0", "_").strip() for name in names]
    return [name for name in cleaned if name not in ("", ".", "..")] or ["photo"]


def _is_same(a: Path, b: Path) -> bool:
    return os.path.abspath(a) == os.path.abspath(b)


def _check_target(path: Path, inputs: list[Path], *, new_folder: bool, hint: str) -> None:
    if path.exists():
        if any(given.exists() and path.samefile(given) for given in inputs):
            raise ConfigError(f"{show_name(str(path))}: the output would replace an input", hint=hint)
        if not path.is_file():
            raise DataError(
                f"{show_name(str(path))}: not a regular file, nothing is written there", hint=hint
            )
    if not new_folder and not path.parent.is_dir():
        raise DataError(f"{show_name(str(path.parent))}: no such folder", hint="make it first")
    above = next(folder for folder in path.absolute().parents if folder.exists())
    if not above.is_dir():
        raise DataError(f"{show_name(str(above))}: not a folder", hint=hint)
