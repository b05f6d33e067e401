"""Pixels outside the region."""

from __future__ import annotations

import numpy as np
import pytest

from a2cli.errors import DataError
from a2cli.metrics.preservation import Preservation, compare_outside

REGION = np.zeros((10, 10), bool)
REGION[2:5, 2:5] = True


@pytest.mark.parametrize("shape", [(10, 10), (10, 10, 3), (10, 10, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, bool])
def test_finds_every_changed_sample(shape: tuple[int, ...], dtype: type) -> None:
    source: np.ndarray = np.zeros(shape, dtype)
    edited = source.copy()
    edited[2:5, 2:5] = 1
    assert compare_outside(source, edited, REGION) == Preservation(0, 0.0, 0.0)
    edited[9, 9] = 1  # every channel of one pixel, the first sample of another
    edited.reshape(100, -1)[7, 0] = 1
    assert compare_outside(source, edited, REGION) == Preservation(2, 2 / 91, 1.0)


def test_differences_do_not_wrap() -> None:
    source = np.zeros((10, 10), np.uint8)
    edited = source.copy()
    edited[0, 0] = 255
    assert compare_outside(edited, source, REGION).largest == 255.0


def test_a_region_of_everything_leaves_nothing_to_change() -> None:
    source, edited = np.zeros((4, 4), np.uint8), np.ones((4, 4), np.uint8)
    assert compare_outside(source, edited, np.ones((4, 4))) == Preservation(0, 0.0, 0.0)


def test_pictures_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(DataError, match="cannot compare"):
        compare_outside(np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint16), np.ones((4, 4)))
    with pytest.raises(DataError, match="cannot compare"):
        compare_outside(np.zeros((4, 4)), np.zeros((4, 5)), np.ones((4, 4)))
