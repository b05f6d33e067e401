"""Pairs on disk as parquet shards, pictures inside, with a file of counts beside each."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from a2cli.data.calls import calling
from a2cli.data.instructed import INSTRUCTED, INSTRUCTION_TEXTS, SOURCE_PICTURES, is_there
from a2cli.data.records import Pair
from a2cli.data.rows import PICTURES
from a2cli.errors import ConfigError
from a2cli.files import make_folder, show_name, write_bytes
from a2cli.images.write import build_mask_photo, build_photo, encode_png

Row = dict[str, Any]
TEXTS = ("id", "split", "category", "subcategory", "prompt", "provenance")
PNG_LEVEL = 1  # of zlib: 6 % larger than its default and four to five times as fast
GROUP = 16  # records a row group: a stream shuffles whole groups, a reader holds one in memory


def write_parquet(folder: Path, pairs: Iterable[Pair], *, split: str, shard_size: int = 128) -> list[Path]:
    """Write pairs as `write_rows` does, pictures as PNG."""
    return write_rows(folder, (build_row(pair, split) for pair in pairs), split=split, shard_size=shard_size)


def write_rows(folder: Path, rows: Iterable[Row], *, split: str, shard_size: int = 128) -> list[Path]:
    """Write `SPLIT-00000.parquet`, ... of `shard_size` rows each, and `SPLIT-00000.json` with their counts.

    Rows hold texts and pictures as `build_row` makes them; the bytes of a picture are written as they are. A shard
    appears whole or not at all, in order, so what a killed run leaves is a smaller data set; one shard is held in
    memory. Returns the shards. Raises `ConfigError` for a folder that holds shards of this split, a split that is no
    word, no rows, an id that comes twice and a shard size below 1, `DataError` when one cannot be written.
    """
    if shard_size < 1:
        raise ConfigError(f"shard_size must be 1 or more, not {shard_size}")
    check_split_name(split)
    if any(folder.glob(f"{split}-*.parquet")):
        raise ConfigError(
            f"{show_name(str(folder))}: already holds shards of {split!r}", hint="name another folder"
        )
    make_folder(folder)
    paths: list[Path] = []
    seen: set[str] = set()
    for part in _batch(rows, shard_size):
        for row in part:
            if row["id"] in seen:
                raise ConfigError(f"the id {row['id']!r} stands twice", hint="records need ids of their own")
            seen.add(row["id"])
        paths.append(write_shard(folder, len(paths), part, split))
    if not paths:
        raise ConfigError(f"{show_name(str(folder))}: there are no pairs to write")
    even_out(paths)
    return paths


def write_shard(
    folder: Path,
    number: int,
    rows: list[Row],
    split: str,
    more: Mapping[str, Any] | None = None,
    *,
    instructed: bool = False,
) -> Path:
    """Write one shard, then its counts, `more` among them; a shard without the file of counts is not finished.

    The bytes are a function of the rows and of `instructed` alone. Raises `DataError` when it cannot be written.
    """
    path = folder / f"{split}-{number:05d}.parquet"
    data = encode_rows([{**row, "split": split} for row in rows], str(path), instructed=instructed)
    write_bytes(data, path)
    categories = Counter(row["category"] for row in rows)
    counts = {"split": split, "pairs": len(rows), "categories": categories, **(more or {})}
    write_bytes((json.dumps(counts) + "\n").encode(), path.with_suffix(".json"))
    return path


def even_out(paths: Iterable[Path]) -> None:
    """Give shards without the columns `INSTRUCTED` empty ones where others have them: readers want all shards alike.

    Raises `DataError` when one cannot be read or written.
    """
    from a2cli.data.shard_reader import load_features, read_batches

    shards = list(paths)
    with calling("shards", bars=False):
        plain = [path for path in shards if not set(INSTRUCTED) & set(load_features(path))]
        for path in plain if len(plain) < len(shards) else ():
            rows = [row for batch in read_batches(path) for row in batch.to_pylist()]
            write_bytes(encode_rows(rows, str(path), instructed=True), path)


def check_split_name(split: str) -> None:
    """Raise `ConfigError` for a split that cannot be part of a file's name."""
    if not re.fullmatch(r"\w+", split):
        raise ConfigError(f"{split!r} cannot name a split", hint="letters, digits and _")


def _batch(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    iterator = iter(rows)
    while part := list(islice(iterator, size)):
        yield part


def encode_rows(rows: list[Row], where: str = "rows", *, instructed: bool = False) -> bytes:
    """Rows of `build_row` as one parquet file, in groups of 16.

    The columns `INSTRUCTED` are there where a row has a photo from before its edit, and always when `instructed`.
    Raises `DataError` about `where`.
    """
    from datasets import Dataset, Features, Image, Value

    instructed = instructed or any(is_there(row.get("src_image")) for row in rows)
    more = INSTRUCTED if instructed else ()
    pictures = (*PICTURES, *SOURCE_PICTURES)
    kinds = {name: Image() if name in pictures else Value("string") for name in (*TEXTS, *PICTURES, *more)}
    file = io.BytesIO()
    with calling(where, bars=False):
        table = Dataset.from_list(
            [
                {
                    **{name: row[name] for name in (*TEXTS, *PICTURES)},
                    **{name: row.get(name) for name in more},
                }
                for row in rows
            ],
            features=Features(kinds),
        )
        table.to_parquet(file, batch_size=GROUP)
    return file.getvalue()


def build_row(pair: Pair, split: str) -> Row:
    """A pair as columns: texts, and pictures as `datasets` stores them, `{"bytes": PNG, "path": None}`.

    The columns `INSTRUCTED` are there where the pair has a photo from before its edit.
    """
    row: Row = {
        "id": pair.id,
        "split": split,
        "category": pair.category,
        "subcategory": pair.subcategory,
        "prompt": pair.prompt,
        "provenance": pair.provenance,
    }
    for view, rgb, mask in (
        ("ref", pair.ref_rgb, pair.ref_mask),
        ("tar", pair.tar_rgb, pair.tar_mask),
    ):
        row[f"{view}_image"] = _build_picture(rgb)
        row[f"{view}_mask"] = {"bytes": encode_mask(mask), "path": None}
    if pair.src_rgb is not None:
        row["src_image"] = _build_picture(pair.src_rgb)
        row["src_mask"] = (
            None if pair.src_mask is None else {"bytes": encode_mask(pair.src_mask), "path": None}
        )
        row.update({name: getattr(pair, name) for name in INSTRUCTION_TEXTS})
    return row


def _build_picture(rgb: np.ndarray) -> dict[str, Any]:
    return {"bytes": encode_png(build_photo(rgb), rgb, level=PNG_LEVEL), "path": None}


def encode_mask(mask: np.ndarray) -> bytes:
    """(H, W) bool as a grey PNG of 0 and 255."""
    photo = build_mask_photo(mask)
    return encode_png(photo, photo.native)
