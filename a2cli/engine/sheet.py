"""Contact sheets: labelled rows of pictures, for the README, for evaluation and for the eye."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from a2cli.errors import DataError
from a2cli.images.geometry import resize
from a2cli.images.write import save_image

GROUND = (255, 255, 255)
INK = (34, 34, 34)
FAINT = (110, 110, 110)
OUTLINE = ((255, 255, 255), (230, 0, 90))  # wide below, narrow on top: seen on any photo
HEAT = (0.15, 0.75)  # weight of a map's colours over its photo, where the map is 0 and 1


@dataclass(frozen=True)
class Cell:
    """One picture (h, w, 3) uint8 of a sheet, what stands above it, and a small note below (a score)."""

    caption: str
    image: np.ndarray
    note: str = ""


@dataclass(frozen=True)
class SheetRow:
    """One line of a sheet; the label stands at its left, "" for none."""

    label: str
    cells: Sequence[Cell]


def draw_outline(rgb: np.ndarray, mask: np.ndarray, *, width: int | None = None) -> np.ndarray:
    """Draw a mask's contours over a photo: (H, W, 3) uint8 and (H, W) in [0, 1] or bool to (H, W, 3) uint8.

    width: pixels of the inner line; by default 1/150 of the longest side, at least 1.
    """
    width = width or max(1, round(max(mask.shape) / 150))
    drawn = rgb.copy()
    binary = (np.asarray(mask, np.float32) >= 0.5).astype(np.uint8)
    contours, _ = cv2.findContours(binary, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    for colour, thickness in zip(OUTLINE, (width + 2, width), strict=True):
        cv2.drawContours(drawn, contours, -1, colour, thickness)
    return drawn


def draw_heat(rgb: np.ndarray, soft: np.ndarray) -> np.ndarray:
    """Lay a map (H, W) in [0, 1] over its photo (H, W, 3) uint8 in grey: dark violet for 0, yellow for 1."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    soft = soft.clip(0, 1)
    levels = np.round(soft * 255).astype(np.uint8)
    colours = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1].astype(np.float32)
    weight = (HEAT[0] + (HEAT[1] - HEAT[0]) * soft)[..., None]
    return np.round(grey * (1 - weight) + colours * weight).astype(np.uint8)


def save_sheet(path: str | Path, rows: Sequence[SheetRow], *, cell: int = 224, title: str = "") -> None:
    """Draw a sheet and save it, format by suffix, in one step. Arguments and errors as for `draw_sheet`."""
    save_image(draw_sheet(rows, cell=cell, title=title), path)


def draw_sheet(rows: Sequence[SheetRow], *, cell: int = 224, title: str = "") -> np.ndarray:
    """Lay rows of labelled pictures out on a white sheet: returns (H, W, 3) uint8.

    cell: side of the square a picture is fitted into, aspect kept, in pixels; a row is as high as its highest
    picture. Captions that repeat those of
    the row above are left out. Raises DataError when there is nothing to show.
    """
    if not rows or not any(row.cells for row in rows):
        raise DataError("a sheet without a picture cannot be drawn")
    size = max(13, cell // 14)
    font, small, bold = (ImageFont.load_default(s) for s in (size, max(11, size - 3), size + 4))
    gap, line = max(6, cell // 28), size + 8
    labels = [_wrap(row.label, small, cell * 3 // 4) for row in rows]
    left = gap + max((small.getlength(part) for label in labels for part in label), default=0)
    left = int(left + gap) if left > gap else gap
    heads, notes = [], []
    for i, row in enumerate(rows):
        captions = [item.caption for item in row.cells]
        repeated = i > 0 and captions == [item.caption for item in rows[i - 1].cells]
        heads.append(0 if repeated or not any(captions) else line)
        notes.append(line if any(item.note for item in row.cells) else 0)
    top = gap + (line + gap if title else 0)
    pictures = [[_fit(item.image, cell) for item in row.cells] for row in rows]
    tall = [max((picture.shape[0] for picture in shown), default=line) for shown in pictures]
    width = left + max(len(row.cells) for row in rows) * (cell + gap)
    height = top + sum(heads) + sum(notes) + sum(tall) + len(rows) * gap
    width = max(width, int(bold.getlength(title)) + 2 * gap)

    sheet = Image.new("RGB", (width, height), GROUND)
    pen = ImageDraw.Draw(sheet)
    if title:
        pen.text((gap, gap), title, INK, bold)
    y = top
    for row, shown, label, head, high, note in zip(rows, pictures, labels, heads, tall, notes, strict=True):
        pen.multiline_text(
            (gap, y + head + high // 2), "\n".join(label), FAINT, small, anchor="lm", spacing=4
        )
        for column, (item, picture) in enumerate(zip(row.cells, shown, strict=True)):
            x = left + column * (cell + gap)
            if head:
                pen.text((x + cell // 2, y + head // 2), item.caption, INK, font, anchor="mm")
            dx, dy = (cell - picture.shape[1]) // 2, (high - picture.shape[0]) // 2
            sheet.paste(Image.fromarray(picture), (x + dx, y + head + dy))
            if note:
                pen.text((x + cell // 2, y + head + high + note // 2), item.note, FAINT, small, anchor="mm")
        y += head + high + note + gap
    return np.asarray(sheet)


def _fit(image: np.ndarray, cell: int) -> np.ndarray:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise DataError(f"a sheet shows (h, w, 3) uint8 pictures, not {image.dtype} {image.shape}")
    scale = cell / max(image.shape[:2])
    size = (max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale)))
    return resize(image, size)


def _wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
