"""Which of the known layouts a path has, and which of its files belong to a split."""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from a2cli.errors import A2Error, ConfigError, DataError
from a2cli.files import show_name

METADATA = "metadata.jsonl"
SPLIT_WORDS = {  # as `datasets` knows them in names of files and folders
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
HIDDEN = re.compile(r"(?:^|/)\.")
HUB_ID = re.compile(r"[\w\-][\w.\-]*/[\w\-][\w.\-]*", re.ASCII)
KNOWN = f"a folder with {METADATA} or parquet shards, or one that Dataset.save_to_disk wrote"


@dataclass(frozen=True)
class Layout:
    """Where pairs lie: one `metadata.jsonl`, parquet shards, one saved data set, or a hub id.

    `named` says that names told the files of the wanted split; else the column `split` does, where there is one.
    """

    kind: Literal["imagefolder", "parquet", "saved", "hub"]
    where: str
    files: tuple[Path, ...] = ()
    named: bool = False


def find_layout(path: str, split: str) -> Layout:
    """Recognise what `path` holds and pick the split's files.

    Raises `DataError` for a path without pairs, `ConfigError` for a split that the names of files or folders lack.
    """
    place = Path(path).expanduser()
    try:
        if place.is_dir():
            return _find_in_folder(place, split)
        if place.name == METADATA and place.is_file():
            return Layout("imagefolder", str(place), (place,))
        if place.suffix == ".parquet" and place.is_file():
            return Layout("parquet", str(place), (place,))
        if place.exists():
            raise DataError(f"{show_name(path)}: not a data set a2 reads", hint=f"name {KNOWN}")
        if set(path) & set("*?["):
            return _find_by_pattern(str(place), split)
    except (OSError, ValueError) as error:
        raise DataError(f"{show_name(path)}: cannot be read: {error}", hint="check the path") from error
    if HUB_ID.fullmatch(path):
        return Layout("hub", path)
    raise DataError(f"{show_name(path)}: no such file or folder", hint=f"name {KNOWN}, or a hub id")


def _find_in_folder(folder: Path, split: str) -> Layout:
    if (folder / "dataset_dict.json").is_file():
        return _find_saved(folder, split)
    if (folder / "state.json").is_file():
        return Layout("saved", str(folder), (folder,))
    if (folder / METADATA).is_file():
        return Layout("imagefolder", str(folder), (folder / METADATA,))
    named = {file.parent.name: file for file in sorted(folder.glob(f"*/{METADATA}"))}
    if named:
        chosen = named.get(split)
        if chosen is None:
            raise get_split_error(str(folder), split, named)
        return Layout("imagefolder", str(folder), (chosen,), named=True)
    shards = list_shards(str(folder))
    if not shards:
        what = "holds no data set" if any(folder.iterdir()) else "an empty folder"
        raise DataError(f"{show_name(str(folder))}: {what}", hint=f"name {KNOWN}")
    return _pick_shards(str(folder), folder, shards, split)


def _find_by_pattern(pattern: str, split: str) -> Layout:
    shards = list_shards(pattern)
    if not shards:
        raise DataError(f"{show_name(pattern)}: no parquet file has such a name", hint="check the path")
    return _pick_shards(pattern, Path(os.path.commonpath([file.parent for file in shards])), shards, split)


def list_shards(path: str) -> list[Path]:
    """Parquet files by name: in a folder and below it, a single one, or those of a pattern; none if there are none."""
    place = Path(path).expanduser()
    if place.is_dir():
        found = [file for file in place.rglob("*.parquet") if not HIDDEN.search(str(file.relative_to(place)))]
    elif place.is_file():
        found = [place]
    else:
        found = [Path(name) for name in glob.glob(str(place), recursive=True)]
    return sorted(file for file in found if file.suffix == ".parquet" and file.is_file())


def _find_saved(folder: Path, split: str) -> Layout:
    try:
        splits = list(json.loads((folder / "dataset_dict.json").read_text())["splits"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{show_name(str(folder))}: dataset_dict.json cannot be read: {error}") from error
    if split not in splits:
        raise get_split_error(str(folder), split, splits)
    return Layout("saved", str(folder), (folder / split,), named=True)


def _pick_shards(where: str, root: Path, shards: list[Path], split: str) -> Layout:
    """The shards of a split, by the words in their names below `root` if these tell more than one split apart."""
    by_split: dict[str, list[Path]] = {}
    for shard in shards:
        if name := get_named_split(shard.relative_to(root)):
            by_split.setdefault(name, []).append(shard)
    if len(by_split) < 2:
        return Layout("parquet", where, tuple(shards))
    wanted = get_named_split(Path(split)) or split
    if wanted not in by_split:
        raise get_split_error(where, split, by_split)
    return Layout("parquet", where, tuple(by_split[wanted]), named=True)


def get_named_split(path: Path) -> str | None:
    """The split that the words in a file's name or its folders' names tell, if any."""
    for part in path.parts:
        words = set(re.findall("[a-z]+", part.lower()))
        for name, known in SPLIT_WORDS.items():
            if words & set(known):
                return name
    return None


def get_split_error(where: str, split: str, there: Iterable[str]) -> A2Error:
    """The error for a split that a data set lacks; `there` are those it has, none if it holds nothing."""
    names = ", ".join(sorted(there))
    if not names:
        return DataError(f"{show_name(where)}: no records", hint="check the data set")
    return ConfigError(f"{show_name(where)}: there is no split {split!r}", hint=f"there are: {names}")
