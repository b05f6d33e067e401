"""From the words of `a2 augment-mask` to masks and the files they become; nothing is written here."""

from __future__ import annotations

import glob
import hashlib
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from a2cli.config.augment import AugmentConfig, Perturbation
from a2cli.errors import ConfigError, DataError
from a2cli.files import show_name
from a2cli.images.encode import FORMAT_SUFFIXES
from a2cli.types import Stage

NAME_BYTES = 255  # of a file name, on all common file systems
MAGIC = re.compile(r"[*?\[]")
# What an earlier run has put beside its masks.
MADE = re.compile(
    r"\.(fine|rough|box|(dilate|erode|shift)-[-\d._e+]+(pct)?(_[-\d.e+]+(pct)?)?)(\.\d+)?\.png$"
)
log = logging.getLogger(__name__)
SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"II*\0", b"MM\0*", b"BM", b"GIF8")


@dataclass(frozen=True)
class MaskInput:
    """One mask to read.

    path: where it lies, "-" for stdin. id: its path in the folder or below the pattern it was found by, its
    name where it was named itself; what it draws depends on this and the seed alone. data: its bytes if it
    came by pipe. found: in a folder, a pattern or a list, which may hold more another day.
    """

    path: str
    id: str
    data: bytes | None = None
    found: bool = False


@dataclass(frozen=True)
class Job:
    """One mask to make: of what, how, the number of the variant, and where to (None: stdout)."""

    source: MaskInput
    change: Stage | Perturbation
    variant: int
    target: Path | None


def plan_jobs(config: AugmentConfig, stdin: Callable[[], bytes]) -> list[list[Job]]:
    """Find every mask and name every output: the jobs of each mask, in order.

    Raises `ConfigError` where nothing is found, two outputs have one name, or an output would replace an input.
    """
    sources = find_masks(config, stdin)
    changes: tuple[Stage | Perturbation, ...] = (config.stage,) if config.stage else config.changes
    if config.out == "-" and len(sources) > 1:
        raise ConfigError(f"-o - writes one PNG, here are {len(sources)} masks", hint="name a folder with -o")
    several = len(sources) > 1 or len(changes) > 1 or sources[0].found
    plan = [
        [
            Job(source, change, i, _get_target(config, source, change, i, several))
            for change in changes
            for i in range(config.variants if is_drawn(change) else 1)
        ]
        for source in sources
    ]
    _check_targets(config, plan)
    return plan


def is_drawn(change: Stage | Perturbation) -> bool:
    """Whether the outcome depends on the seed."""
    return change.is_drawn if isinstance(change, Perturbation) else change != "fine"


def get_name(change: Stage | Perturbation) -> str:
    """The change as file names have it."""
    return change.name if isinstance(change, Perturbation) else change


def get_out_folder(config: AugmentConfig, plan: list[list[Job]]) -> Path | None:
    """The folder that -o names, None where it names a file, a pipe or nothing."""
    if config.out in (None, "-"):
        return None
    out = Path(config.out or "")
    return None if any(job.target == out for jobs in plan for job in jobs) else out


def find_masks(config: AugmentConfig, stdin: Callable[[], bytes]) -> list[MaskInput]:
    """Every mask the command line names: files, folders, patterns, a picture or a list of paths on stdin."""
    found: list[MaskInput] = []
    for name in config.masks:
        if name == "-":
            found += _read_stdin(config, stdin)
        elif MAGIC.search(name) and not os.path.lexists(name):
            found += _expand(name)
        else:
            found += _find_named(name, config.out)
    return found


def _find_named(name: str, out: str | None) -> list[MaskInput]:
    if not os.path.isdir(name):
        return [MaskInput(name, os.path.basename(name.rstrip("/")))]
    skipped = os.path.realpath(out) if out and os.path.realpath(out) != os.path.realpath(name) else None
    found = _keep_masks(name, _walk(name, skipped))
    if not found:
        raise ConfigError(
            f"{show_name(name)}: no pictures in this folder", hint="name the folder with the masks"
        )
    return [MaskInput(path, os.path.relpath(path, name), found=True) for path in found]


def _walk(root: str, skipped: str | None) -> Iterator[tuple[str, list[str]]]:
    """Every folder from `root` down, hidden ones and the one skipped apart, and the names of its files."""
    for folder, folders, files in os.walk(root, onerror=_refuse):
        folders[:] = sorted(
            f for f in folders if f[0] != "." and os.path.realpath(os.path.join(folder, f)) != skipped
        )
        yield folder, sorted(files)


def _refuse(error: OSError) -> None:
    raise DataError(
        f"{show_name(str(error.filename))}: cannot be read: {error.strerror}", hint="check the folder"
    )


def _expand(pattern: str) -> list[MaskInput]:
    """What a quoted pattern matches; ids are relative to the folder above its first wildcard."""
    parts = Path(pattern).parts
    fixed = next(i for i, part in enumerate(parts) if MAGIC.search(part))
    root = os.path.join(*parts[:fixed]) if fixed else "."
    matched = sorted(path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path))
    folders: dict[str, list[str]] = {}
    for path in matched:
        folders.setdefault(os.path.dirname(path), []).append(os.path.basename(path))
    found = _keep_masks(pattern, folders.items())
    if not found:
        raise ConfigError(
            f"{show_name(pattern)}: no such file, and no picture matches",
            hint="check the path or the pattern",
        )
    inside = [os.path.relpath(path, root) for path in found]
    return [
        MaskInput(path, os.path.basename(path) if name.startswith("..") else name, found=True)
        for path, name in zip(found, inside, strict=True)
    ]


def _keep_masks(name: str, folders: Iterable[tuple[str, list[str]]]) -> list[str]:
    """The pictures among the files of some folders, hidden ones and what an earlier run made there left out."""
    kept, made = [], 0
    for folder, files in folders:
        pictures = [f for f in files if f[0] != "." and Path(f).suffix.lower() in FORMAT_SUFFIXES]
        stems = {Path(file).stem for file in pictures}
        masks = [file for file in pictures if MADE.sub("", file) not in stems]
        made += len(pictures) - len(masks)
        kept += [os.path.join(folder, file) for file in masks]
    if made:
        log.warning("%s: %d outputs of an earlier run are left out", show_name(name), made)
    return kept


def _read_stdin(config: AugmentConfig, stdin: Callable[[], bytes]) -> list[MaskInput]:
    data = stdin()
    if not config.null and _is_picture(data):
        return [MaskInput("-", "stdin", data)]
    if not config.null and b"\0" in data:
        raise DataError(
            "stdin: neither a picture a2 reads nor paths, one a line",
            hint="a list separated by NUL needs --null",
        )
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\0" if config.null else b"\n")
    names = [os.fsdecode(line if config.null else line.removesuffix(b"\r")) for line in lines]
    found = [mask for name in names if name for mask in _find_named(name, config.out)]
    if not found:
        raise DataError("stdin: nothing came", hint="pipe in a mask, or paths of masks, one a line")
    return [replace(mask, found=True) for mask in found]


def _is_picture(data: bytes) -> bool:
    """Whether bytes begin as a picture does; the NUL keeps a list with BMW.png in front apart."""
    return b"\0" in data[:32] and (data.startswith(SIGNATURES) or data[4:8] == b"ftyp")


def _get_target(
    config: AugmentConfig, source: MaskInput, change: Stage | Perturbation, variant: int, several: bool
) -> Path | None:
    if config.out == "-":
        return None
    number = f".{variant}" if variant else ""
    inside = Path(source.id)
    name = _shorten(inside.stem, f".{get_name(change)}{number}.png")
    if config.out is None:
        if source.data is not None:
            raise ConfigError("a mask from stdin has no name to build on", hint="give -o FILE or -o -")
        return Path(source.path).with_name(name)
    if several or config.out.endswith("/") or os.path.isdir(config.out):
        return Path(config.out) / inside.parent / name
    out = Path(config.out)
    if out.suffix.lower() not in ("", ".png"):
        raise ConfigError(f"{show_name(config.out)}: masks are saved as PNG", hint="name it .png")
    return out.with_name(f"{out.stem}{number}{out.suffix}")


def _shorten(stem: str, tail: str) -> str:
    """STEM + TAIL; a stem too long for a file name ends in a digest, so that two stay apart."""
    given = os.fsencode(stem)
    room = NAME_BYTES - len(tail)
    if len(given) <= room:
        return stem + tail
    return f"{given[: room - 9].decode('utf-8', 'ignore')}-{hashlib.sha256(given).hexdigest()[:8]}{tail}"


def _check_targets(config: AugmentConfig, plan: list[list[Job]]) -> None:
    targets = [os.path.realpath(job.target) for jobs in plan for job in jobs if job.target]
    twice = [target for target, count in Counter(targets).items() if count > 1]
    if twice:
        raise ConfigError(
            f"two masks have one name: {show_name(os.path.basename(twice[0]))}",
            hint="write them to different folders, or name the folder they lie in, which is mirrored",
        )
    folder = get_out_folder(config, plan)
    if folder and folder.exists() and not folder.is_dir():
        raise ConfigError(
            f"{show_name(str(folder))}: a file, several masks need a folder", hint="choose another -o"
        )
    sources = {os.path.realpath(jobs[0].source.path) for jobs in plan if jobs[0].source.data is None}
    if sources & set(targets):
        raise ConfigError("an output would replace a mask", hint="choose another -o")
    for option, name in (("--preview", config.preview), ("--report", config.report)):
        if name and os.path.realpath(name) in sources.union(targets):
            raise ConfigError(f"{option} {show_name(name)} would replace a mask", hint="choose another name")
        if name and os.path.isdir(name):
            raise ConfigError(f"{option} {show_name(name)} is a folder", hint="name a file")
    if config.preview and Path(config.preview).suffix.lower() not in FORMAT_SUFFIXES:
        raise ConfigError(
            f"--preview {show_name(config.preview)}: not a picture's name",
            hint="use " + ", ".join(FORMAT_SUFFIXES),
        )
