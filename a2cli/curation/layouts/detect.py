"""Which layout a path has, and the table of those that can be read and written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from a2cli.curation.layouts.any_insertion import (
    is_any_insertion,
    list_any_insertion,
    read_any_insertion,
)
from a2cli.curation.layouts.any_insertion_folder import AnyInsertionWriter
from a2cli.curation.layouts.imagefolder import ImagefolderWriter
from a2cli.curation.layouts.magic_brush import list_sessions, read_magic_brush
from a2cli.curation.layouts.ours import ShardWriter, read_ours, write_parquet_shard
from a2cli.curation.layouts.records import Listed, Writer
from a2cli.curation.layouts.tables import list_columns
from a2cli.curation.layouts.viton_hd import list_viton_hd, read_viton_hd
from a2cli.curation.layouts.webdataset import list_tars, read_webdataset, write_tar
from a2cli.data.layouts import find_layout, list_shards
from a2cli.data.shards import even_out
from a2cli.errors import ConfigError, DataError
from a2cli.files import show_name

OURS = ("parquet", "imagefolder", "saved")
READERS: dict[str, Callable[[str, str | None], Iterator[Listed]]] = {
    "anyinsertion": read_any_insertion,
    "viton-hd": read_viton_hd,
    "magicbrush": read_magic_brush,
    "webdataset": read_webdataset,
    **dict.fromkeys(OURS, read_ours),
}
WRITERS: dict[str, Callable[[Path, int], Writer]] = {
    "parquet": lambda folder, size: ShardWriter(folder, size, write_parquet_shard, even_out),
    "webdataset": lambda folder, size: ShardWriter(folder, size, write_tar),
    "imagefolder": lambda folder, size: ImagefolderWriter(folder),
    "anyinsertion": lambda folder, size: AnyInsertionWriter(folder),
}


def detect_layout(path: str) -> str:
    """The name of a path's layout, by the files and columns that it alone has.

    Raises `DataError` for a path that holds none of them.
    """
    place = Path(path).expanduser()
    if place.is_dir():
        for name, found in (
            ("magicbrush", list_sessions(place)),
            ("viton-hd", list_viton_hd(place)),
            ("anyinsertion", list_any_insertion(place)),
        ):
            if found:
                return name
    if list_tars(path):
        return "webdataset"
    shards = list_shards(path)
    if shards and not (place / "metadata.jsonl").is_file():
        return _detect_columns(shards)
    kind = _find_kind(path)
    if kind == "hub":
        raise DataError(
            f"{show_name(path)}: no such file or folder", hint="of a hub's data set name the download"
        )
    return kind


def check_layout(path: str, name: str) -> None:
    """Raise `ConfigError` for a path of a2's own layouts that has another of them than `name`."""
    if name in OURS and (kind := _find_kind(path)) != name:
        raise ConfigError(f"{show_name(path)}: this is {kind}, not {name}", hint=f"--from {kind}")
    if name == "webdataset" and not list_tars(path):
        raise DataError(f"{show_name(path)}: no tar", hint="name a folder of *.tar, a tar or a pattern")


def _find_kind(path: str) -> str:
    for split in ("train", "validation", "test"):
        try:
            return find_layout(path, split).kind
        except ConfigError:  # the layout is known, this split is not there
            continue
    return _get_saved_or_folder(Path(path).expanduser())


def _get_saved_or_folder(place: Path) -> str:
    """The kind of a data set that has none of the usual splits."""
    if (place / "dataset_dict.json").is_file():
        return "saved"
    return "imagefolder" if any(place.glob("*/metadata.jsonl")) else "parquet"


def _detect_columns(shards: list[Path]) -> str:
    """The layout of shards by the columns of the first that can be read."""
    for file in shards:
        try:
            columns = set(list_columns(file))
        except DataError:
            continue
        if {"img_id", "mask_img", "target_img"} <= columns:
            return "magicbrush"
        return "anyinsertion" if is_any_insertion(file) else "parquet"
    return "parquet"
