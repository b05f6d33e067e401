"""The region a method chose against the true one."""

from __future__ import annotations

import numpy as np
import pytest

from a2cli.errors import DataError
from a2cli.metrics.region import get_region_values
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
