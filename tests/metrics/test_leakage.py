"""What an edit changed outside the region that had to change: known amounts in known places."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from a2cli.masks.morph import dilate_disc
from a2cli.metrics.leakage import EDGE, get_leakage_values
from a2cli.metrics.measure import Weights
from a2cli.metrics.opening import open_measures
from a2cli.metrics.pixel import get_errors
from a2cli.metrics.shots import Shot
from a2cli.metrics.table import choose_metrics

SIZE = (40, 60)
SOURCE = np.random.default_rng(0).integers(60, 190, (*SIZE, 3), np.uint8)
EXACT = np.zeros(SIZE, bool)
EXACT[12:22, 20:36] = True  # 160 px
GIVEN = np.zeros(SIZE, bool)
GIVEN[8:28, 14:44] = True
OUTSIDE = ~dilate_disc(EXACT, EDGE)


def measure(edited: np.ndarray, **changes: Any) -> dict[str, float]:
    known: dict[str, Any] = {"mask": GIVEN, "source": SOURCE, "exact": EXACT}
    return get_leakage_values(Shot("a", edited, **(known | changes)))


def paint(where: np.ndarray, by: int) -> np.ndarray:
    return np.where(where[..., None], SOURCE + np.uint8(by), SOURCE)


def test_the_source_itself_leaks_nothing() -> None:
    names = ("changed_outside", "leak")
    assert measure(SOURCE) == {f"{name}{part}": 0.0 for part in ("", "@crop", "@mask") for name in names}


def test_what_changes_in_the_true_region_is_no_leak() -> None:
    assert set(measure(paint(~OUTSIDE, 40)).values()) == {0.0}


def test_everything_painted_is_the_full_value() -> None:
    found = measure(paint(np.ones(SIZE, bool), 40))
    assert found["changed_outside"] == pytest.approx(OUTSIDE.sum() / 160)
    assert found["changed_outside@mask"] == pytest.approx((OUTSIDE & GIVEN).sum() / 160)
    assert found["changed_outside@crop"] == found["changed_outside@mask"]  # the mask is its own box
    assert found["leak"] == found["leak@mask"] == found["leak@crop"] == 40.0


def test_a_given_mask_painted_whole_leaks_all_of_it_and_nothing_else() -> None:
    found = measure(paint(GIVEN, 40))
    assert found["changed_outside"] == found["changed_outside@mask"] == (GIVEN & OUTSIDE).sum() / 160
    assert found["leak"] == pytest.approx(40 * (GIVEN & OUTSIDE).sum() / OUTSIDE.sum())
    ring = np.zeros(SIZE, bool)
    ring[0] = True
    beyond = measure(paint(ring, 40))
    assert beyond["changed_outside"] == 60 / 160 and beyond["changed_outside@mask"] == 0


@pytest.mark.parametrize(("by", "changed"), [(8, 0.0), (9, (GIVEN & OUTSIDE).sum() / 160)])
def test_small_changes_count_for_the_mean_alone(by: int, changed: float) -> None:
    found = measure(paint(GIVEN, by))
    assert found["changed_outside"] == changed and found["leak@mask"] == by


def test_one_channel_is_enough() -> None:
    edited = SOURCE.copy()
    edited[GIVEN, 2] += 30
    assert measure(edited)["changed_outside@mask"] == (GIVEN & OUTSIDE).sum() / 160
    assert measure(edited)["leak@mask"] == 10.0


def test_a_part_that_the_true_region_fills_has_no_value() -> None:
    assert measure(SOURCE, mask=EXACT).keys() == {"changed_outside", "leak"}
    assert measure(SOURCE, exact=np.ones(SIZE, bool), mask=np.ones(SIZE, bool)) == {}
    assert measure(SOURCE, source=None) == {} and measure(SOURCE, exact=None) == {}


def test_the_group_opens_without_weights() -> None:
    opened = open_measures(choose_metrics(["region"]), Weights(), "cpu")
    assert [info.name for one in opened.measures for info in one.infos] == [
        "changed_outside",
        "leak",
        "l1_inside",
        "region_iou",
    ]
    shot = Shot("a", SOURCE, GIVEN, SOURCE, exact=EXACT, region=GIVEN)
    values = {name: value for one in opened.measures for name, value in one.measure([shot])[0].items()}
    assert values["region_iou"] == pytest.approx(160 / 600) and values["leak@mask"] == 0


def test_the_error_inside_is_that_of_the_true_region_alone() -> None:
    """Leaving the ground under a loose mask alone lowers l1@mask, and must not lower this."""
    target = paint(EXACT, 50)
    worse = paint(EXACT, 20)
    filled = np.where((GIVEN & ~EXACT)[..., None], np.uint8(0), worse)
    inside = [measure(edit, target=target)["l1_inside"] for edit in (target, worse, filled)]
    assert inside == [0.0, pytest.approx(30 / 255), inside[1]]
    over_mask = [get_errors(edit, target, GIVEN, "mask")[0] for edit in (worse, filled)]
    assert over_mask[0] < 0.5 * over_mask[1]
    assert measure(worse, target=target, source=None).keys() == {"l1_inside"}
