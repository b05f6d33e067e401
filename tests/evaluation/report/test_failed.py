"""Failures in words: counts a reader understands, and the first of each method by name."""

from __future__ import annotations

from dataclasses import replace

import pytest
from parsed import Parsed
from scored import make_rows

from a2cli.evaluation.editing.edits import OTHERWISE
from a2cli.evaluation.report.failed import MOST, SHOWN, build_failed, choose_failed, tell_failures


@pytest.mark.parametrize(
    ("failures", "told"),
    [
        ({}, []),
        ({"edit: DataError": 0}, []),
        ({"edit: DataError": 2, "find: no edit": 1}, ["2 edits could not be read", "1 edit is not there"]),
        ({"find: no edit": 2, "edit: no edit": 3}, ["5 edits are not there"]),
        (
            {"read: cannot be read": 1, "read: no id": 1},
            ["1 record could not be read", "1 record could not be read (no id)"],
        ),
        ({"edit: out of memory": 1200}, ["1,200 edits could not be made (out of memory)"]),
        ({"measure: lpips_alex": 1}, ["1 edit could not be measured by lpips_alex"]),
        ({f"find: {OTHERWISE}": 1}, ["1 edit was made with other settings"]),
        ({"unheard of: x": 3}, ["3 unheard of: x"]),
        ({"edit": 1}, ["1 edit could not be made"]),
    ],
)
def test_counts_are_told_in_words(failures: dict[str, int], told: list[str]) -> None:
    assert tell_failures(failures) == told


def test_methods_and_masks_take_turns() -> None:
    rows = [replace(row, error=f"why {i}") for i, row in enumerate(make_rows(n=4)) if i != 1]
    chosen = choose_failed([*rows, make_rows(n=1)[0]], 5)
    assert [(row.method, row.protocol) for row in chosen] == [
        ("nano", "fine"),
        ("nano", "rough"),
        ("paste", "rough"),
        ("paste", "fine"),
        ("nano", "fine"),
    ]
    assert chosen[0].id == "r000" and chosen[4].id == "r001"


def test_some_are_named_at_once_the_next_folded_the_rest_counted() -> None:
    rows = [replace(row, error=f"<why {i}>") for i, row in enumerate(make_rows(("nano",), ("fine",), n=30))]
    page = Parsed(build_failed({"edit: DataError": 30}, rows))
    assert page.get_texts("b") == [f"r{i:03d}" for i in range(SHOWN)]
    assert page.get_texts("i") == ["nano · fine"] * SHOWN
    assert page.get_texts("span") == [f"<why {i}>" for i in range(SHOWN)]
    assert page.get_texts("summary") == ["24 more"]
    assert [text for text in page.get_texts("td") if text.startswith("<")] == [
        f"<why {i}>" for i in range(SHOWN, MOST)
    ]
    assert "and 10 more" in page.get_texts("th")
    assert page.get_texts("p")[0].startswith("30 edits could not be read. Means leave them out")


def test_nothing_failed_is_nothing_to_tell() -> None:
    rows = make_rows(n=1)
    assert build_failed({}, rows) == ""
    few = build_failed({}, [replace(rows[0], error="gone")])
    assert Parsed(few).get_texts("span") == ["gone"] and "<details" not in few
    assert "<li>" not in build_failed({"read: no id": 1}, rows)
