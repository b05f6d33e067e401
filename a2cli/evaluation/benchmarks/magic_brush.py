"""MagicBrush (Zhang et al. 2023): turns of sessions, measured against the true edits over the whole picture.

A method sees the real source, the turn's region is its mask; there is no picture of the object alone, so no reference.
The prompt is what the edit shows, from the test set's `local_descriptions.json` (as the published CLIP-T has it), else
`global_descriptions.json`, else the instruction, as on the hub, which has no descriptions.

Edits are named as the published evaluation writes them, IMG/IMG_1.png, then IMG/IMG_inde_N.png (from the true picture
of the turn before) or, for the last turn and for sessions, IMG/IMG_iter_N.png (from the edit before), or a2's IMG-N.
That evaluation brings edits to the true edit's size, so those of another size are resized. A source or mask of another
size, but the same shape, is brought to the true edit's too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from a2cli.curation.layouts.magic_brush import (
    Turn,
    build_texts,
    get_sessions_split,
    list_sessions,
    list_turns,
    load_region,
)
from a2cli.curation.layouts.records import Failure, get_stem
from a2cli.curation.layouts.tables import get_shard_split
from a2cli.data.layouts import list_shards
from a2cli.data.provenance import parse_provenance
from a2cli.errors import DataError
from a2cli.evaluation.benchmarks.reading import build_case_failure, reading
from a2cli.evaluation.config import DataConfig
from a2cli.evaluation.records.cases import Case, CaseEntry, CaseFailure
from a2cli.files import show_name
from a2cli.images.geometry import resize
from a2cli.images.read import open_photo

CAPTIONS = ("local_descriptions.json", "global_descriptions.json")
SAME_ASPECT = 0.01  # relative difference up to which two shapes count as one
Captions = Mapping[str, str]


def list_magic_brush(config: DataConfig, split: str | None) -> Iterator[CaseEntry | CaseFailure]:
    """The turns of all sessions in order. Raises `DataError` for a path that holds none."""
    captions: dict[Path, Captions] = {}
    for item in list_turns(config.path, split):
        if isinstance(item, Failure):
            yield build_case_failure(item)
            continue
        folder = Path(item.where).parent
        if folder not in captions:
            captions[folder] = load_captions(folder)[1]
        yield _build_entry(item, captions[folder], iterated=config.session or config.turns == "final")


def list_magic_brush_splits(path: str) -> list[str]:
    """The splits of a path, by the names of folders and shards."""
    place = Path(path).expanduser()
    lists = list_sessions(place) if place.is_dir() else []
    found = [get_sessions_split(file) for file in lists] or [
        get_shard_split(str(file)) for file in list_shards(path)
    ]
    return list(dict.fromkeys(found))


def load_captions(folder: Path) -> tuple[str, Captions]:
    """What edits show by the name of their picture, and the file that tells it; ("", {}) where none does.

    Raises `DataError` for one that cannot be read.
    """
    for name in CAPTIONS:
        file = folder / name
        if not file.is_file():
            continue
        try:
            value = json.loads(file.read_text("utf-8-sig"))
            parts = [part if isinstance(part, dict) else {key: part} for key, part in value.items()]
        except (OSError, ValueError, RecursionError, AttributeError) as error:
            raise DataError(
                f"{show_name(str(file))}: cannot be read: {error}", hint="get the file again"
            ) from error
        pairs = (pair for part in parts for pair in part.items())
        return name, {Path(key).stem: text for key, text in pairs if isinstance(text, str)}
    return "", {}


def _build_entry(turn: Turn, captions: Captions, *, iterated: bool) -> CaseEntry:
    texts = build_texts(turn)
    number = int(turn.number) if turn.number.isdecimal() else 1
    prompt = captions.get(Path(turn.output).stem, "") or turn.instruction
    ways = ("iter",) if iterated else ("inde",)
    names = [f"{turn.image}_{number}", *(f"{turn.image}_{way}_{number}" for way in ways)]
    if not iterated:
        names.append(f"{turn.image}-output{number}")
    return CaseEntry(
        id=texts.id,
        stem=get_stem(texts.id),
        category=texts.category,
        subcategory=texts.subcategory,
        prompt=prompt,
        load=partial(_load_case, turn, texts.category, prompt),
        group=parse_provenance(texts.provenance).group,
        turn=number,
        aliases=tuple(f"{turn.image}/{name}" for name in names),
    )


def _load_case(turn: Turn, category: str, prompt: str) -> Case:
    with reading(turn.where, turn.id):
        source, target = (
            open_photo(turn.load(column), name=column).rgb for column in ("source_img", "target_img")
        )
        size = target.shape[:2]
        region = _fit(load_region(turn.load).astype(np.float32), size, "mask") >= 0.5
        if not region.any():
            raise DataError("the mask marks nothing")
        source = _fit(source, size, "source")
    return Case(
        id=turn.id,
        category=category,
        source=source,
        mask=region,
        hole=False,
        target=target,
        prompt=prompt,
        instruction=turn.instruction,
        resize_edits=True,
    )


def _fit(picture: np.ndarray, size: tuple[int, int], name: str) -> np.ndarray:
    """A picture in the true edit's size. Raises `DataError` where it has another shape."""
    (height, width), (old_height, old_width) = size, picture.shape[:2]
    if abs(old_width * height / (old_height * width) - 1) > SAME_ASPECT:
        raise DataError(f"the {name} is {old_width} x {old_height}, the true edit {width} x {height}")
    return resize(picture, size)
