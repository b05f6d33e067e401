"""The edits a model has to beat."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from a2cli.metrics.baselines import (
    TELEA_RADIUS,
    fill_mean,
    fill_nearest,
    fill_telea,
    paste_poisson,
    paste_reference,
    register_and_paste,
)

RNG = np.random.default_rng(0)
SLOPE = np.repeat(np.linspace(0, 250, 60)[None, :, None], 50, axis=0).repeat(3, axis=2).astype(np.uint8)
MASK = np.zeros((50, 60), bool)
MASK[12:36, 20:44] = True
MASK[12:20, 20:28] = False
REF = RNG.integers(0, 256, (30, 30, 3), dtype=np.uint8)
REF_MASK = np.zeros((30, 30), bool)
REF_MASK[5:25, 8:28] = True


def test_nothing_outside_the_mask_changes_and_the_hole_is_not_read() -> None:
    for fill in (
        lambda rgb: fill_mean(rgb, MASK, REF, REF_MASK),
        lambda rgb: fill_telea(rgb, MASK),
        lambda rgb: paste_reference(rgb, MASK, REF, REF_MASK),
        lambda rgb: register_and_paste(rgb, MASK, REF, REF_MASK),
        lambda rgb: paste_poisson(rgb, MASK, REF, REF_MASK),
    ):
        filled = fill(SLOPE)
        assert filled.dtype == np.uint8 and np.array_equal(filled[~MASK], SLOPE[~MASK])
        other = SLOPE.copy()
        other[MASK] = RNG.integers(0, 256, (MASK.sum(), 3))
        assert np.array_equal(fill(other), filled)


def test_mean_is_the_subjects_colour() -> None:
    filled = fill_mean(SLOPE, MASK, REF, REF_MASK)
    assert np.abs(filled[20, 30] - REF[5:25, 8:28].reshape(-1, 3).mean(axis=0)).max() <= 0.5
    assert len(np.unique(filled[MASK], axis=0)) == 1


def test_telea_continues_the_photo() -> None:
    filled = fill_telea(SLOPE, MASK)
    assert np.abs(filled[MASK].astype(float) - SLOPE[MASK]).mean() < 20
    assert (fill_telea(SLOPE, np.ones_like(MASK)) == 127).all()
    assert np.array_equal(fill_telea(SLOPE, ~MASK & MASK), SLOPE)


def test_telea_near_the_mask_equals_telea_over_the_whole_photo() -> None:
    photo = RNG.integers(0, 256, (90, 110, 3), dtype=np.uint8)
    for top, left, bottom, right in ((40, 50, 41, 51), (0, 30, 25, 60), (50, 90, 90, 110), (20, 0, 70, 12)):
        mask = np.zeros(photo.shape[:2], bool)
        mask[top:bottom, left:right] = True
        mask[top + 5 : bottom - 9, left + 7 : right - 3] = False
        whole = cv2.inpaint(fill_nearest(photo, mask), mask.astype(np.uint8), TELEA_RADIUS, cv2.INPAINT_TELEA)
        assert np.array_equal(fill_telea(photo, mask), whole)


def test_paste_shows_the_subject_stretched_to_the_box() -> None:
    red = np.full((30, 30, 3), (250, 10, 10), np.uint8)
    pasted = paste_reference(SLOPE, MASK, red, REF_MASK)
    assert np.abs(pasted[MASK].astype(int) - (250, 10, 10)).max() <= 2
    halved = REF_MASK.copy()
    halved[5:15, 18:] = False  # the subject's upper right quarter is missing: the photo is continued there
    pasted = paste_reference(SLOPE, MASK, red, halved)
    assert np.array_equal(pasted[16, 40], fill_telea(SLOPE, MASK)[16, 40]) and pasted[30, 40, 0] > 245


def test_registered_turns_what_paste_only_stretches() -> None:
    rows, columns = np.mgrid[:90, :90] - 44.5
    wide = (rows / 14) ** 2 + (columns / 40) ** 2 < 1
    turned = ((rows + columns) / 20) ** 2 + ((rows - columns) / 56) ** 2 < 1  # the same, by 45 degrees
    halves = np.where(columns[..., None] < 0, (250, 0, 0), (0, 0, 250)).astype(np.uint8)
    photo = np.full((90, 90, 3), 128, np.uint8)
    errors = []
    for fill in (paste_reference, register_and_paste):
        red = fill(photo, turned, halves, wide)[..., 0] > 200
        errors.append((red ^ (turned & (rows - columns > 0)))[turned].mean())
    assert errors[1] < 0.02 and errors[0] > 0.15, errors


def draw_mask(name: str) -> np.ndarray:
    mask = np.zeros((50, 60), bool)
    boxes = {
        "corner": (0, 17, 0, 22),
        "far corner": (31, 50, 39, 60),
        "side": (10, 41, 48, 60),
        "whole height": (0, 50, 20, 33),
        "all but a pixel": (0, 50, 0, 60),
        "everything": (0, 50, 0, 60),
        "odd": (11, 32, 13, 40),
        "even": (10, 32, 14, 40),
        "pixel": (20, 21, 30, 31),
        "corner pixel": (49, 50, 59, 60),
        "wire": (25, 26, 3, 57),
        "islands": (5, 12, 5, 12),
    }
    top, bottom, left, right = boxes[name]
    mask[top:bottom, left:right] = True
    mask[0, 0] = mask[0, 0] and name != "all but a pixel"
    if name == "islands":
        mask[5:12, 40:58] = mask[44:50, 0:3] = mask[30, 30] = mask[24:28, 20:60:2] = True
    return mask


NAMES = (
    *("corner", "far corner", "side", "whole height", "all but a pixel", "everything", "odd", "even"),
    *("pixel", "corner pixel", "wire", "islands"),
)


@pytest.mark.parametrize("name", NAMES)
def test_poisson_works_under_every_mask_and_leaves_the_rest(name: str) -> None:
    mask = draw_mask(name)
    photo = RNG.integers(0, 256, (50, 60, 3), dtype=np.uint8)
    hole = np.where(mask[..., None], np.uint8(127), photo)
    filled = paste_poisson(hole, mask, REF, REF_MASK)
    assert filled.shape == photo.shape and filled.dtype == np.uint8
    assert np.array_equal(filled[~mask], photo[~mask])
    assert np.array_equal(filled, paste_poisson(photo, mask, REF, REF_MASK))
    assert np.array_equal(fill_telea(hole, mask), fill_telea(photo, mask))


@pytest.mark.parametrize("name", ["corner", "far corner", "side", "whole height", "odd", "even"])
def test_poisson_keeps_the_subjects_second_differences_in_their_place(name: str) -> None:
    mask = draw_mask(name)
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    ref = RNG.integers(
        108, 149, (height, width, 3), dtype=np.uint8
    )  # as large as the box: it is not resampled
    flat = np.full((50, 60, 3), 90, np.uint8)
    inner = slice(y + 1, y + height - 1), slice(x + 1, x + width - 1)
    cloned, pasted = (
        paste(flat, mask, ref, np.ones((height, width), bool))
        for paste in (paste_poisson, register_and_paste)
    )
    found, wanted = (cv2.Laplacian(picture.astype(float), -1)[inner] for picture in (cloned, pasted))
    assert np.abs(found - wanted).max() <= 4  # rounding: half a level, eight times
    assert wanted.std() > 40
    assert pasted[mask].mean() > 125 and cloned[mask].mean() < 110  # the level is the photo's


def test_poisson_draws_the_subjects_colours_to_the_photos() -> None:
    red = np.full((30, 30, 3), (250, 10, 10), np.uint8)
    mask = draw_mask("odd")
    flat = np.full((50, 60, 3), (60, 120, 180), np.uint8)
    hole = np.where(mask[..., None], np.uint8(127), flat)
    assert np.abs(paste_poisson(hole, mask, red, REF_MASK).astype(int) - flat).max() <= 2


def test_poisson_without_a_photo_around_or_a_solid_pixel_is_the_registered_paste() -> None:
    faint = REF_MASK & (np.indices((30, 30)).sum(0) % 20 == 0)  # covers little of a mask of one pixel
    for mask, subject in ((np.ones_like(MASK), REF_MASK), (draw_mask("pixel"), faint)):
        registered = register_and_paste(SLOPE, mask, REF, subject)
        assert np.array_equal(paste_poisson(SLOPE, mask, REF, subject), registered)


def test_nearest_equals_the_search_over_all_pixels() -> None:
    mask = np.zeros((12, 15), bool)
    mask[3:9, 4:11] = True
    labels = np.arange(180, dtype=np.uint8).reshape(12, 15, 1).repeat(3, axis=2)
    outside = np.argwhere(~mask)
    for y, x in np.argwhere(mask):
        away = np.hypot(*(outside - (y, x)).T)
        found = np.hypot(*(np.array(divmod(int(fill_nearest(labels, mask)[y, x, 0]), 15)) - (y, x)))
        assert found == pytest.approx(away.min(), rel=0.05)  # OpenCV's distance is that of a 5 x 5 chamfer
