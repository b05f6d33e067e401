"""Pairs as AnyInsertion's folders, for InsertAnything's trainer; the layout stands in `any_insertion`."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from a2cli.curation.layouts.any_insertion import RECORDS
from a2cli.curation.layouts.labels import get_any_insertion_word
from a2cli.curation.layouts.records import Picture, Record, Written, get_digest_stem, get_stem
from a2cli.data.instructed import INSTRUCTION_TEXTS
from a2cli.files import make_folder, write_bytes
from a2cli.images.read import open_photo
from a2cli.images.write import build_photo, encode_png

ORDER = ("ref_image", "tar_image", "tar_mask", "ref_mask")  # the trainer lists `ref_mask`: it must be last


class AnyInsertionWriter:
    """Each pair as four PNG files of one name; labels and the other texts of a folder last.

    PNG files are written as they are, others become PNG: 8-bit sRGB, upright, without alpha, as the trainer sees them.
    For a photo from before an edit, its task and keyword there is no place: they are left out.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows: dict[tuple[str, str], list[dict[str, str]]] = {}
        self._names: set[tuple[str, str, str]] = set()

    def add(self, record: Record) -> list[Written]:
        """Write a record's pictures."""
        split, word = record.texts.split, get_any_insertion_word(record.texts.category, record.texts.split)
        rows = self._rows.setdefault((split, word), [])
        if not rows:
            for name in ORDER:
                make_folder(self._folder / split / word / name)
        stem = self._choose_stem(record.texts.id, split, word)
        for name in ORDER:
            data = _get_png(record.pictures[name])
            write_bytes(data, self._folder / split / word / name / f"{stem}.png")
        texts = {name: text for name, text in record.get_texts().items() if name not in INSTRUCTION_TEXTS}
        rows.append({"name": f"{stem}.png", **texts})
        return []

    def close(self) -> list[Written]:
        """Write the lists of records."""
        return [self._write_lists(split, word) for split, word in sorted(self._rows)]

    def _choose_stem(self, id: str, split: str, word: str) -> str:
        """AnyInsertion's own number where the id is made of it, else a name made of the whole id, or of its digest."""
        names = (get_stem(id.removeprefix(f"{split}/{word}/")), get_stem(id), get_digest_stem(id))
        stem = next(name for name in names if (split, word, name) not in self._names)
        self._names.add((split, word, stem))
        return stem

    def _write_lists(self, split: str, word: str) -> Written:
        folder, rows = self._folder / split / word, self._rows[split, word]
        labels = {row["name"]: row["subcategory"] or row["category"] for row in rows}
        write_bytes("".join(json.dumps(row) + "\n" for row in rows).encode(), folder / RECORDS)
        write_bytes(json.dumps(labels, indent=2).encode(), folder / "labels.json")
        categories = Counter(row["category"] for row in rows)
        return Written(folder / "labels.json", split, len(rows), categories)


def _get_png(picture: Picture) -> bytes:
    if picture.suffix == ".png":
        return picture.data
    rgb = open_photo(picture.data).rgb
    return encode_png(build_photo(rgb), rgb)
