"""A paired item into a row of the data set, and what choosing among rows needs to know of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from a2cli import __version__
from a2cli.building.config import BuildConfig
from a2cli.building.records import Item
from a2cli.data.hashes import get_hash
from a2cli.data.provenance import Provenance
from a2cli.data.shards import PNG_LEVEL, Row, encode_mask
from a2cli.errors import DataError
from a2cli.images.write import build_photo, encode_jpeg, encode_png


@dataclass(frozen=True)
class Candidate:
    """One finished pair: its row, the hashes of its pictures (64 bits each), its score and the views left behind."""

    row: Row
    ref_hash: int
    tar_hash: int
    score: float
    dropped: dict[str, int]


def encode_item(item: Item, config: BuildConfig) -> Candidate:
    """Encode an item whose views are a reference and a target, both with masks.

    Pictures are JPEG (quality 95, full colour) or PNG as `config.pictures` says, masks PNG. The score is the least
    sharpness of the two, 0 where none was measured. Raises `DataError` for any other item.
    """
    if len(item.views) != 2 or any(view.mask is None or not view.mask.any() for view in item.views):
        raise DataError(f"{item.id}: not a pair with masks")
    reference, target = item.views
    provenance = Provenance(
        item.rights,
        group=item.group,
        ref=reference.name,
        tar=target.name,
        tools={**item.tools, "build": f"a2 {__version__}"},
        scores={name: round(float(value), 4) for name, value in item.scores.items()},
        generated=item.generated,
    )
    row: Row = {
        "id": item.id,
        "split": config.split,
        "category": item.category,
        "subcategory": item.subcategory,
        "prompt": item.prompt or f"a photo of {item.subcategory or item.category}",
        "provenance": provenance.to_text(),
    }
    for name, view in (("ref", reference), ("tar", target)):
        assert view.mask is not None
        row[f"{name}_image"] = _wrap(_encode(view.rgb, config.pictures))
        row[f"{name}_mask"] = _wrap(encode_mask(view.mask))
    score = min(float(item.scores.get(f"sharpness_{end}", 0.0)) for end in ("ref", "tar"))
    return Candidate(row, get_hash(reference.rgb), get_hash(target.rgb), score, item.dropped)


def _encode(rgb: np.ndarray, format: str) -> bytes:
    photo = build_photo(np.ascontiguousarray(rgb))
    return (
        encode_jpeg(photo, photo.native)
        if format == "jpeg"
        else encode_png(photo, photo.native, level=PNG_LEVEL)
    )


def _wrap(data: bytes) -> dict[str, Any]:
    return {"bytes": data, "path": None}
