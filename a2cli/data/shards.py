"""Pairs on disk as parquet shards, pictures inside, with a file of counts beside each."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from a2cli.data.calls import calling
from a2cli.data.records import Pair
from a2cli.data.rows import PICTURES
from a2cli.errors import ConfigError
from a2cli.files import make_folder, show_name, write_bytes
from a2cli.images.photo import Photo
from a2cli.images.write import build_photo, encode_png

GROUP = 16  # records a row group: a stream shuffles whole groups, a reader holds one in memory


def write_parquet(folder: Path, pairs: Iterable[Pair], *, split: str, shard_size: int = 128) -> list[Path]:
    """Write `SPLIT-00000.parquet`, ... of `shard_size` pairs each, and `SPLIT-00000.json` with their counts.

    Columns are those of the data set record, pictures PNG. A shard appears whole or not at all, in order, so what a
    killed run leaves is a smaller data set; one shard is held in memory. Returns the shards. Raises `ConfigError`
    for a folder that holds shards of this split, a split that is no word, no pairs, an id that comes twice and a
    shard size below 1, `DataError` when one cannot be written.
    """
    if shard_size < 1:
        raise ConfigError(f"shard_size must be 1 or more, not {shard_size}")
    if not re.fullmatch(r"\w+", split):
        raise ConfigError(f"{split!r} cannot name a split", hint="letters, digits and _")
    if any(folder.glob(f"{split}-*.parquet")):
        raise ConfigError(
            f"{show_name(str(folder))}: already holds shards of {split!r}", hint="name another folder"
        )
    make_folder(folder)
    paths: list[Path] = []
    seen: set[str] = set()
    for part in _batch(pairs, shard_size):
        for pair in part:
            if pair.id in seen:
                raise ConfigError(f"the id {pair.id!r} stands twice", hint="records need ids of their own")
            seen.add(pair.id)
        path = folder / f"{split}-{len(paths):05d}.parquet"
        with calling(str(path)):
            data = _encode_shard(part, split)
        write_bytes(data, path)
        counts = {"split": split, "pairs": len(part), "categories": Counter(pair.category for pair in part)}
        write_bytes((json.dumps(counts) + "\n").encode(), path.with_suffix(".json"))
        paths.append(path)
    if not paths:
        raise ConfigError(f"{show_name(str(folder))}: there are no pairs to write")
    return paths


def _batch(pairs: Iterable[Pair], size: int) -> Iterator[list[Pair]]:
    iterator = iter(pairs)
    while part := list(islice(iterator, size)):
        yield part


def _encode_shard(pairs: list[Pair], split: str) -> bytes:
    from datasets import Dataset, Features, Image, Value

    texts = ("id", "split", "category", "subcategory", "prompt", "provenance")
    features = Features({**{name: Value("string") for name in texts}, **{name: Image() for name in PICTURES}})
    rows = Dataset.from_list([_build_row(pair, split) for pair in pairs], features=features)
    file = io.BytesIO()
    rows.to_parquet(file, batch_size=GROUP)
    return file.getvalue()


def _build_row(pair: Pair, split: str) -> dict[str, Any]:
    row: dict[str, Any] = {
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
        row[f"{view}_image"] = {"bytes": encode_png(build_photo(rgb), rgb), "path": None}
        row[f"{view}_mask"] = {"bytes": _encode_mask(mask), "path": None}
    return row


def _encode_mask(mask: np.ndarray) -> bytes:
    grey = mask.astype(np.uint8) * 255
    photo = Photo(np.dstack([grey] * 3), None, grey, "L", "PNG", "mask", "L")
    return encode_png(photo, grey)
