"""What the page sends: strokes, boxes and the rest as vectors in photo pixels, read with care."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from a2cli.errors import DataError

MOST_POINTS = 1_000_000  # of all strokes together
FARTHEST = 1e6  # px from the photo's corner, larger than any side a picture may have
DAMAGED = "the marks are damaged"


@dataclass(frozen=True)
class Stroke:
    """A brush drawn along a line: every pixel whose centre is within `radius` px of it.

    points: (N, 2) float64, N >= 1, x and y; the first pixel's centre is (0.5, 0.5). `erase` takes away.
    """

    points: np.ndarray
    radius: float
    erase: bool


@dataclass(frozen=True)
class Box:
    """Two opposite corners x0, y0, x1, y1, any order, rounded to whole pixels; half open."""

    corners: tuple[float, float, float, float]
    erase: bool


@dataclass(frozen=True)
class Invert:
    """What was marked is not, what was not is."""


@dataclass(frozen=True)
class Clear:
    """Nothing is marked, whatever was before."""


Mark = Stroke | Box | Invert | Clear


def read_marks(data: bytes) -> tuple[Mark, ...]:
    """Read `{"marks": [...]}` in the order drawn.

    A mark has a `kind`: "stroke" and "box" with `points` [x, y, x, y, ...] and `erase`, a stroke with its `radius`;
    "invert"; "clear". Raises `DataError` for anything else and for numbers no photo has.
    """
    try:
        record = json.loads(data)
        marks = tuple(_read_mark(entry) for entry in record["marks"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{DAMAGED}: {error}") from error
    if sum(len(mark.points) for mark in marks if isinstance(mark, Stroke)) > MOST_POINTS:
        raise DataError(f"the strokes have more than {MOST_POINTS} points", hint="save in parts")
    return marks


def _read_mark(entry: dict[str, Any]) -> Mark:
    kind = entry["kind"]
    if kind == "invert":
        return Invert()
    if kind == "clear":
        return Clear()
    if kind not in ("stroke", "box"):
        raise ValueError(f"no mark is called {kind!r}")
    numbers, erase = _read_numbers(entry["points"]), entry["erase"]
    if not isinstance(erase, bool):
        raise ValueError("erase is neither true nor false")
    if kind == "box":
        if len(numbers) != 4:
            raise ValueError("a box has two corners")
        return Box((numbers[0], numbers[1], numbers[2], numbers[3]), erase)
    if not numbers or len(numbers) % 2:
        raise ValueError("a stroke has points of x and y")
    (radius,) = _read_numbers([entry["radius"]])
    if radius <= 0:
        raise ValueError("a brush has a radius above 0")
    return Stroke(np.array(numbers, dtype=np.float64).reshape(-1, 2), radius, erase)


def _read_numbers(values: Sequence[Any]) -> list[float]:
    if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
        raise ValueError("points are a list of numbers")
    numbers = [float(value) for value in values]
    if not all(math.isfinite(number) and abs(number) <= FARTHEST for number in numbers):
        raise ValueError("a point lies nowhere near the photo")
    return numbers
