"""The border of a hole: the colour shift is taken off and fades out inside, the ground runs on."""

from __future__ import annotations

import numpy as np

from a2cli.images.border import continue_ground, correct_drift

SOURCE = np.full((128, 128, 3), 100, np.uint8)
HOLE = np.zeros((128, 128), bool)
HOLE[:, 64:] = True


def test_a_constant_shift_is_gone_at_the_border_and_stays_far_inside() -> None:
    picture = np.full((128, 128, 3), 110.0, np.float32)
    corrected = correct_drift(picture, SOURCE, HOLE)
    assert np.abs(corrected[:, :63] - 100).max() < 0.1
    assert np.abs(corrected[:, 64] - 100).max() < 2.5
    assert np.abs(corrected[:, 80:] - 110).max() < 0.1
    steps = np.diff(corrected[60, :, 0])
    assert (steps > -1e-3).all() and steps.max() < 4  # no new edge


def test_what_agrees_with_the_photo_is_left_alone() -> None:
    picture = SOURCE.astype(np.float32)
    picture[HOLE] = 30.0  # what the hole holds is nobody's error
    assert np.abs(correct_drift(picture, SOURCE, HOLE) - picture).max() < 1e-4


def test_a_hole_without_surroundings_is_left_alone() -> None:
    picture = np.full((32, 32, 3), 7.0, np.float32)
    assert np.array_equal(correct_drift(picture, SOURCE[:32, :32], np.ones((32, 32), bool)), picture)


def test_the_ground_runs_on_where_no_subject_is() -> None:
    picture, start = np.full((128, 128, 3), 10.0, np.float32), np.full((128, 128, 3), 200, np.uint8)
    cover = np.zeros((128, 128), np.float32)
    cover[:40] = 1
    result = continue_ground(picture, start, HOLE, cover)[..., 0]
    assert (result[~HOLE] == 10).all() and (result[:40] == 10).all() and (result[:, 68:] == 10).all()
    assert (result[40:, 64] == 200).all() and (np.diff(result[60, 64:]) <= 0).all()
    everywhere = continue_ground(picture, start, np.ones_like(HOLE), cover)
    assert (everywhere == 10).all()  # the picture's own edge is no border
