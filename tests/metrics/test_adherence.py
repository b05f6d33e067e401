"""What changed against the mask."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from skimage import data

from a2cli.metrics.adherence import TOLERANCE, get_adherence_values, get_changed
from a2cli.metrics.shots import Shot

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(60, 190, (20, 30, 3), dtype=np.uint8)
MASK = np.zeros((20, 30), bool)
MASK[4:14, 5:25] = True  # 200 pixels


def measure(changed: np.ndarray, *, hole: bool = False) -> float:
    edited = PHOTO + 60 * changed[..., None].astype(np.uint8)
    return get_adherence_values(Shot("a", edited, MASK, source=PHOTO, hole=hole))["adherence"]


def test_known_truths() -> None:
    nothing = np.zeros_like(MASK)
    assert measure(MASK) == 1.0 and measure(nothing) == 0.0 and measure(~MASK) == 0.0
    upper = MASK.copy()
    upper[9:] = False
    assert measure(upper) == 0.5
    assert measure(np.ones_like(MASK)) == pytest.approx(200 / 600)
    assert measure(np.roll(MASK, 5, axis=1)) == pytest.approx(150 / 250)


def test_what_was_taken_out_counts_as_changed() -> None:
    assert measure(np.zeros_like(MASK), hole=True) == 1.0
    assert measure(~MASK, hole=True) == pytest.approx(200 / 600)


def test_a_change_in_one_channel_counts_beyond_the_tolerance() -> None:
    edited = PHOTO.copy()
    edited[0, 0, 1] += TOLERANCE
    edited[1, 1, 2] -= TOLERANCE + 1
    assert np.argwhere(get_changed(PHOTO, edited)).tolist() == [[1, 1]]
    black, white = np.zeros_like(PHOTO), np.full_like(PHOTO, 255)
    assert get_changed(black, white).all() and get_changed(white, black).all()


def test_a_good_jpeg_changes_next_to_nothing() -> None:
    photo = data.astronaut()
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "JPEG", quality=95, subsampling=0)
    saved = np.asarray(Image.open(file))
    assert get_changed(photo, saved).mean() < 0.02
    assert get_changed(photo, saved, tolerance=0).mean() > 0.5
