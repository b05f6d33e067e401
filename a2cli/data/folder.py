"""Pairs on disk as an imagefolder: PNG files and a `metadata.jsonl` that `datasets` reads as it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from a2cli.data.records import Pair
from a2cli.data.synth import SynthConfig, synthesise
from a2cli.errors import ConfigError
from a2cli.files import make_folder, write_bytes
from a2cli.images.write import save_image, save_mask

METADATA = "metadata.jsonl"


def write_synthesised(
    folder: Path,
    count: int,
    *,
    seed: int = 0,
    split: str = "train",
    config: SynthConfig | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Synthesise `count` pairs into a folder; the bytes do not depend on `workers`.

    Every picture is written whole or not at all, the metadata last. Raises `ConfigError` for a count below 1
    and for a folder that already holds a data set, `DataError` when it cannot be written.
    """
    if count < 1:
        raise ConfigError(f"{count} pairs cannot be made", hint="-n 1 or more")
    if (folder / METADATA).exists():
        raise ConfigError(f"{folder}: already holds a data set", hint="name another folder")
    make_folder(folder)
    make = partial(_write_one, folder, seed, split, config or SynthConfig())
    rows = []
    if workers <= 1:
        for index in range(count):
            rows.append(make(index))
            if progress:
                progress(index + 1, count)
    else:
        cv2.setNumThreads(
            1
        )  # a forked process inherits OpenCV's pool without its threads, and waits for them
        with ProcessPoolExecutor(workers) as pool:
            for index, row in enumerate(pool.map(make, range(count), chunksize=8)):
                rows.append(row)
                if progress:
                    progress(index + 1, count)
    write_bytes("".join(json.dumps(row) + "\n" for row in rows).encode(), folder / METADATA)
    return folder


def _write_one(folder: Path, seed: int, split: str, config: SynthConfig, index: int) -> dict[str, str]:
    return write_pair(folder, synthesise(index, seed=seed, split=split, config=config), split)


def write_pair(folder: Path, pair: Pair, split: str) -> dict[str, str]:
    """Write one pair's four pictures; returns its metadata row."""
    stem = pair.id.removeprefix(f"{split}-")  # `datasets` would take "train-" for a split without metadata
    names = {part: f"{stem}.{part}.png" for part in ("ref_image", "ref_mask", "tar_image", "tar_mask")}
    save_image(pair.ref_rgb, folder / names["ref_image"])
    save_image(pair.tar_rgb, folder / names["tar_image"])
    save_mask(pair.ref_mask.astype(np.float32), folder / names["ref_mask"])
    save_mask(pair.tar_mask.astype(np.float32), folder / names["tar_mask"])
    return {
        "id": pair.id,
        "split": split,
        "category": pair.category,
        "subcategory": pair.subcategory,
        "prompt": pair.prompt,
        **{f"{part}_file_name": name for part, name in names.items()},
    }
