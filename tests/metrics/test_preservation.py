"""Pixels outside the region."""

from __future__ import annotations

import numpy as np
import pytest

from a2cli.errors import DataError
from a2cli.metrics.preservation import Preservation, compare_outside, get_preservation_values
from a2cli.metrics.shots import Shot

REGION = np.zeros((10, 10), bool)
REGION[2:5, 2:5] = True


@pytest.mark.parametrize("shape", [(10, 10), (10, 10, 3), (10, 10, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, bool])
def test_finds_every_changed_sample(shape: tuple[int, ...], dtype: type) -> None:
    source: np.ndarray = np.zeros(shape, dtype)
    edited = source.copy()
    edited[2:5, 2:5] = 1
    assert compare_outside(source, edited, REGION) == Preservation(0, 0.0, 0.0, 0.0)
    edited[9, 9] = 1  # every channel of one pixel, the first sample of another
    edited.reshape(100, -1)[7, 0] = 1
    samples = source.size // 100  # of a pixel
    mean = pytest.approx((samples + 1) / (91 * samples))
    assert compare_outside(source, edited, REGION) == Preservation(2, 2 / 91, mean, 1.0)


def test_differences_do_not_wrap() -> None:
    source = np.zeros((10, 10), np.uint8)
    edited = source.copy()
    edited[0, 0] = 255
    assert compare_outside(edited, source, REGION) == compare_outside(source, edited, REGION)
    assert compare_outside(edited, source, REGION) == Preservation(1, 1 / 91, 255 / 91, 255.0)


def test_a_region_of_everything_leaves_nothing_to_change() -> None:
    source, edited = np.zeros((4, 4), np.uint8), np.ones((4, 4), np.uint8)
    assert compare_outside(source, edited, np.ones((4, 4))) == Preservation(0, 0.0, 0.0, 0.0)


def test_pictures_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(DataError, match="cannot compare"):
        compare_outside(np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint16), np.ones((4, 4)))
    with pytest.raises(DataError, match="cannot compare"):
        compare_outside(np.zeros((4, 4)), np.zeros((4, 5)), np.ones((4, 4)))


def test_equals_the_loop_over_pixels() -> None:
    rng = np.random.default_rng(0)
    source, edited = rng.integers(0, 256, (2, 10, 10, 3), dtype=np.uint8)
    same = rng.random((10, 10)) < 0.5
    edited[same] = source[same]
    differences = [
        [abs(int(edited[y, x, c]) - int(source[y, x, c])) for c in range(3)] for y, x in np.argwhere(~REGION)
    ]
    assert get_preservation_values(Shot("a", edited, REGION, source=source)) == pytest.approx(
        {
            "outside_pixels": sum(any(pixel) for pixel in differences),
            "outside_changed": sum(any(pixel) for pixel in differences) / 91,
            "outside_mean": np.mean(differences),
            "outside_max": max(map(max, differences)),
        }
    )


def test_what_changes_under_the_mask_does_not_count() -> None:
    source = np.full((10, 10, 3), 50, np.uint8)
    edited = np.where(REGION[..., None], np.uint8(200), source)
    assert set(get_preservation_values(Shot("a", edited, REGION, source=source)).values()) == {0.0}
    inside_out = get_preservation_values(Shot("a", edited, ~REGION, source=source))
    assert inside_out == {
        "outside_pixels": 9.0,
        "outside_changed": 1.0,
        "outside_mean": 150.0,
        "outside_max": 150.0,
    }
