"""What the page sends is read whole or refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from a2cli.errors import DataError
from a2cli.picking import marks as module
from a2cli.picking.marks import Box, Clear, Invert, Stroke, read_marks

STROKE: dict[str, Any] = {"kind": "stroke", "radius": 2.5, "erase": False, "points": [1, 2, 3.5, -4]}


def pack(*marks: object) -> bytes:
    return json.dumps({"marks": marks}).encode()


def test_all_kinds_in_order() -> None:
    box = {"kind": "box", "erase": True, "points": [9, 8, 1, 2]}
    stroke, clear, boxed, invert = read_marks(pack(STROKE, {"kind": "clear"}, box, {"kind": "invert"}))
    assert isinstance(stroke, Stroke) and (stroke.radius, stroke.erase) == (2.5, False)
    np.testing.assert_array_equal(stroke.points, [[1, 2], [3.5, -4]])
    assert (clear, boxed, invert) == (Clear(), Box((9, 8, 1, 2), True), Invert())
    assert read_marks(pack()) == ()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"marks": 3}',
        b'{"marks": [3]}',
        b'{"marks": [{}]}',
        b"[" * 100_000,
        pack({"kind": "lasso"}),
        pack({**STROKE, "points": []}),
        pack({**STROKE, "points": [1, 2, 3]}),
        pack({**STROKE, "points": [1, "2"]}),
        pack({**STROKE, "points": [True, 2]}),
        pack({**STROKE, "points": "12"}),
        pack({**STROKE, "points": [1, 1e9]}),
        pack({**STROKE, "radius": 0}),
        pack({**STROKE, "radius": None}),
        pack({**STROKE, "erase": 1}),
        pack({"kind": "stroke", "points": [1, 2], "erase": False}),
        pack({"kind": "box", "erase": False, "points": [1, 2, 3, 4, 5, 6]}),
        b'{"marks": [{"kind": "box", "erase": false, "points": [NaN, 0, 1, 1]}]}',
        b'{"marks": [{"kind": "box", "erase": false, "points": [1e999, 0, 1, 1]}]}',
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(DataError, match="the marks are damaged"):
        read_marks(data)


def test_more_points_than_a_hand_can_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_POINTS", 3)
    assert len(read_marks(pack(STROKE))) == 1
    with pytest.raises(DataError, match="more than 3 points"):
        read_marks(pack(STROKE, STROKE))
