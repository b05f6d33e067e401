"""The region a method chose against the true one, and maps against it."""

from __future__ import annotations

import numpy as np
import pytest

from a2cli.errors import DataError
from a2cli.metrics.region import get_auc, get_region_values
from a2cli.metrics.shots import Shot

PHOTO = np.zeros((20, 30, 3), np.uint8)
EXACT = np.zeros((20, 30), bool)
EXACT[5:15, 5:15] = True


def measure(region: np.ndarray | None, exact: np.ndarray | None = EXACT) -> dict[str, float]:
    return get_region_values(Shot("a", PHOTO, EXACT, exact=exact, region=region))


def test_overlap_is_known() -> None:
    half = EXACT.copy()
    half[10:] = False
    assert measure(EXACT) == {"region_iou": 1.0} and measure(half) == {"region_iou": 0.5}
    assert measure(~EXACT) == {"region_iou": 0.0}
    assert measure(np.zeros_like(EXACT)) == {
        "region_iou": 0.0
    }  # nothing was edited, and something should have been


def test_nothing_is_said_of_a_region_that_is_not_told() -> None:
    assert measure(None) == {} and measure(EXACT, None) == {}


@pytest.mark.parametrize("region", [EXACT.astype(np.uint8), EXACT[:-1]])
def test_a_region_of_another_kind_is_refused(region: np.ndarray) -> None:
    with pytest.raises(DataError, match="a: the edited region is "):
        measure(region)


def test_area_under_the_curve() -> None:
    truth = np.array([[True, True, False, False]])
    assert get_auc(np.array([[4, 3, 2, 1.0]]), truth) == 1
    assert get_auc(np.array([[1, 2, 3, 4.0]]), truth) == 0
    assert get_auc(np.array([[2, 2, 2, 2.0]]), truth) == 0.5
    assert get_auc(np.array([[4, 2, 3, 1.0]]), truth) == 0.75
    assert np.isnan(get_auc(np.ones((1, 4)), np.ones((1, 4), bool)))
    rng = np.random.default_rng(0)
    values, marked = rng.integers(0, 5, 60), rng.random(60) < 0.4
    pairs = [(a > b) + 0.5 * (a == b) for a in values[marked] for b in values[~marked]]
    assert get_auc(values, marked) == pytest.approx(np.mean(pairs))
