"""Near hashes: those that share a slice, or all at once, are what brute force finds."""

from __future__ import annotations

import random

import pytest

from a2cli.data.hashes import HashIndex


@pytest.mark.parametrize("distance", [0, 2, 4, 7, 16])
def test_few_and_many_neighbours_are_all_found(distance: int) -> None:
    """Most hashes are alone; some are a few bits from one before them, some stand in one crowd."""
    draw = random.Random(distance)
    index, values = HashIndex(distance), [0]
    index.add(0)
    for number in range(1, 1500):
        near = draw.choice(values) if number % 3 == 0 else 0
        flipped = sum(1 << bit for bit in draw.sample(range(64), distance + number % 2))
        value = draw.getrandbits(64) if number % 3 == 1 else near ^ flipped
        found = [i for i, other in enumerate(values) if (value ^ other).bit_count() <= distance]
        assert index.find(value) == found
        assert index.add(value) == number
        values.append(value)
    assert index.find(0)[0] == 0
