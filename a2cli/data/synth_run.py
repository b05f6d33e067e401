"""A synthesised data set on disk: made shard by shard, gone on with after a kill, never mixed from two settings."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

from a2cli import __version__
from a2cli.data.folder import METADATA, write_pair
from a2cli.data.glyphs import find_emoji_font
from a2cli.data.photos import list_photos
from a2cli.data.processes import work_in_order
from a2cli.data.records import Pair
from a2cli.data.shards import Row, build_row, write_shard
from a2cli.data.synth import SynthConfig, check_split, synthesise
from a2cli.errors import ConfigError, DataError
from a2cli.files import lock_folder, make_folder, show_name, write_bytes

OPTIONS = "synth.json"
SHARD = re.compile(r"(train|test)-\d{5}")
Format = Literal["parquet", "imagefolder"]
Progress = Callable[[int, int], None]
_MARKS = (METADATA, "state.json", "dataset_dict.json", "dataset_info.json")  # of data sets of other kinds
_ANOTHER = "name another folder"


def write_synthesised(
    folder: Path,
    count: int,
    *,
    seed: int = 0,
    split: str = "train",
    config: SynthConfig | None = None,
    format: Format = "parquet",
    shard_size: int = 250,
    workers: int = 1,
    progress: Progress | None = None,
) -> Path:
    """Synthesise `count` pairs into a folder; the bytes do not depend on `workers`, nor on how often it was killed.

    "parquet" writes shards of `shard_size` pairs and goes on after the last whole one; "imagefolder" writes PNG files
    and, last, their `metadata.jsonl`. `synth.json` holds the settings; where nothing was finished under them others may
    take their place. A folder that is complete is left as it is.
    Raises `ConfigError` for numbers out of range, for a folder with another data set, begun with other settings or in
    use, `DataError` when the font or the photographs are missing or nothing can be written.
    """
    config = config or SynthConfig()
    for name, value, least in (
        ("number", count, 1),
        ("seed", seed, 0),
        ("workers", workers, 1),
        ("shard size", shard_size, 1),
    ):
        if value < least:
            raise ConfigError(f"{name} must be {least} or more, not {value}")
    check_split(split)
    options = {
        "a2": __version__,
        "format": format,
        "number": count,
        "seed": seed,
        "split": split,
        "shard_size": shard_size,
        **asdict(config),
        "photos": _describe_photos(config, split),
        "font": hashlib.sha256(find_emoji_font().read_bytes()).hexdigest()[:16],
    }
    make = partial(synthesise, seed=seed, split=split, config=config)
    with _hold(folder):
        _settle(folder, options)
        if format == "parquet":
            parts = [range(start, min(start + shard_size, count)) for start in range(0, count, shard_size)]
            write = partial(write_shard, folder, split=split, instructed=config.instructions > 0)
            _write_shards(folder, partial(_make_row, make, split), write, parts, split, workers, progress)
        elif not (folder / METADATA).exists():
            _write_images(folder, partial(_make_files, make, split, folder), range(count), workers, progress)
    return folder


def _write_shards(
    folder: Path,
    make: Callable[[int], Row],
    write: Callable[..., Path],
    parts: list[range],
    split: str,
    workers: int,
    progress: Progress | None,
) -> None:
    """Write the shards that are not there yet, one in memory at a time."""
    missing = {number: part for number, part in enumerate(parts) if not _is_whole(folder, split, number)}
    total = sum(map(len, parts))
    done = total - sum(map(len, missing.values()))
    numbers = list(chain(*missing.values()))
    with closing(work_in_order(make, numbers, min(workers, len(numbers) or 1), start="fork")) as rows:
        for number, part in missing.items():
            shard = []
            for _, row in islice(rows, len(part)):
                shard.append(row)
                done += 1
                if progress:
                    progress(done, total)
            write(number, shard)


def _write_images(
    folder: Path, make: Callable[[int], Row], numbers: range, workers: int, progress: Progress | None
) -> None:
    lines = []
    with closing(work_in_order(make, numbers, min(workers, len(numbers)), start="fork")) as rows:
        for _, row in rows:
            lines.append(json.dumps(row) + "\n")
            if progress:
                progress(len(lines), len(numbers))
    write_bytes("".join(lines).encode(), folder / METADATA)


def _make_row(make: Callable[[int], Pair], split: str, index: int) -> Row:
    return build_row(make(index), split)


def _make_files(make: Callable[[int], Pair], split: str, folder: Path, index: int) -> Row:
    return dict(write_pair(folder, make(index), split))


def _list_unfinished(folder: Path) -> list[Path]:
    """What a killed run left: temporaries, and shards without the file that is written after them."""
    shards = [] if not (folder / OPTIONS).exists() else list(folder.glob("*.parquet"))
    torn = [file for file in shards if SHARD.fullmatch(file.stem) and not file.with_suffix(".json").exists()]
    return [*folder.glob(".a2-*.tmp"), *torn]


def _has_parts(folder: Path) -> bool:
    """Whether a run finished a shard or a picture there."""
    shards = any(SHARD.fullmatch(file.stem) for file in folder.glob("*.parquet"))
    return shards or (folder / METADATA).exists() or any(folder.glob("*-*.*_*.png"))


def _is_whole(folder: Path, split: str, number: int) -> bool:
    """Whether a shard is there, and the file beside it that is written after it."""
    shard = folder / f"{split}-{number:05d}.parquet"
    return shard.exists() and shard.with_suffix(".json").exists()


@contextmanager
def _hold(folder: Path) -> Iterator[None]:
    """Make a folder and keep other processes out; what a killed one left half-written goes."""
    make_folder(folder)
    with ExitStack() as stack:
        try:
            _lock(folder, stack)
            for stale in _list_unfinished(folder):
                stale.unlink()
        except OSError as error:
            raise DataError(
                f"{show_name(str(folder))}: cannot be written: {error.strerror}", hint=_ANOTHER
            ) from error
        yield


def _lock(folder: Path, stack: ExitStack) -> None:
    for wait in (
        0.05,
        0.1,
        0.2,
        0.4,
        None,
    ):  # workers of a run that was just killed hold it until they notice
        try:
            stack.enter_context(lock_folder(folder))
            return
        except ConfigError:
            if wait is None:
                raise
            time.sleep(wait)


def _settle(folder: Path, options: dict[str, Any]) -> None:
    """Write down the settings of a new data set; of one that was begun, see that they are the same."""
    name, file = show_name(str(folder)), folder / OPTIONS
    if not file.exists() or not _has_parts(folder):
        if any((folder / known).exists() for known in _MARKS) or any(folder.rglob("*.parquet")):
            raise ConfigError(f"{name}: already holds a data set", hint=_ANOTHER)
        write_bytes((json.dumps(options, indent=1) + "\n").encode(), file)
        return
    try:
        begun = json.loads(file.read_bytes())
        differences = [key for key in {**options, **begun} if begun.get(key) != options.get(key)]
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{name}: {OPTIONS} cannot be read: {error}", hint=_ANOTHER) from error
    if differences:
        key = differences[0]
        raise ConfigError(
            f"{name}: was begun with {key} {_show(begun.get(key))}, not {_show(options.get(key))}",
            hint=f"give the same options to go on with it, or {_ANOTHER}",
        )


def _show(value: Any) -> str:
    return "none" if value in (None, "") else str(value)


def _describe_photos(config: SynthConfig, split: str) -> str | None:
    """A word that changes when other photographs lie in the folder; where it lies does not matter."""
    photos = [photo for photo in list_photos(config.photos, split, config.licence) if photo.path is not None]
    lines = [f"{photo.rights.source} {photo.path.stat().st_size}" for photo in photos if photo.path]
    digest = hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
    return f"{len(lines)} files {digest[:16]}" if config.photos else None
