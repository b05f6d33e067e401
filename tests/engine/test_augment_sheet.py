"""The preview of `a2 augment-mask`: what is drawn, on which photo, and what is said when there is none."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from a2cli.config.augment import AugmentConfig, parse_changes
from a2cli.engine import augment_sheet
from a2cli.engine.augment import run_augment
from a2cli.engine.augment_jobs import MaskInput
from a2cli.engine.augment_sheet import CELL, DIM, GROUND, SUBJECT, Preview
from a2cli.engine.sheet import OUTLINE, SheetRow
from a2cli.errors import A2Error

COLOUR = (40, 120, 200)


def draw_mask() -> np.ndarray:
    mask = np.zeros((90, 120), bool)
    mask[30:60, 40:80] = True
    return mask


def save_photo(path: Path, size: tuple[int, int] = (120, 90)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, COLOUR).save(path)


def add_row(preview: Preview, monkeypatch: pytest.MonkeyPatch, mask_id: str = "sub/a.png") -> SheetRow:
    """The row of a mask as the sheet gets it."""
    rows: list[SheetRow] = []
    monkeypatch.setattr(augment_sheet, "save_sheet", lambda path, given, cell: rows.extend(given))
    fine, grown = draw_mask(), np.zeros((90, 120), bool)
    grown[20:70, 30:90] = True
    preview.add(MaskInput(f"masks/{mask_id}", mask_id), fine, {"rough": fine, "box": grown})
    preview.save("sheet.png")
    return rows[-1]


def test_on_grey_the_fine_mask_lies_under_every_outline(monkeypatch: pytest.MonkeyPatch) -> None:
    row = add_row(Preview(None), monkeypatch)
    assert row.label == "sub/a.png" and [cell.caption for cell in row.cells] == ["fine", "rough", "box"]
    assert [cell.note for cell in row.cells] == ["120 x 90 px", "overlap 1.00", "overlap 0.40"]
    picture = row.cells[2].image
    assert max(picture.shape[:2]) == CELL
    middle = picture[picture.shape[0] // 2, picture.shape[1] // 2]
    assert (middle == SUBJECT).all() and (picture[2, 2] == GROUND).all()
    assert (np.abs(picture.astype(int) - OUTLINE[1]).max(axis=2) < 40).sum() > CELL  # a line all around


def test_on_a_photo_what_is_not_masked_is_dimmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_photo(tmp_path / "any.png")
    picture = add_row(Preview(str(tmp_path / "any.png")), monkeypatch).cells[0].image
    assert (picture[picture.shape[0] // 2, picture.shape[1] // 2] == COLOUR).all()
    assert (np.abs(picture[3, 3] - DIM * np.array(COLOUR) - (1 - DIM) * 40) <= 1).all()


@pytest.mark.parametrize("name", ["sub/a.jpg", "a.webp", "else/a.png"])
def test_photos_of_a_folder_are_paired_by_path_or_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    save_photo(tmp_path / name)
    save_photo(tmp_path / "b.png")
    picture = add_row(Preview(str(tmp_path)), monkeypatch).cells[0].image
    colour = picture[picture.shape[0] // 2, picture.shape[1] // 2]
    assert np.abs(colour.astype(int) - COLOUR).max() < 6 and not caplog.records


def test_the_same_path_goes_before_the_same_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_photo(tmp_path / "sub" / "a.png")
    Image.new("RGB", (120, 90)).save(tmp_path / "a.png")
    picture = add_row(Preview(str(tmp_path)), monkeypatch).cells[0].image
    assert (picture[picture.shape[0] // 2, picture.shape[1] // 2] == COLOUR).all()


def test_without_a_fitting_photo_a_warning_and_grey(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for folder, files, message in (
        ("none", {"b.png": (120, 90)}, "no photo of that name"),
        ("size", {"a.png": (60, 90)}, "60 x 90, the mask is 120 x 90"),
        ("two", {"a.png": (120, 90), "a.jpg": (120, 90)}, "2 photos have this name"),
    ):
        for name, size in files.items():
            save_photo(tmp_path / folder / name, size)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            picture = add_row(Preview(str(tmp_path / folder)), monkeypatch).cells[0].image
        assert message in caplog.text and (picture[2, 2] == GROUND).all()


def test_a_photo_that_cannot_be_used_ends_the_run_before_it_starts(tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    for name, message in (("bare", "no pictures"), ("nowhere.jpg", "no such file")):
        with pytest.raises(A2Error, match=message):
            Preview(str(tmp_path / name))


def test_a_long_run_fills_one_sheet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(augment_sheet, "MOST_ROWS", 2)
    (tmp_path / "masks").mkdir()
    for i in range(5):
        Image.fromarray(np.uint8(draw_mask()) * 255).save(tmp_path / "masks" / f"{i}.png")
    config = AugmentConfig(
        (str(tmp_path / "masks"),),
        stage="fine",
        out=str(tmp_path / "out"),
        preview=str(tmp_path / "new/sheet.png"),
    )
    with caplog.at_level(logging.WARNING):
        assert len(list(run_augment(config))) == 5
    assert "shows 2 masks, 3 found no room" in caplog.text
    with Image.open(tmp_path / "new" / "sheet.png") as sheet:
        assert sheet.width > 3 * CELL and 2 * 190 < sheet.height < 2.6 * CELL


def test_perturbations_stand_side_by_side(tmp_path: Path) -> None:
    Image.fromarray(np.uint8(draw_mask()) * 255).save(tmp_path / "a.png")
    config = AugmentConfig(
        (str(tmp_path / "a.png"),),
        changes=parse_changes("6", ["erode:3", "shift:9"]),
        out=str(tmp_path / "out"),
        preview=str(tmp_path / "sheet.png"),
    )
    assert len(list(run_augment(config))) == 3
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert 4 * CELL < sheet.width < 5 * CELL


def test_nothing_to_show_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        Preview(None).save("sheet.png")
    assert "no mask to show" in caplog.text
