"""The perturbations of the evaluation protocol against what they are defined as."""

from __future__ import annotations

import numpy as np
import pytest

from a2cli.config.augment import Length, Perturbation, parse_perturbation
from a2cli.errors import DataError
from a2cli.masks.augment import get_object_size
from a2cli.masks.morph import dilate_disc, erode_disc, shift
from a2cli.masks.perturb import perturb


def draw_box() -> np.ndarray:
    mask = np.zeros((100, 120), bool)
    mask[30:55, 20:84] = True  # 25 x 64: an object size of 40 px
    return mask


def change(text: str, seed: int = 0) -> tuple[np.ndarray, dict[str, float]]:
    return perturb(draw_box(), parse_perturbation(text), np.random.default_rng(seed))


@pytest.mark.parametrize(("text", "radius"), [("7", 7.0), ("7.5px", 7.5), ("10%", 4.0), ("0", 0.0)])
def test_dilation_and_erosion_are_discs_of_the_stated_radius(text: str, radius: float) -> None:
    assert get_object_size(draw_box()) == 40
    for kind, by_definition in (("dilate", dilate_disc), ("erode", erode_disc)):
        changed, done = change(f"{kind}:{text}")
        assert np.array_equal(changed, by_definition(draw_box(), radius))
        assert done == {"radius": pytest.approx(radius)}


@pytest.mark.parametrize(
    ("text", "way"), [("shift:12,-5", (12, -5)), ("shift:-10%,25%", (-4, 10)), ("shift:0,0", (0, 0))]
)
def test_a_shift_goes_the_stated_way(text: str, way: tuple[int, int]) -> None:
    changed, done = change(text)
    assert np.array_equal(changed, shift(draw_box(), *way)) and done == {"dx": way[0], "dy": way[1]}


def test_a_shift_by_a_distance_goes_a_drawn_way() -> None:
    ways = {tuple(change("shift:16", seed)[1].values()) for seed in range(12)}
    assert len(ways) > 8
    assert all(np.hypot(*way) == pytest.approx(16, abs=0.8) for way in ways)
    assert change("shift:16", 3)[1] == change("shift:16", 3)[1]


@pytest.mark.parametrize("text", ["erode:13", "shift:500,0", "shift:0,-500"])
def test_where_nothing_is_left_the_mask_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="nothing is left of the mask after"):
        change(text)


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(DataError, match="empty"):
        perturb(np.zeros((5, 5), bool), Perturbation("dilate", (Length(3),)), np.random.default_rng(0))
