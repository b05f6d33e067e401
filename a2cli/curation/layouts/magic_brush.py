"""MagicBrush (Zhang et al. 2023) into pairs: the hub's parquet files, and the folders of its test set.

On the hub (`osunlp/MagicBrush`) a row has `img_id`, `turn_index` (from 1), `source_img`, `mask_img`, `instruction`,
`target_img`, in shards `train-*` and `dev-*`. The test set is a folder:

    {test,dev,train}/edit_sessions.json     {"IMGID": [{"input", "mask", "output", "instruction"}, ...], ...}
    {test,dev,train}/images/IMGID/IMGID-input.png, IMGID-mask1.png, IMGID-output1.png, IMGID-mask2.png, ...

A mask is a copy of a picture with the region rubbed out to transparency. Some copies lost their alpha: there the region
is what is plain black or white and differs from the source (or the target). Black and white masks are read as such.

No picture of the object alone exists: the reference is the target under the mask, which is what the edit put there. The
record has no place for the source picture. The session is the group, so its turns stay in one split; ids are
"IMGID-TURN". The category is that of what the instruction names, "object" where a2's taxonomy knows none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from a2cli.curation.layouts.labels import get_instruction_labels
from a2cli.curation.layouts.records import (
    Failure,
    Found,
    Listed,
    Texts,
    build_failure,
    load_pictures,
)
from a2cli.curation.layouts.tables import browse_shards, get_shard_split
from a2cli.data.layouts import list_shards
from a2cli.data.provenance import Provenance, Rights
from a2cli.data.rows import MEND, RowReader
from a2cli.errors import DataError
from a2cli.files import show_name
from a2cli.images.photo import Photo
from a2cli.images.read import open_photo
from a2cli.masks.read import get_hole, get_white

SESSIONS = "edit_sessions.json"
COLUMNS = ("img_id", "turn_index", "source_img", "mask_img", "instruction", "target_img")
KEYS = {"source_img": "input", "mask_img": "mask", "target_img": "output"}
RIGHTS = Rights(source="MagicBrush", author="Zhang et al. 2023", licence="CC-BY-4.0")
NEAR = 32  # levels that a lossily coded mask may be off black, white and grey


def list_sessions(folder: Path) -> list[Path]:
    """The lists of sessions in a folder and one level below."""
    return sorted((*folder.glob(SESSIONS), *folder.glob(f"*/{SESSIONS}")))


def read_magic_brush(path: str, split: str | None) -> Iterator[Listed]:
    """List the turns of all sessions, of folders where there are any, else of shards."""
    place = Path(path).expanduser()
    lists = list_sessions(place) if place.is_dir() else []
    if not lists and not list_shards(path):
        raise DataError(
            f"{show_name(path)}: neither {SESSIONS} nor shards", hint="name the downloaded folder"
        )
    items = (item for file in lists for item in _read_sessions(place, file))
    for item in items if lists else _read_shards(path):
        if split is None or isinstance(item, Failure) or item.texts.split == split:
            yield item


def _read_shards(path: str) -> Iterator[Listed]:
    for item in browse_shards(path, COLUMNS):
        if isinstance(item, Failure):
            yield item
            continue
        row, reader = item
        image, turn, instruction = (reader.get_text(row, n) for n in ("img_id", "turn_index", "instruction"))
        texts = _build_texts(image, turn, get_shard_split(reader.where), instruction, f"{image}-output{turn}")
        load = partial(reader.load_bytes, {**row, "id": texts.id})
        yield Found(texts, partial(load_pictures, texts, reader.where, _build_getter(load)))


def _read_sessions(root: Path, file: Path) -> Iterator[Listed]:
    try:
        sessions = json.loads(file.read_text("utf-8-sig"))
        if not isinstance(sessions, dict):
            raise ValueError("not an object of sessions")
    except (OSError, ValueError, RecursionError) as error:
        cause = DataError(f"{show_name(str(file))}: cannot be read: {error}", hint="get the file again")
        yield build_failure(cause, id=file.parent.name)
        return
    name = file.parent.resolve().name
    split = name if name in ("train", "dev", "validation", "test") else "test"
    reader = RowReader(str(file), root)
    for image, turns in sessions.items():
        for number, turn in enumerate(turns if isinstance(turns, list) else [None], start=1):
            yield _build_found(reader, file.parent.relative_to(root), split, image, number, turn)


def _build_found(reader: RowReader, place: Path, split: str, image: str, number: int, turn: Any) -> Listed:
    wanted = (*KEYS.values(), "instruction")
    if not isinstance(turn, dict) or any(not isinstance(turn.get(key), str) for key in wanted):
        id = f"{image}-{number}"
        error = DataError(
            f"{show_name(reader.where)}: session {show_name(id)}: it needs {', '.join(wanted)}", hint=MEND
        )
        return build_failure(error, id=id)
    row = {column: str(place / "images" / image / turn[key]) for column, key in KEYS.items()}
    texts = _build_texts(image, str(number), split, turn["instruction"], turn["output"])
    load = partial(reader.load_bytes, {"id": texts.id, **row})
    return Found(texts, partial(load_pictures, texts, reader.where, _build_getter(load)))


def _build_texts(image: str, turn: str, split: str, instruction: str, output: str) -> Texts:
    category, subcategory = get_instruction_labels(instruction)
    provenance = Provenance(
        RIGHTS,
        group=f"magicbrush/{image}",
        ref=output,
        tar=output,
        generated={"model": "DALL-E 2", "prompt": instruction},
    )
    return Texts(f"{image}-{turn}", split, category, subcategory, instruction, provenance.to_text())


def _build_getter(load: Callable[[str], bytes]) -> Callable[[str], bytes | np.ndarray]:
    """A pair's columns from MagicBrush's: both pictures are the target, both masks the region."""
    region = cache(lambda: load_region(load))

    def get(column: str) -> bytes | np.ndarray:
        return load("target_img") if column.endswith("_image") else region()

    return get


def load_region(load: Callable[[str], bytes]) -> np.ndarray:
    """What an edit's mask marks, (H, W) bool, of the columns `mask_img`, `source_img` and `target_img`.

    Raises `DataError` for a picture in which no region can be told.
    """
    photo = open_photo(load("mask_img"), name="mask")
    if photo.alpha is not None and photo.alpha.min() < 255:
        return get_hole(photo) >= 0.5
    if _is_black_and_white(photo):
        return get_white(photo) >= 0.5
    for column in ("source_img", "target_img"):
        other = open_photo(load(column), name=column)
        if (region := _find_painted(photo, other)) is not None:
            return region
    raise DataError(f"{show_name(photo.name)}: an opaque picture that marks no region")


def _is_black_and_white(photo: Photo) -> bool:
    """Whether a picture is a mask already: no colours, and hardly anything between black and white."""
    between = (photo.rgb > NEAR) & (photo.rgb < 255 - NEAR)
    return int(np.ptp(photo.rgb, axis=2).max()) <= NEAR and float(between.mean()) < 0.01


def _find_painted(photo: Photo, other: Photo) -> np.ndarray | None:
    """Where `photo` is `other` painted over in plain black or white; None if that is not what it is."""
    if photo.size != other.size:
        return None
    differing = (photo.rgb != other.rgb).any(axis=2)
    for colour in (0, 255):
        painted = (photo.rgb == colour).all(axis=2)
        if differing.any() and painted[differing].all():
            _, parts = cv2.connectedComponents(painted.astype(np.uint8), connectivity=4)
            return np.asarray(painted & np.isin(parts, np.unique(parts[differing])))
    return None
