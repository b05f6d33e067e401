"""A row of a data set, its pictures undecoded, into a pair: the same checks for every layout."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from a2cli.data.instructed import find_misfit, list_there
from a2cli.data.records import BadRecord, Pair
from a2cli.errors import A2Error, DataError
from a2cli.files import show_name
from a2cli.images.geometry import get_bounding_box
from a2cli.images.photo import Photo
from a2cli.images.read import open_photo
from a2cli.masks.read import read_mask

PICTURES = ("ref_image", "ref_mask", "tar_image", "tar_mask")
MASK_COLUMNS = ["id", "tar_mask"]  # all that `RowReader.read_aspect` looks at
REQUIRED = ("id", "category", *PICTURES)
OPTIONAL = ("subcategory", "prompt", "provenance")
MAX_BYTES = 1 << 30  # of one picture's file
PROBLEM = "problem"  # what was wrong with a row before it became one
MEND = "mend or remove the record"


def check_columns(names: Iterable[str], where: str, required: Iterable[str] = REQUIRED) -> None:
    """Raise `DataError` naming the columns that a data set lacks and those it has."""
    there = list(names)
    if missing := [name for name in required if name not in there]:
        raise DataError(
            f"{show_name(where)}: no column {', '.join(missing)}", hint="there are: " + ", ".join(there)
        )


def get_labels(features: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The words of the columns that `datasets` stores as class numbers."""
    return {name: tuple(f.names) for name, f in features.items() if getattr(f, "names", None)}


@dataclass(frozen=True)
class RowReader:
    """Reads rows of the data set that messages call `where`.

    Pictures stored by path must lie in `root`; None for tables that `datasets` itself wrote, whose paths are
    absolute. `labels` holds the words of columns stored as class numbers.
    """

    where: str
    root: Path | None = None
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def read(self, row: Mapping[str, Any]) -> Pair:
        """The pair of one row. Raises `BadRecord` naming the record, the column and the cause."""
        if row.get(PROBLEM):
            raise BadRecord(f"{show_name(self.where)}: {row[PROBLEM]}", hint=MEND)
        ref_rgb, ref_mask = self._read_view(row, "ref", hole=False)
        tar_rgb, tar_mask = self._read_view(row, "tar", hole=True)
        category, subcategory = (self.get_text(row, name) for name in ("category", "subcategory"))
        prompt = None if row.get("prompt") is None else self.get_text(row, "prompt")
        self._check_texts(row, prompt or "")
        src_rgb, src_mask = self._read_source(row, tar_mask.shape)
        return Pair(
            id=self.get_text(row, "id"),
            category=category,
            subcategory=subcategory,
            prompt=f"a photo of {subcategory or category}" if prompt is None else prompt,
            ref_rgb=ref_rgb,
            ref_mask=ref_mask,
            tar_rgb=tar_rgb,
            tar_mask=tar_mask,
            provenance=self.get_text(row, "provenance"),
            src_rgb=src_rgb,
            src_mask=src_mask,
            task=self.get_text(row, "task"),
            keyword=self.get_text(row, "keyword"),
        )

    def read_aspect(self, row: Mapping[str, Any]) -> float:
        """Width over height of the target mask's bounding box. Raises `BadRecord` as `read` does."""
        try:
            file = self._get_file(row.get("tar_mask"))
            box = get_bounding_box(read_mask(file, open_photo(file).size) >= 0.5)
        except A2Error as error:
            raise self._get_bad(row, "tar_mask", error.message) from error
        if box is None:
            raise self._get_bad(row, "tar_mask", "it marks nothing")
        return (box[2] - box[0]) / (box[3] - box[1])

    def load_bytes(self, row: Mapping[str, Any], column: str) -> bytes:
        """The file of a picture column as it is stored, undecoded. Raises `BadRecord` as `read` does."""
        if row.get(PROBLEM):
            raise BadRecord(f"{show_name(self.where)}: {row[PROBLEM]}", hint=MEND)
        try:
            file = self._get_file(row.get(column))
            return file if isinstance(file, bytes) else _load_file(file)
        except A2Error as error:
            raise self._get_bad(row, column, error.message) from error

    def get_text(self, row: Mapping[str, Any], column: str) -> str:
        """The text of a column, "" where the row has none; what is no text as JSON."""
        value = row.get(column)
        if value is None:
            return ""
        if isinstance(value, int) and 0 <= value < len(self.labels.get(column, ())):
            return self.labels[column][value]
        return value if isinstance(value, str) else json.dumps(value, default=str)

    def _read_view(self, row: Mapping[str, Any], view: str, *, hole: bool) -> tuple[np.ndarray, np.ndarray]:
        """The picture (H, W, 3) uint8 and its mask (H, W) bool; `hole` as for `read_mask`."""
        photo = self._read_photo(row, f"{view}_image")
        return photo.rgb, self._read_mask(row, f"{view}_mask", photo.size, hole=hole)

    def _read_mask(
        self, row: Mapping[str, Any], column: str, size: tuple[int, int], *, hole: bool
    ) -> np.ndarray:
        try:
            mask = read_mask(self._get_file(row.get(column)), size, hole=hole) >= 0.5
        except A2Error as error:
            raise self._get_bad(row, column, error.message) from error
        if not mask.any():
            raise self._get_bad(row, column, "it marks nothing")
        return mask

    def _read_photo(self, row: Mapping[str, Any], column: str) -> Photo:
        try:
            file = self._get_file(row.get(column))
            return open_photo(file, name="picture" if isinstance(file, bytes) else None)
        except A2Error as error:
            raise self._get_bad(row, column, error.message) from error

    def _check_texts(self, row: Mapping[str, Any], prompt: str) -> None:
        task, keyword = (self.get_text(row, name) for name in ("task", "keyword"))
        if misfit := find_misfit(prompt, task, keyword, list_there(row)):
            raise self._get_bad(row, *misfit)

    def _read_source(
        self, row: Mapping[str, Any], size: tuple[int, ...]
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """The photo from before the edit, and what it shows of the thing that is named; None where there is none."""
        there = list_there(row)
        if "src_image" not in there:
            return None, None
        photo = self._read_photo(row, "src_image")
        if photo.size != size:
            sizes = f"{photo.size[1]} x {photo.size[0]}, tar_image {size[1]} x {size[0]}"
            raise self._get_bad(row, "src_image", f"it is {sizes}")
        mask = self._read_mask(row, "src_mask", photo.size, hole=False) if "src_mask" in there else None
        return photo.rgb, mask

    def _get_file(self, value: Any) -> Path | bytes:
        """What `open_photo` takes, from what the column holds: bytes, a path, or `datasets`' pair of both."""
        if isinstance(value, Mapping):
            value = value.get("path") if value.get("bytes") is None else value["bytes"]
        if isinstance(value, bytes):
            return value
        if not isinstance(value, str) or not value:
            raise DataError("no picture")
        if self.root is None:
            return Path(value)
        path = self.root / value
        try:
            inside = path.resolve().is_relative_to(self.root.resolve())
        except (OSError, RuntimeError, ValueError) as error:  # too long, a loop of links, a zero byte
            raise DataError(f"{show_name(value)}: no file can have this path") from error
        if not inside:
            raise DataError(f"{show_name(value)} lies outside {show_name(str(self.root))}")
        return path

    def _get_bad(self, row: Mapping[str, Any], column: str, cause: str) -> BadRecord:
        name = show_name(self.get_text(row, "id"))
        return BadRecord(f"{show_name(self.where)}: record {name}: {column}: {cause}", hint=MEND)


def _load_file(path: Path) -> bytes:
    """The bytes of a regular file; devices and pipes are not opened."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
            raise OSError("not a regular file" if status.st_size <= MAX_BYTES else "larger than 1 GiB")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{show_name(str(path))}: cannot be opened: {cause}") from error
