"""Marks become exactly the pixels they cover."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_raster import draw_plainly

from a2cli.picking import raster
from a2cli.picking.marks import Box, Clear, Invert, Mark, Stroke
from a2cli.picking.raster import draw_marks

SIZE = (23, 31)
place = st.floats(-12, 45).map(lambda value: round(value, 2)) | st.integers(-8, 40).map(float)
lines = st.lists(st.tuples(place, place), min_size=1, max_size=6).map(
    lambda points: np.array(points, dtype=float)
)
radii = st.floats(0.1, 25).map(lambda value: round(value, 2) or 0.1)
strokes = st.builds(Stroke, lines, radii, st.booleans())
boxes = st.builds(Box, st.tuples(place, place, place, place), st.booleans())
every = st.one_of(strokes, strokes, boxes, st.just(Invert()), st.just(Clear()))


@settings(max_examples=60, deadline=None)
@given(st.lists(every, max_size=6), st.integers(0, 255))
def test_equal_to_a_distance_a_pixel(marks: list[Mark], grey: int) -> None:
    base = np.full(SIZE, grey, dtype=np.uint8)
    base[:5, :5] = 255
    kept = base.copy()
    drawn = draw_marks(base, marks)
    plain, certain = draw_plainly(base, marks)
    assert drawn.dtype == np.uint8 and (base == kept).all()
    np.testing.assert_array_equal(drawn[certain], plain[certain])


def test_long_strokes_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """However the work is divided, and however often a pixel is covered."""
    angles = np.linspace(0, 40, 300)
    points = np.stack([50 + angles * np.cos(angles), 40 + angles * np.sin(angles)], axis=1)
    marks = [Stroke(points, 3.3, False), Stroke(points[::-1] * 0.8, 1.2, False), Stroke(points[:50], 9, True)]
    base = np.zeros((80, 100), dtype=np.uint8)
    whole = draw_marks(base, marks)
    plain, certain = draw_plainly(base, marks)
    assert certain.mean() > 0.99 and 0.1 < (whole > 0).mean() < 0.9
    np.testing.assert_array_equal(whole[certain], plain[certain])
    monkeypatch.setattr(raster, "MOST_ROWS", 37)
    monkeypatch.setattr(raster, "MOST_SEGMENTS", 11)
    np.testing.assert_array_equal(draw_marks(base, marks), whole)


def test_a_dot_of_the_finest_brush_marks_a_pixel() -> None:
    for x, y in ((5.0, 5.0), (5.5, 5.5), (5.25, 5.0), (0.0, 0.0), (31.0, 23.0)):
        assert draw_marks(np.zeros(SIZE, np.uint8), [Stroke(np.array([[x, y]]), 0.75, False)]).any()


def test_outside_the_photo_nothing_is_drawn() -> None:
    far: list[Mark] = [Stroke(np.array([[-50.0, 5.0], [-40.0, 90.0]]), 20, False), Box((40, 0, 60, 9), False)]
    assert not draw_marks(np.zeros(SIZE, np.uint8), far).any()
