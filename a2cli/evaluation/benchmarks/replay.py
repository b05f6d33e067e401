"""A listing gone through again and again: any record of it, with little in memory and little read twice.

Shards and tars give their records in order, pictures and all; keeping those of a whole data set would take gigabytes.
So an entry keeps its number, and its record is read anew. Several places are kept open, so that those who go through
the records in turn, one behind the other, do not send each other back to the start.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

_T = TypeVar("_T")
PLACES = 4  # held open at once


@dataclass
class _Place(Generic[_T]):
    items: Iterator[_T]
    number: int
    item: _T


class Replay(Generic[_T]):
    """Items of a listing that `open` starts anew, by number; every start must give the same items."""

    def __init__(self, open: Callable[[], Iterator[_T]]) -> None:
        self._open = open
        self._places: list[_Place[_T]] = []  # the one used last stands last
        self._lock = threading.Lock()

    def get(self, number: int) -> _T:
        """Item `number`, from 0. Raises `IndexError` past the end, and what the listing raises."""
        with self._lock:
            before = [place for place in self._places if place.number <= number]
            place = max(before, key=lambda place: place.number) if before else self._start()
            if place in self._places:
                self._places.remove(place)
            while place.number < number:
                place.item = _take(place.items)
                place.number += 1
            self._places = [*self._places[-(PLACES - 1) :], place]
            return place.item

    def _start(self) -> _Place[_T]:
        items = self._open()
        return _Place(items, 0, _take(items))


def _take(items: Iterator[_T]) -> _T:
    for item in items:
        return item
    raise IndexError("past the end")
