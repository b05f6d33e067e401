"""The sheet: a row an item, with source, region, reference and result, or the reason why there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from batches import Catalogue
from PIL import Image

from a2cli.batch import preview as previews
from a2cli.batch.preview import CELL, Preview


def open_sheet(path: str) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def test_a_sheet_shows_every_item(catalogue: Catalogue) -> None:
    catalogue.add(3, bad=1)
    outcomes = catalogue.run(preview="sheet.png", num_images=2)
    captions = [[cell.caption for cell in o.preview] for o in outcomes]
    assert captions == [["source", "region", "reference", "result", "result"], [], captions[0]]
    source, region, reference, result, _ = (cell.image for cell in outcomes[0].preview)
    assert all(max(image.shape[:2]) == CELL for image in (source, region, reference, result))
    inside = np.zeros(source.shape[:2], bool)
    inside[70:100, 110:150] = True  # of box:20,12,38,26 in 56 x 40 px, drawn 256 wide
    assert np.abs(source[inside].astype(int) - region[inside]).mean() < 8
    outside = np.zeros(source.shape[:2], bool)
    outside[150:, 200:] = True
    assert region[outside].mean() < 0.7 * source[outside].mean()
    assert np.abs(source[outside].astype(int) - result[outside]).mean() < 3
    assert np.abs(source[inside].astype(int) - result[inside]).mean() > 10
    assert (reference[0, 0] == 255).all()
    sheet = open_sheet("sheet.png")
    assert sheet.shape[1] > 5 * CELL and sheet.shape[0] > 2 * 180
    assert (sheet != 255).any(axis=2).mean() > 0.3


def test_what_was_made_before_is_shown_as_it_lies_there(catalogue: Catalogue) -> None:
    catalogue.add(1)
    catalogue.run()
    (outcome,) = catalogue.run(resume=True, preview="sheet.jpg", limit=1)
    assert outcome.skipped and [cell.caption for cell in outcome.preview] == ["source", "result"]
    assert outcome.preview[1].note == "made before"
    assert Image.open("sheet.jpg").format == "JPEG"


def test_without_preview_nothing_is_drawn(catalogue: Catalogue) -> None:
    catalogue.add(1)
    assert catalogue.run()[0].preview == ()


def test_a_sheet_has_an_end_and_says_so(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(previews, "MOST_ROWS", 2)
    catalogue.add(4, bad=1)
    catalogue.run(preview="sheet.png")
    assert "the preview shows 2 items, 2 found no room" in caplog.text
    assert open_sheet("sheet.png").shape[0] < 3 * CELL


def test_a_batch_of_failures_leaves_an_older_sheet_or_none(catalogue: Catalogue) -> None:
    sheet = Preview("sheet.png")
    sheet.save()
    assert not Path("sheet.png").exists()
