"""The words of `a2 augment-mask`: lengths, ranges, perturbations, and what contradicts itself."""

from __future__ import annotations

from typing import Any

import pytest

from a2cli.config.augment import (
    AugmentConfig,
    Length,
    Perturbation,
    Span,
    build_augment_config,
    parse_changes,
    parse_perturbation,
    parse_span,
)
from a2cli.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("12", Span(12, 12, False)),
        (" 12.5px ", Span(12.5, 12.5, False)),
        ("8%", Span(0.08, 0.08, True)),
        ("4%..12%", Span(0.04, 0.12, True)),
        ("4..12%", Span(0.04, 0.12, True)),
        ("4px..12", Span(4, 12, False)),
        (".5..1e1", Span(0.5, 10, False)),
        ("0", Span(0, 0, False)),
    ],
)
def test_a_length_or_a_range(text: str, span: Span) -> None:
    found = parse_span(text, "--radius")
    assert found is not None and found.share == span.share
    assert (found.low, found.high) == pytest.approx((span.low, span.high))


@pytest.mark.parametrize("frequency", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "nan",
        "inf",
        "-3",
        "-3%",
        "x",
        "4%..12px",
        "12..4",
        "1..2..3",
        "..",
        "4..",
        "1e9",
        "5 %%",
        "١٢",
        "3cm",
    ],
)
def test_what_is_no_strength_is_refused_by_name(text: str, frequency: bool) -> None:
    with pytest.raises(ConfigError, match="--thing") as caught:
        parse_span(text, "--thing", frequency=frequency)
    assert caught.value.hint and "\n" not in str(caught.value)


def test_a_frequency_has_units_of_its_own() -> None:
    assert parse_span("0.02", "--scale", frequency=True) == Span(0.02, 0.02, False)
    assert parse_span("0.02/px", "--scale", frequency=True) == Span(0.02, 0.02, False)
    assert parse_span("150%..400%", "--scale", frequency=True) == Span(1.5, 4.0, True)
    for text, message in (("0.02px", "not understood"), ("3", "periods a pixel")):
        with pytest.raises(ConfigError, match=message):
            parse_span(text, "--scale", frequency=True)
    with pytest.raises(ConfigError, match=r"--radius '0\.1/px' is not understood"):
        parse_span("0.1/px", "--radius")


def test_relative_to_an_object_both_forms_are_alike() -> None:
    assert Span(12, 24, False).get_shares(400) == pytest.approx((0.03, 0.06))
    assert Span(0.03, 0.06, True).get_shares(400) == (0.03, 0.06)
    assert Span(0.005, 0.01, False).get_shares(400, frequency=True) == pytest.approx((2, 4))
    assert Span(2, 4, True).get_shares(400, frequency=True) == (2, 4)
    assert Length(0.1, share=True).get_pixels(400) == 40 and Length(7).get_pixels(400) == 7


@pytest.mark.parametrize(
    ("text", "change", "name"),
    [
        ("erode:16", Perturbation("erode", (Length(16),)), "erode-16"),
        ("dilate: 2.5px", Perturbation("dilate", (Length(2.5),)), "dilate-2.5"),
        ("erode:8%", Perturbation("erode", (Length(0.08, True),)), "erode-8pct"),
        ("shift:32", Perturbation("shift", (Length(32),)), "shift-32"),
        ("shift:-8,4%", Perturbation("shift", (Length(-8), Length(0.04, True))), "shift--8_4pct"),
    ],
)
def test_a_perturbation_and_its_name(text: str, change: Perturbation, name: str) -> None:
    assert parse_perturbation(text) == change
    assert change.name == name and change.is_drawn == (text == "shift:32")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "erode",
        "erode:",
        "erode:x",
        "erode:-4",
        "erode:1,2",
        "shift:1,2,3",
        "shift:nan",
        "shift:0.1/px",
        "erode:4..8",
    ],
)
def test_what_is_no_perturbation_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--perturb"):
        parse_perturbation(text)


def test_an_unknown_perturbation_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError, match=r"erod.*did you mean 'erode'"):
        parse_perturbation("erod:3")


def test_dilate_is_short_for_a_perturbation() -> None:
    assert parse_changes("8%", ["erode:3"]) == (
        parse_perturbation("dilate:8%"),
        parse_perturbation("erode:3"),
    )
    assert parse_changes(None, None) == ()
    with pytest.raises(ConfigError, match="a range is no stated radius"):
        parse_changes("4..8", None)


ERODE, SHIFT = parse_perturbation("erode:3"), parse_perturbation("shift:3")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "nothing says what to make"),
        ({"stage": "box", "changes": (ERODE,)}, "at once"),
        ({"stage": "fine", "radius": Span(1, 2, False)}, "--radius belongs to rough masks"),
        ({"changes": (ERODE,), "scale": Span(1, 2, True)}, "--scale belongs to rough masks"),
        ({"changes": (ERODE, ERODE)}, "twice"),
        ({"stage": "fine", "variants": 2}, "--n 2: nothing here is drawn"),
        ({"changes": (ERODE,), "variants": 2}, "nothing here is drawn"),
        ({"stage": "rough", "variants": 0}, "--n 0"),
        ({"stage": "rough", "seed": -1}, "--seed -1"),
        ({"stage": "rough", "masks": ()}, "no mask"),
        ({"stage": "rough", "masks": ("",)}, "empty name"),
        ({"stage": "rough", "report": ""}, "empty name"),
        ({"stage": "rough", "masks": ("-", "-")}, "read once"),
        ({"stage": "rough", "null": True}, "--null"),
        ({"stage": "rough", "image": "a.jpg"}, "add --preview"),
        ({"stage": "rough", "preview": "-"}, "name a file"),
        ({"stage": "rough", "report": "r.csv"}, "name it .json"),
        ({"stage": "rough", "out": "-", "json": True}, "nothing else"),
        ({"stage": "rough", "out": "-", "variants": 2}, "nothing else"),
        ({"stage": "rough", "out": "-", "masks": ("a.png", "b.png")}, "nothing else"),
        ({"changes": (ERODE, SHIFT), "out": "-"}, "nothing else"),
    ],
)
def test_contradictions_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        AugmentConfig(**{"masks": ("a.png",), **settings})


def test_variants_of_a_drawn_shift_beside_a_stated_erosion_are_fine() -> None:
    assert AugmentConfig(("a.png",), changes=(ERODE, SHIFT), variants=3).variants == 3


def test_words_become_a_config() -> None:
    words = {"radius": "4%..12%", "alpha": None, "scale": "0.02", "delta": None}
    config = build_augment_config(["a.png"], words, (), stage="rough", seed=5)
    assert config.masks == ("a.png",) and config.seed == 5 and config.alpha is None
    assert config.radius == Span(0.04, 0.12, True) and config.scale == Span(0.02, 0.02, False)
    with pytest.raises(ConfigError, match="--scale '2'"):
        build_augment_config(["a.png"], {**words, "scale": "2"}, (), stage="rough")
