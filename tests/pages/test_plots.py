"""Charts: arithmetic of axes and thinning, well-formed SVG, gaps, colours that can be read."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any

import cv2
import numpy as np
import pytest

from a2cli.pages.plots import (
    COLOURS,
    FEWEST_SMOOTHED,
    INVERSE_FROM,
    MOST_POINTS,
    STYLE,
    Band,
    Series,
    decimate,
    draw_scale,
    escape_text,
    get_log_ticks,
    get_ticks,
    heat_map,
    line_chart,
    show_number,
    show_percent,
    smooth,
)

NAN = float("nan")


def draw(y: list[float] | np.ndarray, **more: Any) -> ET.Element:
    """One line over the steps 10, 20, ... as parsed SVG."""
    values = np.asarray(y, float)
    line = Series("loss", 10.0 * np.arange(1, values.size + 1), values)
    return ET.fromstring(line_chart([line], title="Loss", x_label="step", **more))


def get_paths(chart: ET.Element, kind: str) -> list[str]:
    return [p.get("d", "") for p in chart.iter("path") if kind in p.get("class", "").split()]


def get_points(path: str) -> np.ndarray:
    """The corners of a path, (n, 2) in px."""
    return np.array([list(map(float, p.split())) for p in re.findall(r"[ML]([-\d.]+ [-\d.]+)", path)])


def get_texts(chart: ET.Element) -> list[str]:
    return [text.text or "" for text in chart.iter("text")]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1.0, "1"),
        (0.12345, "0.123"),
        (12000, "12,000"),
        (0.0005, "0.0005"),
        (0.00005, "5e-5"),
        (2.5e9, "2.5e9"),
        (-0.5, "−0.5"),
        (-2e-6, "−2e-6"),
        (NAN, "–"),
        (float("inf"), "–"),
    ],
)
def test_numbers_are_written_as_people_do(value: float, text: str) -> None:
    assert show_number(value) == text


def test_a_share_that_is_there_is_never_nothing() -> None:
    assert [show_percent(v) for v in (0.0, 0.001, 0.0051, 0.426, 1.0, NAN)] == [
        "0",
        "<1",
        "1",
        "43",
        "100",
        "–",
    ]


@pytest.mark.parametrize("low", [0.0, 0.0123, -3.2, 990.0])
@pytest.mark.parametrize("span", [1e-6, 0.3, 7.0, 6000.0])
def test_ticks_are_round_and_inside(low: float, span: float) -> None:
    ticks = get_ticks(low, low + span, 6)
    assert 2 <= len(ticks) <= 7
    assert all(low - 1e-9 <= tick <= low + span + 1e-9 for tick in ticks)
    step = np.diff(ticks).mean()
    assert f"{step:.0e}"[0] in "125" and np.allclose(np.diff(ticks), step)


def test_steps_are_whole() -> None:
    assert get_ticks(0, 2, 10, whole=True) == [0, 1, 2]


@pytest.mark.parametrize("high", [0.13, 1.0, 30.0, 1e9])
def test_logarithmic_ticks_are_round_and_several(high: float) -> None:
    ticks = get_log_ticks(0.012, high, 5)
    assert 2 <= len(ticks) <= 7 and all(0.012 <= tick <= high for tick in ticks)
    assert all(f"{tick:.0e}"[0] in "125" for tick in ticks)


def test_the_average_is_the_written_out_sum() -> None:
    values = np.random.default_rng(0).random(400)
    values[[7, 200]] = NAN
    decay = 0.5 ** (1 / 4)  # a half-life of 1 %
    for i in (0, 8, 100, 399):
        seen = np.flatnonzero(np.isfinite(values[: i + 1]))
        # Weights fall with the values seen, not with the places: what is missing does not age the rest.
        weights = decay ** np.arange(seen.size)[::-1]
        assert smooth(values)[i] == pytest.approx(np.average(values[seen], weights=weights))
    assert np.isnan(smooth(values)[[7, 200]]).all()


def test_thinning_keeps_ends_extremes_and_gaps() -> None:
    rng = np.random.default_rng(1)
    x, y = np.arange(20_000.0), rng.normal(size=20_000)
    y[5_000:5_400] = NAN
    y[12_345], y[777] = 50, -50
    thin_x, thin_y = decimate(x, y)
    assert thin_x.size <= MOST_POINTS and (np.diff(thin_x) > 0).all()
    assert (thin_x[0], thin_x[-1]) == (0, 19_999)
    assert {12_345, 777} <= set(thin_x.tolist())
    inside = np.isnan(thin_y[(thin_x >= 5_000) & (thin_x < 5_400)])
    assert inside.all() and inside.size


def test_few_points_are_not_thinned() -> None:
    x = np.arange(MOST_POINTS, dtype=float)
    assert decimate(x, x)[0].size == MOST_POINTS


def test_the_line_stands_where_its_values_are() -> None:
    points = get_points(get_paths(draw([1.0, 3.0, 2.0]), "line")[0])
    x, y = points.T
    assert (np.diff(x) > 0).all() and np.diff(x)[0] == pytest.approx(np.diff(x)[1], abs=0.2)
    assert y[1] < y[2] < y[0]  # svg's y points down
    assert y[0] - y[1] == pytest.approx(2 * (y[0] - y[2]), abs=0.2)


def test_a_gap_lifts_the_pen_and_a_lonely_value_is_a_dot() -> None:
    path = get_paths(draw([1, 2, NAN, 3, NAN, 4, 5]), "line")[0]
    assert [part.count("L") for part in path.split("M")[1:]] == [1, 0, 1]
    assert path.count("h0") == 1
    assert "nan" not in path


def test_many_values_are_faint_below_their_average() -> None:
    noise = np.random.default_rng(2).normal(5, 1, 200)
    chart = draw(noise)
    (raw,), strong = get_paths(chart, "raw"), get_paths(chart, "line")[1]
    assert np.ptp(get_points(strong)[50:, 1]) < 0.6 * np.ptp(get_points(raw)[50:, 1])
    assert not get_paths(draw(noise, smoothed=False), "raw")
    assert not get_paths(draw(noise[: FEWEST_SMOOTHED - 1]), "raw")
    assert len(get_paths(draw(noise[: FEWEST_SMOOTHED - 1]), "dots")) == 1


@pytest.mark.parametrize(
    ("y", "logarithmic"), [([1, 0.01], True), ([1, 0.2], False), ([1, 0.0], False), ([1, -1], False)]
)
def test_the_scale_is_logarithmic_where_that_helps(y: list[float], logarithmic: bool) -> None:
    chart = draw(y, log=True)
    assert (chart.get("aria-label") == "Loss (log scale)") is logarithmic
    plain = draw(y)
    assert plain.get("aria-label") == "Loss"


def test_decades_are_equally_far_apart() -> None:
    _, y = get_points(get_paths(draw([1, 0.1, 0.01], log=True), "line")[0]).T
    assert y[1] - y[0] == pytest.approx(y[2] - y[1], abs=0.2)


def test_bands_are_shaded_and_named_where_there_is_room() -> None:
    bands = [Band(0, 600, "fine"), Band(600, 990, "rough"), Band(990, 1000, "box")]
    chart = draw(np.ones(100), bands=bands)
    texts = get_texts(chart)
    assert "fine" in texts and "rough" in texts and "box" not in texts
    fills = [r for r in chart.iter("rect") if r.get("class") == "band"]
    assert float(fills[0].get("width", 0)) == pytest.approx(0.6 * (960 - 116), abs=0.2)
    assert len(get_paths(chart, "border")) == 2


def test_the_axis_reaches_the_end_of_the_run() -> None:
    last = get_points(get_paths(draw([1.0, 2.0], x_end=40), "line")[0])[-1, 0]
    assert last == pytest.approx(58 + 0.5 * (960 - 116), abs=0.2)


@pytest.mark.parametrize("y", [[], [NAN, NAN], [1.0], [0.0, 0.0], [1e-30, 3e90], [-5, 5]])
def test_odd_series_are_drawn_without_complaint(y: list[float]) -> None:
    with np.errstate(all="raise"):
        chart = draw(y, log=True)
    assert "nan" not in ET.tostring(chart, "unicode") and "inf" not in ET.tostring(chart, "unicode")
    assert ("no values" in get_texts(chart)) is (not np.isfinite(np.array(y, float)).any())


def test_several_lines_have_names_and_dashes_of_their_own() -> None:
    x = np.arange(5.0)
    chart = ET.fromstring(
        line_chart([Series("data", x, x), Series("model", x, x + 1)], title="Time", x_label="step")
    )
    assert {"data", "model"} <= set(get_texts(chart))
    assert get_paths(chart, "s0") and get_paths(chart, "s1")
    assert re.search(r"\.s1 \{[^}]*stroke-dasharray", STYLE)
    assert any((t.text or "") == "step 2: data 2: model 3" for t in chart.iter("title"))


def test_values_are_told_under_the_pointer_and_aloud() -> None:
    chart = draw([0.5, NAN, 0.25])
    readings = [rect.findtext("title") for rect in chart.iter("rect") if rect.get("class") == "hit"]
    assert readings == ["step 10: loss 0.5", "step 20", "step 30: loss 0.25"]
    assert chart.get("role") == "img" and chart[0].tag == "title" and chart[1].tag == "desc"
    assert "2 values between 0.25 and 0.5, at the end 0.25" in (chart[1].text or "")


def test_a_thousand_steps_share_the_readings() -> None:
    chart = draw(np.ones(20_000))
    assert sum(rect.get("class") == "hit" for rect in chart.iter("rect")) <= 96


def test_heat_is_the_share_and_its_figure_stands_in_it() -> None:
    values = np.array([[0.0, 0.25], [1.0, NAN]])
    chart = ET.fromstring(heat_map(["cats", "dogs"], ["0", "1"], values, title="Use", x_label="expert"))
    cells = [rect for rect in chart.iter("rect") if rect.get("class") == "heat"]
    assert [float(cell.get("fill-opacity", -1)) for cell in cells] == [0, 0.25, 1, 0]
    assert [cell.findtext("title") for cell in cells] == [
        "cats, 0: 0 %",
        "cats, 1: 25 %",
        "dogs, 0: 100 %",
        "dogs, 1: – %",
    ]
    assert get_texts(chart)[-4:] == ["0", "25", "100", "–"]
    assert "cats: 0, 25. dogs: 100, –." in (chart.findtext("desc") or "")


def test_small_cells_have_no_figures_and_fewer_names() -> None:
    names = [f"single {i}" for i in range(57)]
    values = np.full((57, 8), 0.5)
    chart = ET.fromstring(
        heat_map(names, list("01234567"), values, title="animals", x_label="expert", cell=(18, 7))
    )
    texts = get_texts(chart)
    assert "50" not in texts and texts.count("single 0") == 1 and "single 1" not in texts
    ys = [float(t.get("y", 0)) for t in chart.iter("text") if (t.text or "").startswith("single")]
    assert min(np.diff(ys)) >= 14


def test_a_foreign_name_is_text() -> None:
    name = "<b>\"&'\x00\udcff"
    assert escape_text(name) == "&lt;b&gt;&quot;&amp;&#x27;\\x00\\udcff"
    line = Series(name, np.arange(2.0), np.arange(2.0))
    for svg in (
        line_chart([line, line], title=name, x_label=name, bands=[Band(0, 1, name)]),
        heat_map([name], [name], np.ones((1, 1)), title=name, x_label=name),
        draw_scale(),
    ):
        chart = ET.fromstring(svg)
        assert chart.find(".//b") is None
        svg.encode()


def get_colours(theme: str) -> dict[str, np.ndarray]:
    light, dark = STYLE.split("@media", 1)
    found = dict(re.findall(r"--(\w+): (#\w+);", light))
    if theme == "dark":
        found |= dict(re.findall(r"--(\w+): (#\w+);", dark))
    full = {k: v if len(v) == 7 else "#" + "".join(2 * c for c in v[1:]) for k, v in found.items()}
    return {k: np.array([int(v[i : i + 2], 16) for i in (1, 3, 5)]) / 255 for k, v in full.items()}


def get_contrast(a: np.ndarray, b: np.ndarray) -> float:
    """Contrast ratio of two sRGB colours (WCAG 2.2)."""

    def luminance(c: np.ndarray) -> float:
        return float(
            np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]
        )

    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_figure_on_every_heat_can_be_read(theme: str) -> None:
    c = get_colours(theme)
    for strength in np.linspace(0, 1, 101):
        ground = c["ground"] * (1 - strength) + c["heat"] * strength
        ink = c["inverse" if strength >= INVERSE_FROM else "figure"]
        assert get_contrast(ground, ink) >= 4.5, strength


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_and_lines_stand_out_in_both_themes(theme: str) -> None:
    c = get_colours(theme)
    for ground in (c["ground"], c["tint"]):
        assert get_contrast(c["ink"], ground) >= 7 and get_contrast(c["soft"], ground) >= 4.5
        for i in range(COLOURS):
            assert get_contrast(c[f"s{i}"], ground) >= 3  # WCAG 2.2, 1.4.11


# Linear RGB as seen with each complete dichromacy (Machado, Oliveira and Fernandes 2009, table 1, severity 1.0).
SEEN = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.3039],
    ],
}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("sight", SEEN)
def test_lines_stay_apart_for_colour_blind_people(theme: str, sight: str) -> None:
    colours = get_colours(theme)
    c = np.array([colours[f"s{i}"] for i in range(COLOURS)])
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ np.transpose(SEEN[sight])
    seen = np.clip(linear, 0, 1).astype(np.float32)
    lab = cv2.cvtColor(seen[None], cv2.COLOR_LRGB2LAB)[0]
    distances = np.linalg.norm(lab[:, None] - lab, axis=-1)[np.triu_indices(COLOURS, 1)]
    assert distances.min() > 30  # CIELAB; 2 is just noticeable
