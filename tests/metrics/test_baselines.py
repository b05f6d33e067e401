"""The edits a model has to beat."""

from __future__ import annotations

import numpy as np

from a2cli.metrics.baselines import fill_mean, fill_telea, paste_reference, register_and_paste

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
