"""The preview of `a2 augment-mask`: one row a mask, the fine one and what became of it, drawn on the photo."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from a2cli.engine.augment_jobs import MaskInput
from a2cli.engine.sheet import Cell, SheetRow, draw_outline, save_sheet
from a2cli.errors import A2Error, ConfigError, DataError
from a2cli.files import show_name
from a2cli.images.encode import FORMAT_SUFFIXES
from a2cli.images.geometry import resize
from a2cli.images.read import open_photo
from a2cli.masks.morph import get_iou, grow_box, require_bounding_box

CELL = 256  # px, longest side of a picture
MOST_ROWS = 64
GROUND, SUBJECT = 176, 232  # greys of a row without a photo
DIM = 0.45  # how bright the photo is outside the mask
log = logging.getLogger(__name__)


class Preview:
    """A contact sheet in the making, of at most MOST_ROWS masks; `image` is a photo, a folder of photos or None.

    Photos of a folder belong to the masks of the same path in theirs, or of the same name, whatever the suffix.
    """

    def __init__(self, image: str | None) -> None:
        self._rows: list[SheetRow] = []
        self._left_out = 0
        self._photos = _index_photos(image)

    def has_room(self) -> bool:
        """Whether one more row fits; a mask for which there is none is counted."""
        full = len(self._rows) >= MOST_ROWS
        self._left_out += full
        return not full

    def add(self, source: MaskInput, fine: np.ndarray, changed: Mapping[str, np.ndarray]) -> None:
        """A row: the fine mask and its changes by name, bool (H, W) all."""
        photo = self._find_photo(source, fine.shape)
        everything = np.logical_or.reduce([fine, *changed.values()])
        box = require_bounding_box(everything)
        window = grow_box(box, max(box[2] - box[0], box[3] - box[1]) // 3 + 2, fine.shape)
        cells = [Cell("fine", _draw(photo, fine, fine, window), f"{fine.shape[1]} x {fine.shape[0]} px")]
        for name, mask in changed.items():
            cells.append(Cell(name, _draw(photo, fine, mask, window), f"overlap {get_iou(fine, mask):.2f}"))
        self._rows.append(SheetRow(show_name(source.id), cells))

    def save(self, path: str) -> None:
        """Draw the sheet and save it, format by suffix; says on the log how many masks found no room."""
        if not self._rows:
            log.warning("%s: no mask to show, no preview", show_name(path))
            return
        if self._left_out:
            log.warning("the preview shows %d masks, %d found no room", len(self._rows), self._left_out)
        save_sheet(path, self._rows, cell=CELL)

    def _find_photo(self, source: MaskInput, size: tuple[int, ...]) -> np.ndarray | None:
        """(H, W, 3) uint8, or None: not asked for, not found, not readable or of another size (a warning)."""
        if self._photos is None:
            return None
        stem = os.path.splitext(source.id)[0]
        for key in ("", stem, os.path.basename(stem)):
            own = os.path.realpath(source.path)
            paths = [path for path in self._photos.get(key, ()) if os.path.realpath(path) != own]
            if paths:
                break
        else:
            log.warning("%s: no photo of that name, drawn on grey", show_name(source.id))
            return None
        try:
            if len(paths) > 1:
                raise DataError(f"{show_name(stem)}: {len(paths)} photos have this name")
            photo = open_photo(paths[0]).rgb
            if photo.shape[:2] != size:
                shape = f"{photo.shape[1]} x {photo.shape[0]}"
                raise DataError(f"{show_name(paths[0])}: {shape}, the mask is {size[1]} x {size[0]}")
        except A2Error as error:
            log.warning("%s: drawn on grey", error)
            return None
        return photo


def _index_photos(image: str | None) -> dict[str, list[str]] | None:
    """Photos by path without suffix and by bare name; a single photo under "", for every mask."""
    if image is None:
        return None
    if not os.path.isdir(image):
        open_photo(image)
        return {"": [image]}
    photos: dict[str, list[str]] = {}
    for folder, _, files in os.walk(image):
        for file in sorted(files):
            if Path(file).suffix.lower() in FORMAT_SUFFIXES and file[0] != ".":
                path = os.path.join(folder, file)
                stem = os.path.splitext(os.path.relpath(path, image))[0]
                for key in {stem, os.path.basename(stem)}:
                    photos.setdefault(key, []).append(path)
    if not photos:
        raise ConfigError(
            f"--image {show_name(image)}: no pictures in this folder", hint="name a photo or a folder"
        )
    return photos


def _draw(
    photo: np.ndarray | None, fine: np.ndarray, mask: np.ndarray, window: tuple[slice, slice]
) -> np.ndarray:
    """The window at the size of a cell: the photo dimmed outside the mask, or the fine mask on grey; outlined."""
    height, width = mask[window].shape
    scale = 2 * CELL / max(height, width)  # drawn at twice the size and halved: smooth lines
    size = max(1, round(height * scale)), max(1, round(width * scale))
    large = _resize_mask(mask[window], size)
    if photo is None:
        ground = np.where(_resize_mask(fine[window], size), SUBJECT, GROUND).astype(np.uint8)
        picture = np.repeat(ground[..., None], 3, axis=2)
    else:
        picture = resize(photo[window], size)
        picture = np.where(large[..., None], picture, np.uint8(DIM * picture + (1 - DIM) * 40))
    drawn = draw_outline(picture, large, width=3)
    return resize(drawn, (max(1, size[0] // 2), max(1, size[1] // 2)))


def _resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    grey = mask.astype(np.float32)
    larger = size[0] >= mask.shape[0]
    resized = cv2.resize(grey, size[::-1], interpolation=cv2.INTER_LINEAR) if larger else resize(grey, size)
    marked: np.ndarray = resized >= 0.5
    return marked
