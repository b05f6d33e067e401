"""VITON-HD (Choi et al. 2021) into pairs: the garment's picture is the reference, the photo of it worn the target.

    {train,test}_pairs.txt                  "PERSON.jpg GARMENT.jpg" a line
    {train,test}/image/NAME.jpg             a person wearing the garment of the same name
    {train,test}/cloth/NAME.jpg             the garment on a plain ground
    {train,test}/cloth-mask/NAME.jpg        the garment's mask, white on black
    {train,test}/agnostic-mask/NAME_mask.png    where the garment may be painted anew (in later releases)
    {train,test}/image-parse-v3/NAME.png    labels of the person's parts (LIP), one index a pixel; `image-parse` before

Pairs are paired: person and garment of one name. Unpaired ones are taken as the file lists them; their target does not
show the garment, so they serve to look at results, not to train or to compare pixels. Without the file every picture
in `image` is a pair. The target's mask is the agnostic mask where there is one, else the parse's upper garments.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from a2cli.curation.layouts.records import Found, Listed, Texts, build_failure, load_pictures
from a2cli.data.provenance import Provenance, Rights
from a2cli.data.rows import RowReader
from a2cli.errors import DataError
from a2cli.files import show_name
from a2cli.images.read import open_photo

SPLITS = ("train", "test")
RIGHTS = Rights(source="VITON-HD", author="Choi et al. 2021", licence="CC-BY-NC-4.0")
LABELS = 20  # of LIP, 0 for the ground
UPPER = {5: "upper clothes", 6: "dress", 7: "coat"}
SUFFIXES = (".jpg", ".png", ".jpeg")
# Where a column's file may lie and how its name ends, the first that is there counts.
PLACES = {
    "ref_image": (("cloth", ""),),
    "ref_mask": (("cloth-mask", ""), ("cloth_mask", "")),
    "tar_image": (("image", ""),),
    "agnostic": (("agnostic-mask", "_mask"), ("agnostic-mask", "")),
    "parse": (("image-parse-v3", ""), ("image-parse", "")),
}


def list_viton_hd(folder: Path) -> list[str]:
    """The splits that lie in a folder."""
    return [name for name in SPLITS if all((folder / name / part).is_dir() for part in ("image", "cloth"))]


def read_viton_hd(path: str, split: str | None, *, unpaired: bool = False) -> Iterator[Listed]:
    """List the pairs of the splits, in the order of their files. Raises `DataError` where none of them lies."""
    root = Path(path).expanduser()
    splits = [name for name in list_viton_hd(root) if split in (None, name)]
    if not splits:
        wanted = split or " or ".join(SPLITS)
        raise DataError(
            f"{show_name(path)}: no {wanted} with image/ and cloth/", hint="name the unpacked folder"
        )
    for name in splits:
        try:
            pairs = _list_pairs(root, name, unpaired)
        except DataError as error:
            yield build_failure(error, id=f"{name}_pairs.txt")
            continue
        for number, (person, garment) in pairs.items():
            if not person:
                cause = DataError(
                    f"{show_name(str(root / name))}_pairs.txt: line {number}: not two names",
                    hint="PERSON.jpg GARMENT.jpg",
                )
                yield build_failure(cause, id=f"{name}_pairs.txt:{number}")
            else:
                yield _build_found(root, name, person, garment)


def _list_pairs(root: Path, split: str, unpaired: bool) -> dict[int, tuple[str, str]]:
    """Names without suffix by line, a person's and a garment's; two empty ones for a line that is no pair."""
    file = root / f"{split}_pairs.txt"
    if not file.exists():
        if unpaired:
            raise DataError(f"{show_name(str(file))}: no such file", hint="unpaired pairs need it")
        there = sorted(picture.stem for picture in (root / split / "image").iterdir())
        return {number: (stem, stem) for number, stem in enumerate(there, start=1)}
    try:
        lines = file.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{show_name(str(file))}: cannot be read: {error}", hint="write UTF-8 text"
        ) from error
    pairs = {}
    for number, line in enumerate(lines, start=1):
        names = [_strip_suffix(name) for name in line.split()]
        if names:
            person, garment = names if len(names) == 2 else ("", "")
            pairs[number] = (person, garment if unpaired else person)
    return pairs


def _strip_suffix(name: str) -> str:
    return next((name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix)), name)


def _build_found(root: Path, split: str, person: str, garment: str) -> Found:
    files = {"ref": garment, "tar": person, "agnostic": person, "parse": person}
    row = {column: _find_file(root, split, column, files[column.split("_")[0]]) for column in PLACES}
    id = f"{split}/{person}" if person == garment else f"{split}/{person}+{garment}"
    mask = "agnostic" if row["agnostic"] or not row["parse"] else "parse"
    made = "agnostic-mask" if mask == "agnostic" else "image-parse labels " + ", ".join(map(str, UPPER))
    provenance = Provenance(
        RIGHTS,
        group=f"viton-hd/{person}",
        ref=f"{split}/cloth/{garment}",
        tar=f"{split}/image/{person}",
        tools={"mask": made, "pairing": "paired" if person == garment else "unpaired"},
    )
    texts = Texts(id, split, "garments", "", "a photo of a person wearing the garment", provenance.to_text())
    expected = {
        column: row[column] or f"{split}/{PLACES[column][0][0]}/{files[column.split('_')[0]]}.jpg"
        for column in ("ref_image", "ref_mask", "tar_image")
    }
    expected["tar_mask"] = row[mask] or f"{split}/agnostic-mask/{person}_mask.png"
    get = partial(_get_picture, RowReader(str(root), root), {"id": id, **expected}, mask == "parse")
    return Found(texts, partial(load_pictures, texts, str(root), get))


def _find_file(root: Path, split: str, column: str, stem: str) -> str:
    """The path from the root of a column's file, "" where there is none."""
    for folder, ending in PLACES[column]:
        for suffix in SUFFIXES:
            name = f"{split}/{folder}/{stem}{ending}{suffix}"
            try:
                if (root / name).is_file():
                    return name
            except (OSError, ValueError):  # a name that no file can have
                return ""
    return ""


def _get_picture(reader: RowReader, row: dict[str, str], parsed: bool, column: str) -> bytes | np.ndarray:
    data = reader.load_bytes(row, column)
    if column != "tar_mask" or not parsed:
        return data
    return np.isin(load_indices(data), list(UPPER))


def load_indices(data: bytes) -> np.ndarray:
    """The labels of a parse, (H, W) uint8: a palette picture's indices, never its colours, or grey levels.

    Raises `DataError` for a picture that is neither, or whose labels are none of LIP's.
    """
    photo = open_photo(data, name="parse")  # bounded and whole
    if photo.format != "PNG" or photo.source_mode not in ("P", "L"):
        raise DataError(f"the parse is {photo.format} {photo.source_mode}, not one index a pixel")
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        indices = np.asarray(image)
    if indices.max() >= LABELS:
        raise DataError(f"the parse has the label {indices.max()}, LIP has {LABELS}")
    return indices
