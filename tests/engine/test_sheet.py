"""Contact sheets: the pictures are there, whole, in their order, and labelled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from a2cli.engine.sheet import Cell, SheetRow, draw_heat, draw_outline, draw_sheet, save_sheet
from a2cli.errors import DataError


def paint(colour: tuple[int, int, int], height: int = 40, width: int = 40) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


RED, GREEN, BLUE = (220, 10, 10), (10, 200, 10), (10, 10, 220)


def find(sheet: np.ndarray, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    ys, xs = np.nonzero((np.abs(sheet.astype(int) - colour) <= 3).all(axis=2))
    assert ys.size == (np.ptp(ys) + 1) * (np.ptp(xs) + 1), "the picture is covered by something"
    return int(xs.min()), int(ys.min()), int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1


def test_pictures_keep_their_order_aspect_and_every_pixel() -> None:
    rows = [
        SheetRow(
            "a label of several words",
            [Cell("one", paint(RED), "error 0.1"), Cell("two", paint(GREEN, 20, 80))],
        ),
        SheetRow("", [Cell("one", paint(BLUE, 300, 150))]),
    ]
    sheet = draw_sheet(rows, cell=120, title="A title")
    red, green, blue = (find(sheet, colour) for colour in (RED, GREEN, BLUE))
    assert red[2:] == (120, 120) and green[2:] == (120, 30) and blue[2:] == (60, 120)
    assert red[0] + 120 < green[0] and red[1] + 120 < blue[1]
    assert red[0] < blue[0] < red[0] + 120
    assert sheet.shape[0] >= blue[1] + 120 and sheet.shape[1] >= green[0] + 120


def test_captions_labels_and_notes_are_drawn() -> None:
    plain = draw_sheet([SheetRow("", [Cell("", paint(RED))])], cell=100)
    for row, title in (
        (SheetRow("label", [Cell("", paint(RED))]), ""),
        (SheetRow("", [Cell("caption", paint(RED))]), ""),
        (SheetRow("", [Cell("", paint(RED), "note")]), ""),
        (SheetRow("", [Cell("", paint(RED))]), "title"),
    ):
        sheet = draw_sheet([row], cell=100, title=title)
        assert (sheet.max(axis=2) < 140).sum() > (plain.max(axis=2) < 140).sum()
        assert sheet.size > plain.size


def test_captions_are_not_repeated() -> None:
    row, other = SheetRow("", [Cell("same", paint(RED))]), SheetRow("", [Cell("else", paint(RED))])
    assert draw_sheet([row, row], cell=100).shape[0] < draw_sheet([row, other], cell=100).shape[0]


def test_outline_follows_the_border_and_spares_the_rest() -> None:
    mask = np.zeros((60, 80), bool)
    mask[20:40, 30:60] = True
    drawn = draw_outline(paint((100, 100, 100), 60, 80), mask, width=1)
    changed = (drawn != 100).any(axis=2)
    assert changed[20, 30:60].all() and changed[20:40, 59].all()
    assert not changed[25:35, 35:55].any() and not changed[:17].any()


def test_saved_sheet_reads_back(tmp_path: Path) -> None:
    rows = [SheetRow("row", [Cell("one", paint(RED))])]
    save_sheet(tmp_path / "a sheet.png", rows, cell=64)
    with Image.open(tmp_path / "a sheet.png") as image:
        assert image.format == "PNG" and np.array_equal(np.asarray(image), draw_sheet(rows, cell=64))
    assert [path.name for path in tmp_path.iterdir()] == ["a sheet.png"]


def test_nothing_to_show_and_no_picture_are_refused() -> None:
    for rows in ([], [SheetRow("label", [])]):
        with pytest.raises(DataError, match="without a picture"):
            draw_sheet(rows)
    with pytest.raises(DataError, match="uint8"):
        draw_sheet([SheetRow("", [Cell("", np.zeros((4, 4)))])])


def test_heat_is_dark_where_a_map_is_zero_and_yellow_where_it_is_one() -> None:
    photo = paint((200, 40, 40), 4, 6)
    soft = np.zeros((4, 6), np.float32)
    soft[:, 3:] = 1
    drawn = draw_heat(photo, soft).astype(int)
    cold, hot = drawn[0, 0], drawn[0, 5]
    assert cold.max() - cold.min() < 10 and cold.max() < 120  # grey but for a trace
    assert hot[0] > 180 and hot[1] > 180 and hot[1] - hot[2] > 50
    assert np.array_equal(draw_heat(photo, 3 * soft - 1), drawn)
