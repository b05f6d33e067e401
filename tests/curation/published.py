"""Small data sets in the published layouts, made as their publishers describe them; pictures are noise and boxes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE = (48, 36)  # W, H
PALETTE = [value for index in range(20) for value in (index * 12, 255 - index * 12, (index * 53) % 256)]


def make_rgb(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(H, W, 3) noise over a ramp, no black and no white in it."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(60, 180, size[0])[None, :, None] + rng.integers(-40, 40, (size[1], size[0], 3))
    return np.clip(ramp, 10, 245).astype(np.uint8)


def make_mask(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(H, W) bool, a box that depends on the seed."""
    mask = np.zeros(size[::-1], bool)
    mask[4 + seed % 5 : 20 + seed % 7, 6 + seed % 3 : 30 + seed % 11] = True
    return mask


def encode(array: np.ndarray, format_name: str = "PNG") -> bytes:
    """An array as a picture file; bool becomes 0 and 255."""
    file = io.BytesIO()
    grey = array.astype(np.uint8) * 255 if array.dtype == bool else array
    Image.fromarray(grey).save(file, format_name, **({"quality": 95} if format_name == "JPEG" else {}))
    return file.getvalue()


def put(file: Path, data: bytes | str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data.encode() if isinstance(data, str) else data)
    return file


def get_pair_files(seed: int) -> dict[str, bytes]:
    return {
        "ref_image": encode(make_rgb(seed)),
        "ref_mask": encode(make_mask(seed)),
        "tar_image": encode(make_rgb(seed + 1000)),
        "tar_mask": encode(make_mask(seed + 3)),
    }


ANY_INSERTION = {  # split, folder, label of each pair
    ("train", "accessory"): ("Trousers", "Hat"),
    ("train", "object"): ("pillow", "Momordica charantia", "Banana"),
    ("train", "person"): ("person",),
    ("test", "garment"): ("Dress",),
}


def write_any_insertion(folder: Path) -> Path:
    """The folders that `parquet_to_image.py` of InsertAnything makes: masks are RGB there."""
    for (split, word), labels in ANY_INSERTION.items():
        place = folder / split / word
        for number, _ in enumerate(labels, start=9):
            files = get_pair_files(hash_of(split, word, number))
            for name, data in files.items():
                put(place / name / f"{number}.png", as_rgb(data))
        put(place / "labels.json", json.dumps({f"{n}.png": label for n, label in enumerate(labels, start=9)}))
    return folder


def write_any_insertion_shards(folder: Path, label_column: str = "main_label") -> Path:
    """The hub's shards; without a `label_column` as the bare columns of a pair."""
    for split in ("train", "test"):
        rows = [
            {
                "id": f"{split}/{word}/{number}",
                "split": split,
                "category": word,
                **({label_column: label} if label_column else {}),
                **get_pair_files(hash_of(split, word, number)),
            }
            for (where, word), labels in ANY_INSERTION.items()
            if where == split
            for number, label in enumerate(labels, start=9)
        ]
        write_shard(folder / f"{split}-00000-of-00001.parquet", rows)
    return folder


def as_rgb(data: bytes) -> bytes:
    """A PNG with three channels, as OpenCV writes masks that it read in colour."""
    with Image.open(io.BytesIO(data)) as image:
        return encode(np.asarray(image.convert("RGB")))


def hash_of(split: str, word: str, number: int) -> int:
    return sum(map(ord, split + word)) + number


def write_shard(file: Path, rows: list[dict[str, Any]]) -> None:
    """Rows as parquet by `datasets`, bytes as pictures."""
    from datasets import Dataset, Features, Image, Value

    kinds = {bytes: Image(), str: Value("string"), int: Value("int32")}
    features = Features({name: kinds[type(value)] for name, value in rows[0].items()})
    packed = [
        {n: {"bytes": v, "path": None} if isinstance(v, bytes) else v for n, v in row.items()} for row in rows
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    Dataset.from_list(packed, features=features).to_parquet(str(file))


def write_viton_hd(folder: Path, *, agnostic: bool = True) -> Path:
    """Two training and three test pairs, JPEG as published; the test file pairs persons with others' garments."""
    for split, names in (
        ("train", ["00000_00", "00001_00"]),
        ("test", ["00006_00", "00008_00", "00013_00"]),
    ):
        for number, name in enumerate(names):
            place = folder / split
            put(place / "image" / f"{name}.jpg", encode(make_rgb(number + 10), "JPEG"))
            put(place / "cloth" / f"{name}.jpg", encode(make_rgb(number + 20), "JPEG"))
            put(place / "cloth-mask" / f"{name}.jpg", encode(make_mask(number), "JPEG"))
            put(place / "image-parse-v3" / f"{name}.png", make_parse(number))
            if agnostic:
                put(place / "agnostic-mask" / f"{name}_mask.png", encode(make_mask(number + 2)))
        garments = names if split == "train" else [*names[1:], names[0]]
        lines = [f"{a}.jpg {b}.jpg" for a, b in zip(names, garments, strict=True)]
        put(folder / f"{split}_pairs.txt", "\ufeff" + "\r\n".join(lines) + "\r\n")
    return folder


def make_labels(seed: int) -> np.ndarray:
    """LIP labels (H, W) uint8: hair, a face, an upper garment and a coat over trousers."""
    labels = np.zeros(SIZE[::-1], np.uint8)
    labels[2:8, 18:30], labels[8:12, 18:30] = 2, 13
    labels[12:24, 14 + seed : 34], labels[12:24, 10 : 14 + seed] = 5, 7
    labels[24:34, 16:32] = 9
    return labels


def make_parse(seed: int) -> bytes:
    """A palette PNG in which two labels have one colour, so that colours cannot tell them apart."""
    image = Image.fromarray(make_labels(seed)).convert("L")
    image = Image.frombytes("P", image.size, image.tobytes())
    palette = list(PALETTE)
    palette[9 * 3 : 9 * 3 + 3] = palette[5 * 3 : 5 * 3 + 3]
    image.putpalette(palette)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


TURNS = {  # instructions of each session
    "139306": ("let the horse wear a hat", "make the sky pink"),
    "242679": ("Put a cat on the fence",),
}


def write_magic_brush(folder: Path, split: str = "test") -> Path:
    """The test set's folders: `edit_sessions.json` and the pictures of each session."""
    sessions: dict[str, Any] = {}
    for image, instructions in TURNS.items():
        before = f"{image}-input.png"
        place = folder / split / "images" / image
        put(place / before, encode(make_rgb(int(image))))
        for turn, instruction in enumerate(instructions, start=1):
            names = {
                "input": before,
                "mask": f"{image}-mask{turn}.png",
                "output": f"{image}-output{turn}.png",
            }
            put(place / names["output"], encode(make_rgb(int(image) + turn)))
            put(place / names["mask"], make_hole(int(image) + turn))
            sessions.setdefault(image, []).append({**names, "instruction": instruction})
            before = names["output"]
    put(folder / split / "edit_sessions.json", json.dumps(sessions))
    return folder


def make_hole(seed: int, mask: np.ndarray | None = None) -> bytes:
    """A copy of a picture whose region is transparent, black beneath."""
    hole = make_mask(seed) if mask is None else mask
    alpha = np.where(hole, 0, 255).astype(np.uint8)
    return encode(np.dstack([np.where(hole[..., None], 0, make_rgb(seed)), alpha]))


def write_magic_brush_shards(folder: Path) -> Path:
    """The hub's shards of both splits, a session in each."""
    for split, image in (("train", "139306"), ("dev", "242679")):
        rows = [
            {
                "img_id": image,
                "turn_index": turn,
                "source_img": encode(make_rgb(int(image) + turn - 1)),
                "mask_img": make_hole(int(image) + turn),
                "instruction": instruction,
                "target_img": encode(make_rgb(int(image) + turn)),
            }
            for turn, instruction in enumerate(TURNS[image], start=1)
        ]
        write_shard(folder / "data" / f"{split}-00000-of-00001.parquet", rows)
    return folder
