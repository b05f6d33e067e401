"""MagicBrush (Zhang et al. 2023) into pairs: the hub's parquet files, and the folders of its test set.

On the hub (`osunlp/MagicBrush`) a row has `img_id`, `turn_index` (from 1), `source_img`, `mask_img`, `instruction`,
`target_img`, in shards `train-*` and `dev-*`. The test set is a folder:

    {test,dev,train}/edit_sessions.json     {"IMGID": [{"input", "mask", "output", "instruction"}, ...], ...}
    {test,dev,train}/images/IMGID/IMGID-input.png, IMGID-mask1.png, IMGID-output1.png, IMGID-mask2.png, ...

A mask is a copy of a picture with the region rubbed out to transparency. Some copies lost their alpha: there the region
is what is plain black or white and differs from the source (or the target). Black and white masks are read as such.

No picture of the object alone exists: the reference is the target under the mask, which is what the edit put there. The
source picture is the turn's; one of another size, but the same shape, is brought to the target's. The session is the
group, so its turns stay in one split; ids are "IMGID-TURN". The category is that of what the instruction names,
"object" where a2's taxonomy knows none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
from a2cli.images.geometry import resize
from a2cli.images.photo import Photo
from a2cli.images.read import open_photo
from a2cli.images.write import build_photo, encode_png
from a2cli.masks.read import get_hole, get_white

SESSIONS = "edit_sessions.json"
COLUMNS = ("img_id", "turn_index", "source_img", "mask_img", "instruction", "target_img")
KEYS = {"source_img": "input", "mask_img": "mask", "target_img": "output"}
RIGHTS = Rights(source="MagicBrush", author="Zhang et al. 2023", licence="CC-BY-4.0")
SAME_ASPECT = 0.01  # relative difference up to which two shapes count as one
NEAR = 32  # levels that a lossily coded mask may be off black, white and grey


def list_sessions(folder: Path) -> list[Path]:
    """The lists of sessions in a folder and one level below."""
    return sorted((*folder.glob(SESSIONS), *folder.glob(f"*/{SESSIONS}")))


@dataclass(frozen=True)
class Turn:
    """One edit of a session as it is listed: `load` gives the file of `source_img`, `mask_img` or `target_img`.

    `number` counts from 1, `output` is the name of the edit's picture, `where` the file that lists the turn. `load`
    raises `DataError`.
    """

    image: str
    number: str
    split: str
    instruction: str
    output: str
    where: str
    load: Callable[[str], bytes]

    @property
    def id(self) -> str:
        """What the turn is called in a2: "IMGID-TURN"."""
        return f"{self.image}-{self.number}"


def read_magic_brush(path: str, split: str | None) -> Iterator[Listed]:
    """List the turns of all sessions as pairs, of folders where there are any, else of shards."""
    for item in list_turns(path, split):
        if isinstance(item, Failure):
            yield item
            continue
        texts = build_texts(item)
        get = _build_getter(item.load)
        yield Found(texts, partial(load_pictures, texts, item.where, get, ("src_image",)))


def list_turns(path: str, split: str | None) -> Iterator[Turn | Failure]:
    """The turns of all sessions in order. Raises `DataError` for a path that holds none."""
    place = Path(path).expanduser()
    lists = list_sessions(place) if place.is_dir() else []
    if not lists and not list_shards(path):
        raise DataError(
            f"{show_name(path)}: neither {SESSIONS} nor shards", hint="name the downloaded folder"
        )
    items = (item for file in lists for item in _read_sessions(place, file))
    for item in items if lists else _read_shards(path):
        if split is None or isinstance(item, Failure) or item.split == split:
            yield item


def _read_shards(path: str) -> Iterator[Turn | Failure]:
    for item in browse_shards(path, COLUMNS):
        if isinstance(item, Failure):
            yield item
            continue
        row, reader = item
        image, turn, instruction = (reader.get_text(row, n) for n in ("img_id", "turn_index", "instruction"))
        load = partial(reader.load_bytes, {**row, "id": f"{image}-{turn}"})
        split = get_shard_split(reader.where)
        yield Turn(image, turn, split, instruction, f"{image}-output{turn}", reader.where, load)


def _read_sessions(root: Path, file: Path) -> Iterator[Turn | Failure]:
    try:
        sessions = json.loads(file.read_text("utf-8-sig"))
        if not isinstance(sessions, dict):
            raise ValueError("not an object of sessions")
    except (OSError, ValueError, RecursionError) as error:
        cause = DataError(f"{show_name(str(file))}: cannot be read: {error}", hint="get the file again")
        yield build_failure(cause, id=file.parent.name)
        return
    split = get_sessions_split(file)
    reader = RowReader(str(file), root)
    for image, turns in sessions.items():
        for number, turn in enumerate(turns if isinstance(turns, list) else [None], start=1):
            yield _build_turn(reader, file.parent.relative_to(root), split, image, number, turn)


def get_sessions_split(file: Path) -> str:
    """The split of a list of sessions, by its folder's name; "test" where that is none."""
    name = file.parent.resolve().name
    return name if name in ("train", "dev", "validation", "test") else "test"


def _build_turn(
    reader: RowReader, place: Path, split: str, image: str, number: int, turn: Any
) -> Turn | Failure:
    wanted = (*KEYS.values(), "instruction")
    id = f"{image}-{number}"
    if not isinstance(turn, dict) or any(not isinstance(turn.get(key), str) for key in wanted):
        error = DataError(
            f"{show_name(reader.where)}: session {show_name(id)}: it needs {', '.join(wanted)}", hint=MEND
        )
        return build_failure(error, id=id)
    row = {column: str(place / "images" / image / turn[key]) for column, key in KEYS.items()}
    load = partial(reader.load_bytes, {"id": id, **row})
    return Turn(image, str(number), split, turn["instruction"], turn["output"], reader.where, load)


def build_texts(turn: Turn) -> Texts:
    """A turn's id, texts and provenance; the instruction is the prompt."""
    category, subcategory = get_instruction_labels(turn.instruction)
    provenance = Provenance(
        RIGHTS,
        group=get_session(turn.image),
        ref=turn.output,
        tar=turn.output,
        generated={"model": "DALL-E 2", "prompt": turn.instruction},
    )
    return Texts(turn.id, turn.split, category, subcategory, turn.instruction, provenance.to_text())


def get_session(image: str) -> str:
    """The group that the turns of an IMGID share."""
    return f"magicbrush/{image}"


def _build_getter(load: Callable[[str], bytes]) -> Callable[[str], bytes | np.ndarray]:
    """A pair's columns from MagicBrush's: both views' pictures are the target, both masks the region."""
    region = cache(lambda: load_region(load))

    def get(column: str) -> bytes | np.ndarray:
        if column == "src_image":
            return _load_source(load)
        return load("target_img") if column.endswith("_image") else region()

    return get


def _load_source(load: Callable[[str], bytes]) -> bytes:
    data = load("source_img")
    size, photo = open_photo(load("target_img"), name="target").size, open_photo(data, name="source")
    (height, width), (old_height, old_width) = size, photo.size
    if photo.size == size or abs(old_width * height / (old_height * width) - 1) > SAME_ASPECT:
        return data
    rgb = resize(photo.rgb, size)
    return encode_png(build_photo(rgb), rgb)


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
