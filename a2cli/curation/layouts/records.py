"""A record on its way from one layout to another: texts, and its pictures as the files they lie in, undecoded."""

from __future__ import annotations

import hashlib
import string
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from a2cli.data.instructed import INSTRUCTION_TEXTS, SOURCE_PICTURES, find_misfit
from a2cli.data.records import BadRecord
from a2cli.data.rows import MEND, PICTURES
from a2cli.data.shards import Row, encode_mask
from a2cli.errors import A2Error, DataError
from a2cli.files import show_name
from a2cli.images.encode import FORMAT_SUFFIXES
from a2cli.images.photo import Photo
from a2cli.images.read import open_photo
from a2cli.masks.read import read_mask

SUFFIXES = {format_name: suffix for suffix, format_name in reversed(FORMAT_SUFFIXES.items())}
PLAIN = frozenset(string.ascii_letters + string.digits + "_-")
STEM_LENGTH = 100


@dataclass(frozen=True)
class Texts:
    """What a record says in words; `split` is "train" where its source names none.

    `task` and `keyword` are those of an edit that the prompt asks for, of a record with a photo from before it.
    """

    id: str
    split: str
    category: str = ""
    subcategory: str = ""
    prompt: str = ""
    provenance: str = ""
    task: str = ""
    keyword: str = ""


@dataclass(frozen=True)
class Picture:
    """A picture file's bytes, and the suffix that its format goes by."""

    data: bytes
    suffix: str


@dataclass(frozen=True)
class Record:
    """A checked record: `pictures` holds one file for each of `PICTURES`, masks as grey PNG of 0 and 255.

    Likewise of `SOURCE_PICTURES` those that it has.
    """

    texts: Texts
    pictures: Mapping[str, Picture]

    def to_row(self) -> Row:
        """The record as `write_shard` takes it."""
        return {
            **self.get_texts(),
            **{name: {"bytes": picture.data, "path": None} for name, picture in self.pictures.items()},
        }

    def get_texts(self) -> dict[str, str]:
        """The texts by their columns, `task` and `keyword` only where there is a photo from before the edit."""
        texts: dict[str, str] = asdict(self.texts)
        edits = "src_image" in self.pictures
        return {name: text for name, text in texts.items() if edits or name not in INSTRUCTION_TEXTS}


@dataclass(frozen=True)
class Found:
    """A record that a layout lists, not opened yet; `load` opens and checks its pictures, or raises `DataError`."""

    texts: Texts
    load: Callable[[], Mapping[str, Picture]]


@dataclass(frozen=True)
class Failure:
    """A record, or a file of records, that was left out; `reason` is a short phrase, `detail` names the file."""

    id: str
    stage: str
    reason: str
    detail: str

    def to_dict(self) -> dict[str, Any]:
        """The row of `failures.jsonl`."""
        return asdict(self)


def build_failure(
    error: A2Error, id: str = "", stage: str = "read", reason: str = "cannot be read"
) -> Failure:
    """The failure of one record, with the remedy in its detail."""
    return Failure(id, stage, reason, str(error))


Listed = Found | Failure


@dataclass(frozen=True)
class Written:
    """A file that is complete: a shard, or the list of a folder's records."""

    path: Path
    split: str
    records: int
    categories: Mapping[str, int]

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-ready values."""
        fields = {"path": str(self.path), "split": self.split, "records": self.records}
        return {**fields, "categories": dict(self.categories)}


class Writer(Protocol):
    """Takes records of any splits in any order and tells of every file that is complete."""

    def add(self, record: Record) -> list[Written]:
        """Take one record. Raises `DataError` when it cannot be written."""
        ...

    def close(self) -> list[Written]:
        """Write what is left."""
        ...


def load_pictures(
    texts: Texts, where: str, get: Callable[[str], bytes | np.ndarray], there: Collection[str] = ()
) -> Mapping[str, Picture]:
    """Open and check the pictures of one record; `get` gives a column's file, or a mask as (H, W) bool.

    `there` are those of `SOURCE_PICTURES` that the record has. A sound picture's bytes are kept as they are, and so are
    those of a mask that is a grey PNG of 0 and 255; another mask is coded anew. Raises `DataError` naming the record,
    the column and the cause.
    """
    found: dict[str, Picture] = {}
    size = (0, 0)  # of the last picture: that of the source follows the target's
    column = ""
    try:
        if misfit := find_misfit(texts.prompt, texts.task, texts.keyword, there):
            column = misfit[0]
            raise DataError(misfit[1])
        for column in (*PICTURES, *(name for name in SOURCE_PICTURES if name in there)):
            data = get(column)
            if column.endswith("_mask"):
                found[column] = Picture(_check_mask(data, size, hole=column == "tar_mask"), ".png")
                continue
            assert isinstance(data, bytes)
            photo = open_photo(data, name="picture")
            if column == "src_image" and photo.size != size:
                shown = " x ".join(map(str, photo.size[::-1]))
                raise DataError(f"it is {shown}, tar_image {size[1]} x {size[0]}")
            size = photo.size
            found[column] = Picture(data, SUFFIXES[photo.format])
    except BadRecord:
        raise
    except A2Error as error:
        name = show_name(texts.id)
        raise DataError(f"{show_name(where)}: record {name}: {column}: {error.message}", hint=MEND) from error
    return found


def _check_mask(mask: bytes | np.ndarray, size: tuple[int, int], *, hole: bool) -> bytes:
    if isinstance(mask, np.ndarray):
        if mask.shape != size:
            shown = " x ".join(map(str, mask.shape[::-1]))
            raise DataError(f"the mask is {shown}, the picture is {size[1]} x {size[0]}")
        marked = mask
    elif is_plain_mask(photo := open_photo(mask, name="mask")) and photo.size == size:
        if photo.native.any():
            return mask
        marked = photo.native
    else:
        marked = read_mask(mask, size, hole=hole) >= 0.5
    if not marked.any():
        raise DataError("it marks nothing")
    return encode_mask(marked)


def is_plain_mask(photo: Photo) -> bool:
    """Whether a picture is a grey PNG of 0 and 255 alone: what a2 writes as a mask."""
    return photo.format == "PNG" and photo.source_mode == "L" and bool(np.isin(photo.native, (0, 255)).all())


def get_stem(id: str) -> str:
    """A name for files: letters, digits, `_`, `-` as they are, other bytes as %XX; no two ids share one.

    At most `STEM_LENGTH` characters: the end of a longer name gives way to a digest of the id.
    """
    stem = "".join(_escape(c) if c not in PLAIN or (c == "-" and not at) else c for at, c in enumerate(id))
    return stem if len(stem) <= STEM_LENGTH else get_digest_stem(id, stem[: STEM_LENGTH - 34])


def get_digest_stem(id: str, start: str = "") -> str:
    """A name for files that no `get_stem` of another id is; `start` comes first."""
    digest = hashlib.sha256(id.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return f"{start}%%{digest}"


def _escape(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))
