"""Items of a listing by number: the same as a list's, with few starts and few items held."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from a2cli.evaluation.benchmarks.replay import PLACES, Replay


class Listing:
    """Counts how often it is started and how many items it gave."""

    def __init__(self, size: int) -> None:
        self.size, self.starts, self.given = size, 0, 0

    def __call__(self) -> Iterator[int]:
        self.starts += 1
        for number in range(self.size):
            self.given += 1
            yield number * number


def test_any_order_gives_what_a_list_gives() -> None:
    listing = Listing(50)
    replay = Replay(listing)
    for number in np.random.default_rng(0).integers(0, 50, 300).tolist():
        assert replay.get(number) == number * number
    with pytest.raises(IndexError):
        replay.get(50)
    assert replay.get(49) == 49 * 49


def test_those_who_follow_one_another_never_start_anew() -> None:
    listing = Listing(200)
    replay = Replay(listing)
    for first in range(0, 200, 20):  # a batch is edited, then measured, then shown
        for _ in range(PLACES - 1):
            for number in range(first, first + 20):
                assert replay.get(number) == number * number
    assert listing.starts == PLACES - 1 and listing.given <= 200 * (PLACES - 1)


def test_the_same_item_again_reads_nothing() -> None:
    listing = Listing(9)
    replay = Replay(listing)
    assert [replay.get(5) for _ in range(4)] == [25] * 4
    assert (listing.starts, listing.given) == (1, 6)


def test_an_error_of_the_listing_is_passed_on_and_the_next_try_starts_anew() -> None:
    broken = [True]

    def open_listing() -> Iterator[int]:
        yield 0
        if broken[0]:
            raise OSError("gone")
        yield 1

    replay = Replay(open_listing)
    with pytest.raises(OSError, match="gone"):
        replay.get(1)
    broken[0] = False
    assert replay.get(1) == 1
