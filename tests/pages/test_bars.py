"""Bars and histograms: lengths and heights follow the counts, every figure is there as text."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
from parsed import Parsed

from a2cli.pages.bars import LABELLED, Bar, bar_list, histogram, show_share

EDGES = [0.0, 0.25, 0.5, 1.0, 4.0]


def draw(counts: dict[str, list[int]], **more: object) -> ET.Element:
    return ET.fromstring(histogram(EDGES, counts, title="Sizes", x_label="px", **more))  # type: ignore[arg-type]


def get_columns(chart: ET.Element) -> list[ET.Element]:
    """The columns, without the boxes that name the colours."""
    return [rect for rect in chart.iter("rect") if rect.find("title") is not None]


def get_labels(chart: ET.Element) -> list[str]:
    return [text.text or "" for text in chart.iter("text")]


def test_bars_are_as_long_as_their_counts() -> None:
    page = Parsed(bar_list([Bar("cat", 1500), Bar("dog", 375), Bar("", 0)], title="Kinds", words="Counted."))
    widths = [str(tag["style"]) for tag in page.get_tags("i")]
    assert widths == ["width:100.00%", "width:25.00%", "width:0.00%"]
    assert page.get_texts("span") == ["cat", "1,500", "80 %", "dog", "375", "20 %", "0", "0 %"]
    assert page.get_texts("b", "figcaption") == ["Kinds", "Counted."]
    assert not page.get_tags("details")


@pytest.mark.parametrize(
    ("count", "total", "shown"),
    [
        (5, 40, "12.5"),
        (1, 3, "33.3"),
        (4, 20, "20"),
        (1, 9999, "<0.1"),
        (9999, 10_000, "99.9"),
        (7, 7, "100"),
        (0, 0, "0"),
    ],
)
def test_a_share_is_told_to_a_tenth(count: int, total: int, shown: str) -> None:
    assert show_share(count, total) == shown


def test_a_bar_unfolds_into_its_parts() -> None:
    bars = [Bar("animals", 30, (Bar("cat", 20), Bar("dog", 10))), Bar("plants", 10)]
    page = Parsed(bar_list(bars, title="Categories"))
    assert len(page.get_tags("details")) == len(page.get_tags("summary")) == 1
    assert "open" not in page.get_tags("details")[0]
    assert page.get_texts("span")[3:9] == ["cat", "20", "50 %", "dog", "10", "25 %"]  # of all 40
    assert [tag["style"] for tag in page.get_tags("i")[1:3]] == ["width:100.00%", "width:50.00%"]


def test_many_bars_are_folded_and_counted() -> None:
    bars = [Bar(f"kind {i}", 100 - i) for i in range(30)]
    page = Parsed(bar_list(bars, title="Kinds", most=10, unit="pairs"))
    assert page.get_texts("summary") == ["20 more, 1,610 pairs"]
    assert len(page.get_tags("i")) == 30
    before = page.source.index("kind 9<"), page.source.index("<details>"), page.source.index("kind 10<")
    assert list(before) == sorted(before)


def test_no_bars_and_foreign_names() -> None:
    assert "None." in bar_list([], title="Nothing")
    assert "0 %" in bar_list([Bar("x", 0)], title="Zero")
    page = Parsed(bar_list([Bar("<b onclick='x'>\n", 1, (Bar("</ul>", 1),))], title="<i>", words="<u>"))
    assert page.get_texts("span")[0] == "<b onclick='x'>\\n" and not page.get_tags("u")


def test_columns_are_as_high_as_their_counts_and_stand_on_the_base() -> None:
    columns = get_columns(draw({"a": [2, 8, 0, 4, 0]}))
    heights = [float(rect.get("height", 0)) for rect in columns]
    assert heights[0] / heights[1] == pytest.approx(0.25, abs=0.002)
    assert heights[2] / heights[1] == pytest.approx(0.5, abs=0.002)
    feet = {round(float(rect.get("y", 0)) + float(rect.get("height", 0)), 1) for rect in columns}
    assert len(feet) == 1
    assert [rect.findtext("title") for rect in columns] == [
        "0 to 0.25: a 2",
        "0.25 to 0.5: a 8",
        "1 to 4: a 4",
    ]


def test_two_names_stand_side_by_side_and_are_told_apart() -> None:
    chart = draw({"reference": [0, 1, 2, 0, 0], "target": [0, 3, 0, 0, 5]})
    columns = get_columns(chart)
    assert [rect.get("class") for rect in columns] == ["column c0", "column c0", "column c1", "column c1"]
    spans = sorted((float(r.get("x", 0)), float(r.get("x", 0)) + float(r.get("width", 0))) for r in columns)
    assert all(end <= start + 0.11 for (_, end), (start, _) in pairwise(spans))
    assert {"reference", "target"} <= set(get_labels(chart))
    assert columns[-1].findtext("title") == "4 or more: target 5"
    assert "target: 0.25 to 0.5: 3, 4 or more: 5." in (chart.findtext("desc") or "")


def test_empty_ends_are_left_out_and_holes_are_not() -> None:
    chart = draw({"a": [0, 1, 0, 1, 0]})
    first, second = (float(rect.get("x", 0)) for rect in get_columns(chart))
    width = float(get_columns(chart)[0].get("width", 0))
    assert second - first == pytest.approx(2 * width / 0.86, abs=0.3)  # one empty bin between
    assert "0.25" in get_labels(chart) and "4" in get_labels(chart) and "0" in get_labels(chart)
    assert float(get_columns(chart)[0].get("x", 0)) < 60  # the first bin, 0 to 0.25, is gone


def test_few_columns_bear_their_counts_many_do_not() -> None:
    assert "1,234" in get_labels(draw({"a": [1234, 1, 1, 1, 1]}))
    wide = ET.fromstring(
        histogram(range(LABELLED + 1), {"a": [777] * (LABELLED + 1)}, title="T", x_label="x")
    )
    assert "777" not in get_labels(wide) and len(get_columns(wide)) == LABELLED + 1


def test_labels_do_not_touch_and_stay_inside() -> None:
    edges = [10.0**6 + i for i in range(40)]
    text = histogram(edges, {"a": [1] * 40}, title="T", x_label="x")
    places = [float(x) for x in re.findall(r'class="middle" x="([\d.]+)" y="210', text)]
    assert len(places) >= 2 and min(b - a for a, b in pairwise(places)) > 60
    for rect in get_columns(ET.fromstring(text)):
        assert float(rect.get("x", 0)) + float(rect.get("width", 0)) <= 420 and float(rect.get("y", 0)) >= 40


def test_no_values_are_said_to_be_none() -> None:
    chart = draw({"a": [0] * 5, "b": [0] * 5})
    assert chart.findtext("desc") == "No values." and "no values" in get_labels(chart)
