"""Which pairs stay: near pictures found as by brute force, quotas kept, the best first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from a2cli.building.config import BalanceConfig, DedupeConfig
from a2cli.building.select import Kept, find_duplicates, find_surplus, get_shortage
from a2cli.data.hashes import BITS, HashIndex, get_hash
from a2cli.errors import ConfigError


def make_kept(name: str, ref: int = 0, tar: int = 0, score: float = 0.5, category: str = "animals") -> Kept:
    return Kept(name, category, "dog" if category == "animals" else "", ref, tar, score)


def flip_bits(value: int, count: int, rng: np.random.Generator) -> int:
    for bit in rng.choice(BITS, count, replace=False):
        value ^= 1 << int(bit)
    return value


@pytest.mark.parametrize("distance", [0, 1, 4, 10, 31])
def test_the_index_finds_what_brute_force_finds(distance: int) -> None:
    rng = np.random.default_rng(distance)
    centres = [int(rng.integers(0, 1 << 63)) for _ in range(20)]
    values = [flip_bits(centres[i % 20], int(rng.integers(0, 14)), rng) for i in range(300)]
    index = HashIndex(distance)
    for number, value in enumerate(values):
        naive = [i for i, other in enumerate(values[:number]) if bin(value ^ other).count("1") <= distance]
        assert index.find(value) == naive
        assert index.add(value) == number
    with pytest.raises(ConfigError, match="distance of 32 bits"):
        HashIndex(32)


def test_light_and_size_hardly_change_a_hash_and_pictures_do() -> None:
    import cv2
    from skimage import data

    cat, coffee = data.chelsea(), data.coffee()
    smaller = cv2.resize(cat, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    darker = np.rint(cat * 0.85).astype(np.uint8)
    assert max((get_hash(cat) ^ get_hash(other)).bit_count() for other in (smaller, darker)) <= 4
    assert (get_hash(cat) ^ get_hash(coffee)).bit_count() > 16


def test_a_pair_is_a_duplicate_only_if_both_of_its_pictures_came() -> None:
    one, two, three = 0x0F0F_0F0F_0F0F_0F0F, 0x00FF_00FF_00FF_00FF, 0x1234_5678_9ABC_DEF0
    pairs = [
        make_kept("first", one, two),
        make_kept("same", one ^ 1, two ^ 2),
        make_kept("turned", two, one),
        make_kept("worn by another", one, three),
        make_kept("within one pair", three, three),
    ]
    twins = find_duplicates(pairs, DedupeConfig(distance=4))
    assert [(twin.id, twin.detail) for twin in twins] == [
        ("same", "shows what first shows"),
        ("turned", "shows what first shows"),
    ]
    assert {twin.reason for twin in twins} == {"duplicate"}
    assert find_duplicates(pairs, DedupeConfig(distance=None)) == []


def test_quotas_keep_the_best_and_subcategories_are_cut_first() -> None:
    pairs = [make_kept(f"dog {i}", score=i / 10) for i in range(5)]
    pairs += [replace(make_kept(f"cat {i}", score=0.05), subcategory="cat") for i in range(2)]
    pairs += [make_kept(f"rose {i}", category="plants") for i in range(2)]
    out = find_surplus(pairs, BalanceConfig(per_category=3, per_subcategory=2))
    assert {r.id for r in out if r.reason == "over the quota of a subcategory"} == {"dog 0", "dog 1", "dog 2"}
    assert [r.id for r in out if r.reason == "over the quota of a category"] == ["cat 1"]
    assert find_surplus(pairs, BalanceConfig()) == []
    assert get_shortage(pairs, 3, ("animals", "plants", "vehicles")) == {"plants": 1, "vehicles": 3}
