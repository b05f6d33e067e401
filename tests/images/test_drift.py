"""The colour shift of an autoencoder is taken off at the border of the hole and fades out inside."""

from __future__ import annotations

import numpy as np

from a2cli.images.drift import correct_drift

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
