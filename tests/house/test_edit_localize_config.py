"""LocalizeOptions: what may be said of finding a region."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from a2cli.config.load import build, to_dict
from a2cli.config.localize import LocalizeOptions, get_span, read_threshold
from a2cli.errors import ConfigError


def test_defaults_are_frozen_and_survive_a_round_trip() -> None:
    options = LocalizeOptions()
    assert (options.way, options.threshold, options.filter, options.refine) == (
        "auto",
        "auto",
        "adaptive",
        True,
    )
    assert build(LocalizeOptions, to_dict(options)) == options
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.refine = False  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"way": "atention"}, "did you mean 'attention'"),
        ({"filter": "median"}, "'median' is unknown"),
        ({"keyword": " "}, "keyword is empty"),
        ({"threshold": 1.01}, "the threshold is 1.01"),
        ({"threshold": float("nan")}, "the threshold is nan"),
        ({"threshold": "otsu"}, "auto, or a number"),
        ({"dilate": -0.1}, r"localize\.dilate"),
        ({"dilate": float("nan")}, r"localize\.dilate"),
        ({"hold_after": 1.2}, r"localize\.hold_after"),
        ({"strength": 11.0}, r"localize\.strength.*0 to 10"),
    ],
)
def test_out_of_range(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LocalizeOptions(**changes)


@pytest.mark.parametrize(
    ("prompt", "keyword", "found"),
    [
        ("replace the Red Cup", " red cup ", "Red Cup"),
        ("die Straße", "Straße", "Straße"),
        ("die Straße", "strasse", None),  # folded it would be longer than what stands there
        ("a glass", "ß", None),
        ("İstanbul'da bir KEDİ", "KEDİ", "KEDİ"),
        ("a cat", "dog", None),
    ],
)
def test_a_keyword_is_found_where_it_stands(prompt: str, keyword: str, found: str | None) -> None:
    span = get_span(prompt, keyword)
    assert (None if span is None else prompt[slice(*span)]) == found


def test_thresholds_as_typed() -> None:
    assert [read_threshold(text) for text in ("auto", " AUTO", "0", "1", "0.25")] == [
        "auto",
        "auto",
        0,
        1,
        0.25,
    ]
    for text in ("", "half", "-0.1", "inf", "nan"):
        with pytest.raises(ConfigError):
            read_threshold(text)
