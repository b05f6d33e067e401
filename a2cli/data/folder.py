"""Pairs on disk as an imagefolder: PNG files and a `metadata.jsonl` that `datasets` reads as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from a2cli.data.records import Pair
from a2cli.images.write import save_image, save_mask

METADATA = "metadata.jsonl"


def write_pair(folder: Path, pair: Pair, split: str) -> dict[str, str]:
    """Write one pair's pictures, four or, with the photo from before its edit, six; returns its metadata row."""
    stem = pair.id.removeprefix(f"{split}-")  # `datasets` would take "train-" for a split without metadata
    names = {part: f"{stem}.{part}.png" for part in ("ref_image", "ref_mask", "tar_image", "tar_mask")}
    save_image(pair.ref_rgb, folder / names["ref_image"])
    save_image(pair.tar_rgb, folder / names["tar_image"])
    save_mask(pair.ref_mask.astype(np.float32), folder / names["ref_mask"])
    save_mask(pair.tar_mask.astype(np.float32), folder / names["tar_mask"])
    more = {}
    if pair.src_rgb is not None:
        names["src_image"] = f"{stem}.src_image.png"
        save_image(pair.src_rgb, folder / names["src_image"])
        more = {"task": pair.task, "keyword": pair.keyword}
    if pair.src_mask is not None:
        names["src_mask"] = f"{stem}.src_mask.png"
        save_mask(pair.src_mask.astype(np.float32), folder / names["src_mask"])
    return {
        "id": pair.id,
        "split": split,
        "category": pair.category,
        "subcategory": pair.subcategory,
        "prompt": pair.prompt,
        **({"provenance": pair.provenance} if pair.provenance else {}),
        **more,
        **{f"{part}_file_name": name for part, name in names.items()},
    }
