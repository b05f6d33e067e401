"""Bars and slopes: lengths and heights follow the means, whiskers the errors, every figure is there as text."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

from a2cli.pages.estimates import (
    SPAN,
    Estimate,
    Line,
    Place,
    bar_groups,
    draw_key,
    get_kinds,
    slope_chart,
)

PLACES = [Place("fine", 0), Place("rough", 1), Place("box", 2)]


def get_spans(chart: ET.Element, kind: str, across: bool) -> list[tuple[float, float]]:
    """From where to where the strokes of paths of a class go, along x or y."""
    spans = []
    for path in chart.iter("path"):
        if kind in (path.get("class") or "").split():
            for x, y, way, end in re.findall(r"M([\d.-]+) ([\d.-]+)([HV])([\d.-]+)", path.get("d") or ""):
                assert way == ("H" if across else "V")
                spans.append((float(x if across else y), float(end)))
    return spans


def get_titles(chart: ET.Element) -> list[str]:
    return [rect.findtext("title") or "" for rect in chart.iter("rect")]


def test_bars_start_at_zero_and_are_as_long_as_their_means() -> None:
    lines = [
        Line("ours", [Estimate(2.0, 0.1), Estimate(4.0), None]),
        Line("theirs", [Estimate(-1.0, 0.2), Estimate(1.0, 0.0), Estimate(0.0)], "m0", 1),
    ]
    chart = ET.fromstring(bar_groups(["a", "b", "c"], lines, title="T"))
    bars = get_spans(chart, "fill", across=True)
    assert len(bars) == 5
    lengths = [end - start for start, end in bars]
    unit = lengths[0] / 2
    assert lengths == pytest.approx([2 * unit, 4 * unit, -unit, unit, 0], abs=0.2)
    assert len({start for start, _ in bars}) == 1
    whiskers = get_spans(chart, "whisker", across=True)
    assert [end - start for start, end in whiskers] == pytest.approx(
        [2 * SPAN * 0.1 * unit, 2 * SPAN * 0.2 * unit], abs=0.3
    )
    assert get_titles(chart) == ["a: ours 2 ± 0.1, theirs −1 ± 0.2.", "b: ours 4, theirs 1.", "c: theirs 0."]
    texts = [text.text for text in chart.iter("text")]
    assert {"2.00", "4.00", "−1.00", "a", "b", "c"} <= set(texts)


def test_a_whisker_reaches_as_far_as_its_estimate_says() -> None:
    plain, wide = Estimate(2.0, 0.1), Estimate(2.0, 0.1, 12.7)
    assert (plain.high - 2, 2 - wide.low) == pytest.approx((SPAN * 0.1, 1.27))
    chart = ET.fromstring(bar_groups(["a"], [Line("one", [plain]), Line("two", [wide])], title="T"))
    lengths = [end - start for start, end in get_spans(chart, "whisker", across=True)]
    assert lengths[1] / lengths[0] == pytest.approx(12.7 / SPAN, rel=0.02)


def test_bars_stay_on_the_drawing() -> None:
    lines = [Line(f"m{i}", [Estimate(0.9 + i, 0.5), Estimate(-3.0, 1.0)]) for i in range(8)]
    chart = ET.fromstring(bar_groups(["a very long name of a category", "b"], lines, title="T", width=440))
    assert all(0 <= x <= 440 for span in get_spans(chart, "whisker", across=True) for x in span)
    assert "a very long name …" in [text.text for text in chart.iter("text")]
    assert any("a very long name of a category: m0" in title for title in get_titles(chart))


def test_a_slope_is_higher_where_the_mean_is_and_lifts_over_a_gap() -> None:
    ours, theirs = (
        [Estimate(3.0, 0.5), Estimate(2.0, 0.1), Estimate(2.5)],
        [Estimate(1.0), None, Estimate(0.5)],
    )
    lines = [Line("ours", ours), Line("theirs", theirs, "m0", 1)]
    chart = ET.fromstring(slope_chart(PLACES, lines, title="T"))
    courses = {
        group.get("class"): path.get("d") or ""
        for group in chart.iter("g")
        for path in group.iter("path")
        if path.get("class") == "course"
    }
    points = [tuple(map(float, pair)) for pair in re.findall(r"([\d.]+) ([\d.]+)", courses["e0"])]
    (x0, y0), (x1, y1), (x2, y2) = points
    assert x0 < x1 < x2 and y0 < y2 < y1 and (y1 - y2) * 2 == pytest.approx(y1 - y0, abs=0.3)
    assert courses["e0"].count("L") == 2 and courses["m0"].count("M") == 2 and "L" not in courses["m0"]
    (first, last), _ = get_spans(chart, "whisker", across=False)
    assert first - last == pytest.approx((y1 - y0) * 2 * SPAN * 0.5, abs=0.5)
    assert get_titles(chart)[1] == "rough: ours 2 ± 0.1."


def test_a_place_that_is_not_joined_stands_alone() -> None:
    places = [*PLACES[:2], Place("shift-32", 2, joined=False)]
    chart = slope_chart(places, [Line("ours", [Estimate(1.0)] * 3)], title="T")
    course = re.findall(r'class="course" d="(.*?)"', chart)[0]
    assert course.count("M") == 2 and course.count("L") == 1


def test_names_at_the_ends_do_not_lie_over_each_other() -> None:
    lines = [Line(f"method-{i}", [Estimate(1 + i / 1000)] * 3, f"e{i}", i) for i in range(8)]
    chart = ET.fromstring(slope_chart(PLACES, lines, title="T"))
    tags = sorted(float(text.get("y") or 0) for text in chart.iter("text") if text.get("class") == "tag")
    assert len(tags) == 8 and all(b - a >= 13.9 for a, b in pairwise(tags)) and tags[-1] < 300


def test_long_names_of_places_are_tilted() -> None:
    names = ["erode-64", "erode-32", "fine", "dilate-32", "dilate-64", "shift-32", "box", "rough"]
    places = [Place(name, i) for i, name in enumerate(names)]
    lines = [Line("ours", [Estimate(float(i)) for i in range(8)])]
    assert slope_chart(places, lines, title="T").count("rotate(") == 8
    assert "rotate(" not in slope_chart(PLACES, [Line("ours", [Estimate(1.0)] * 3)], title="T")


def test_nothing_to_draw_is_said_and_names_are_only_text() -> None:
    for chart in (
        bar_groups(["a"], [Line("x", [None])], title="T"),
        slope_chart(PLACES, [Line("x", [None] * 3)], title="T"),
        slope_chart([], [], title="T"),
    ):
        assert "no values" in [text.text for text in ET.fromstring(chart).iter("text")]
    evil = '<script>"&'
    for chart in (
        bar_groups([evil], [Line(evil, [Estimate(1.0)])], title=evil),
        slope_chart([Place(evil, 0)], [Line(evil, [Estimate(1.0)])], title=evil),
    ):
        ET.fromstring(chart)
        assert "<script" not in chart
    assert "<script" not in draw_key([Line(evil, [])])


def test_muted_series_are_grey_and_others_keep_their_colours() -> None:
    assert get_kinds([False, True, False, True]) == ["e0", "m0", "e1", "m1"]
    assert get_kinds([False] * 9)[-1] == "e0"
