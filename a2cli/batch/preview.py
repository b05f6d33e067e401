"""The sheet of `--preview`: one row an item with source, region, reference and result, to look at before the rest."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from a2cli.engine.edit import EditResult, Look
from a2cli.engine.sheet import Cell, SheetRow, draw_outline, save_sheet
from a2cli.errors import A2Error, ConfigError
from a2cli.files import show_name
from a2cli.images.encode import FORMAT_SUFFIXES
from a2cli.images.geometry import resize
from a2cli.images.read import open_photo

if TYPE_CHECKING:
    from a2cli.batch.worker import Outcome

CELL = 256  # px, longest side of a picture
MOST_ROWS = 64
MOST_RESULTS = 4  # of an item
DIM = 0.45  # how bright the photo is outside the region
PAPER, NOTHING = 255, 236  # greys: behind the reference, in place of a picture that could not be made
LONGEST = 36  # characters of a label's part
log = logging.getLogger(__name__)


class Preview:
    """A sheet in the making, of at most MOST_ROWS items. Raises `ConfigError` for a place where none can be saved."""

    def __init__(self, path: str) -> None:
        if Path(path).suffix.lower() not in FORMAT_SUFFIXES:
            raise ConfigError(
                f"--preview {show_name(path)}: not a picture's name",
                hint="such as preview.png or preview.jpg",
            )
        if not Path(path).absolute().parent.is_dir():
            raise ConfigError(f"--preview {show_name(path)}: no such folder", hint="make it first")
        self._path = path
        self._rows: list[SheetRow] = []
        self._left_out = 0

    def check_input(self, path: str | None) -> None:
        """Raise `ConfigError` where the sheet would replace an input of the batch."""
        if (
            path
            and os.path.exists(self._path)
            and os.path.exists(path)
            and os.path.samefile(self._path, path)
        ):
            raise ConfigError(
                f"--preview {show_name(self._path)}: would replace an input", hint="save it elsewhere"
            )

    def add(self, outcome: Outcome) -> None:
        """A row: what the item was made from and what came of it, or why nothing came."""
        if len(self._rows) == MOST_ROWS:
            self._left_out += 1
            return
        label = _shorten(show_name(outcome.job.id))
        if outcome.error is None:
            self._rows.append(SheetRow(label, outcome.preview))
            return
        cells = (*_open_cell("source", outcome.job.source), _build_empty("no result"))
        reason = outcome.error.removeprefix(f"{show_name(outcome.job.source or outcome.job.id)}: ")
        self._rows.append(SheetRow(f"{label}: {_shorten(reason)}", cells))

    def save(self) -> None:
        """Draw the sheet and save it in one step, format by suffix; says on the log how many items found no room."""
        if self._left_out:
            log.warning("the preview shows %d items, %d found no room", len(self._rows), self._left_out)
        if any(row.cells for row in self._rows):
            save_sheet(self._path, self._rows, cell=CELL)


def draw_look(look: Look) -> tuple[Cell, ...]:
    """The cells of an item that was made: source, region, reference, at most MOST_RESULTS results."""
    photo, subject = look.inputs.photo.rgb, look.inputs.subject
    cover = subject.mask[..., None]
    reference = np.rint(subject.rgb * cover + PAPER * (1 - cover)).astype(np.uint8)
    share = float((look.weight > 0).mean())
    results = [open_photo(data, name="result").rgb for data in look.files[:MOST_RESULTS]]
    return (
        Cell("source", _fit(photo), f"{photo.shape[1]} x {photo.shape[0]} px"),
        Cell("region", _draw_region(photo, look.weight > 0), f"{100 * share:.1f} % of the photo"),
        Cell("reference", _fit(reference)),
        *(Cell("result", _fit(result)) for result in results),
    )


def draw_done(result: EditResult) -> tuple[Cell, ...]:
    """The cells of an item that was made before: what lies on the disk."""
    return (*_open_cell("source", result.source), *_open_cell("result", result.path, "made before"))


def _draw_region(photo: np.ndarray, region: np.ndarray) -> np.ndarray:
    """The photo dimmed outside a region (H, W) bool, which is outlined; drawn at twice the size: smooth lines."""
    large = _fit(photo, 2 * CELL)
    grey = cv2.resize(region.astype(np.float32), large.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    inside = grey >= 0.5
    dimmed = np.where(inside[..., None], large, np.uint8(DIM * large + (1 - DIM) * 40))
    return _fit(draw_outline(dimmed, inside, width=3))


def _open_cell(caption: str, path: str | None, note: str = "") -> tuple[Cell, ...]:
    if path is None or not os.path.isfile(path):
        return ()
    try:
        return (Cell(caption, _fit(open_photo(path).rgb), note),)
    except A2Error:
        return (_build_empty(caption),)


def _build_empty(caption: str) -> Cell:
    return Cell(caption, np.full((CELL // 2, CELL, 3), NOTHING, np.uint8))


def _fit(image: np.ndarray, longest: int = CELL) -> np.ndarray:
    scale = longest / max(image.shape[:2])
    return resize(image, (max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale))))


def _shorten(text: str) -> str:
    """A text whose parts leave room for the pictures: broken after slashes, long parts cut in the middle."""
    parts = text.replace("/", "/ ").split()
    half = LONGEST // 2
    return " ".join(p if len(p) <= LONGEST else f"{p[: half - 1]}…{p[-half:]}" for p in parts)
