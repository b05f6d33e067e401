"""AnyInsertion (Song et al. 2025), mask-prompt pairs: the hub's parquet files, and the folders made of them.

On the hub (`WensongSong/AnyInsertion`) a row has `id` ("train/object/3458"), `split`, `category` (accessory, object,
person; garment in the test set), `main_label` or `label` ("Trousers"), and the four pictures of a pair.
InsertAnything's trainer reads folders of PNG files under one name, and their labels:

    {train,test}/{accessory,object,person,garment}/{ref_image,ref_mask,tar_image,tar_mask}/NAME.png
    {train,test}/{accessory,object,person,garment}/labels.json     {"NAME.png": label}

Masks are white on black. A file `prompts.json` of the same form, or a column `prompt`, gives prompts. What a2 writes
has a `records.jsonl` beside `labels.json`, with the texts that the layout has no place for (provenance among them); it
is read back. Shards without target masks, where a prompt alone says what goes in, make no pairs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from a2cli.curation.layouts.labels import get_any_insertion_labels
from a2cli.curation.layouts.records import Found, Listed, Texts, build_failure, load_pictures
from a2cli.curation.layouts.tables import browse_shards, get_shard_split, list_columns
from a2cli.data.browse import browse
from a2cli.data.layouts import get_named_split, list_shards
from a2cli.data.provenance import Provenance, Rights
from a2cli.data.rows import PICTURES, REQUIRED, RowReader
from a2cli.data.shards import TEXTS
from a2cli.errors import DataError
from a2cli.files import show_name

RECORDS = "records.jsonl"
WORDS = ("accessory", "garment", "object", "person")
LABEL_COLUMNS = ("main_label", "label")
PROMPT_COLUMNS = ("prompt", "instruction", "caption")
SOURCE = "AnyInsertion"
MEND_LIST = "mend or remove the file"


def list_any_insertion(folder: Path) -> list[Path]:
    """The folders that hold `ref_mask` and its three companions, at most three levels down."""
    found = {masks.parent for depth in range(4) for masks in folder.glob("*/" * depth + "ref_mask")}
    return sorted(place for place in found if all((place / name).is_dir() for name in PICTURES))


def is_any_insertion(file: Path) -> bool:
    """Whether a shard is AnyInsertion's: a pair's columns and a label, or none of a2's optional ones and its words."""
    there = set(list_columns(file))
    if not set(REQUIRED) <= there or there & {"provenance", "subcategory"}:
        return False
    if there & set(LABEL_COLUMNS):
        return True
    first = next(browse(str(file), pictures=False), None)
    return "prompt" not in there and first is not None and first.get_text("category") in WORDS


def read_any_insertion(path: str, split: str | None) -> Iterator[Listed]:
    """List the pairs, of the folders where there are any, else of the shards."""
    folders = list_any_insertion(Path(path).expanduser()) if Path(path).expanduser().is_dir() else []
    if not folders and not list_shards(path):
        raise DataError(
            f"{show_name(path)}: neither shards nor folders with {', '.join(PICTURES)}",
            hint="name the folder that holds train/ and test/",
        )
    items = (item for folder in folders for item in _read_folder(Path(path).expanduser(), folder))
    for item in items if folders else _read_shards(path):
        if split is None or not isinstance(item, Found) or item.texts.split == split:
            yield item


def _read_shards(path: str) -> Iterator[Listed]:
    for item in browse_shards(path, REQUIRED):
        if not isinstance(item, tuple):
            yield item
            continue
        row, reader = item
        id, word = reader.get_text(row, "id"), reader.get_text(row, "category")
        label = next((text for name in LABEL_COLUMNS if (text := reader.get_text(row, name))), "")
        prompt = next((text for name in PROMPT_COLUMNS if (text := reader.get_text(row, name))), "")
        split = reader.get_text(row, "split") or get_shard_split(reader.where)
        texts = _build_texts(id, split, word, label, prompt)
        yield Found(texts, partial(load_pictures, texts, reader.where, partial(reader.load_bytes, row)))


def _read_folder(root: Path, folder: Path) -> Iterator[Listed]:
    """The pairs of one folder by name; each name that any of the four sub-folders holds is one."""
    word = folder.resolve().name
    split = get_named_split(Path(folder.resolve().parent.name)) or "train"
    lists: dict[str, Mapping[str, Any]] = {}
    for name, load in (("labels.json", _load_names), ("prompts.json", _load_names), (RECORDS, _load_records)):
        try:
            lists[name] = load(folder / name) if (folder / name).exists() else {}
        except DataError as error:
            lists[name] = {}
            yield build_failure(error, id=f"{split}/{word}/{name}", reason="labels cannot be read")
    reader = RowReader(str(folder), root)
    for stem, files in _list_files(root, folder).items():
        written = lists[RECORDS].get(stem)
        if written is None:
            label, prompt = (lists[name].get(stem, "") for name in ("labels.json", "prompts.json"))
            texts = _build_texts(f"{split}/{word}/{stem}", split, word, label, prompt)
        else:
            texts = Texts(**{"split": split, **written})
        row = {"id": texts.id, **files}
        yield Found(texts, partial(load_pictures, texts, str(folder), partial(reader.load_bytes, row)))


def _build_texts(id: str, split: str, word: str, label: str, prompt: str) -> Texts:
    category, subcategory = get_any_insertion_labels(word, label)
    provenance = Provenance(
        Rights(source=SOURCE),
        ref=id,
        tar=id,
        tools={"label": " ".join(part for part in (SOURCE, word, label) if part)},
    )
    said = prompt or f"a photo of {' '.join((label or category).lower().split())}"
    return Texts(id, split, category, subcategory, said, provenance.to_text())


def _list_files(root: Path, folder: Path) -> dict[str, dict[str, str]]:
    """Per name the four files, by path from the root; one that is not there has the path it should have."""
    there: dict[str, dict[str, str]] = {name: {} for name in PICTURES}
    for name in PICTURES:
        for file in sorted((folder / name).iterdir()):
            if not file.name.startswith(".") and not file.is_dir():
                there[name][file.stem] = str(file.relative_to(root))
    stems = sorted({stem for files in there.values() for stem in files}, key=lambda stem: (len(stem), stem))
    place = folder.relative_to(root)
    return {
        stem: {name: there[name].get(stem, str(place / name / f"{stem}.png")) for name in PICTURES}
        for stem in stems
    }


def _load_names(file: Path) -> dict[str, str]:
    """A JSON object of texts by file name, as texts by stem."""
    try:
        value = json.loads(file.read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{show_name(str(file))}: cannot be read: {error}", hint=MEND_LIST) from error
    if not isinstance(value, dict):
        raise DataError(f"{show_name(str(file))}: not an object of texts by file name", hint=MEND_LIST)
    return {Path(name).stem: text for name, text in value.items() if isinstance(text, str)}


def _load_records(file: Path) -> dict[str, dict[str, str]]:
    """Texts by stem, as `AnyInsertionWriter` writes them."""
    found: dict[str, dict[str, str]] = {}
    try:
        for line in file.read_text("utf-8-sig").splitlines():
            value = json.loads(line)
            texts = {name: value[name] for name in TEXTS if isinstance(value.get(name), str)}
            found[Path(value["name"]).stem] = {"id": Path(value["name"]).stem, **texts}
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{show_name(str(file))}: cannot be read: {error}", hint=MEND_LIST) from error
    return found
