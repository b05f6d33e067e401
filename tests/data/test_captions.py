"""Captions: grammar, colours from pixels, place and what is hidden."""

from __future__ import annotations

import numpy as np
import pytest

from a2cli.data.captions import build_caption, get_colour, get_noun, show_whole
from a2cli.data.provenance import Rights
from a2cli.data.subjects import Subject
from a2cli.data.taxonomy import CATEGORIES, get_glyph_names


def fill(*shares: tuple[tuple[int, int, int], int]) -> np.ndarray:
    return np.concatenate([np.full((1, count, 3), colour, np.uint8) for colour, count in shares], axis=1)


@pytest.mark.parametrize(
    ("label", "colour", "words"),
    [
        ("cat", "grey", "a grey cat"),
        ("cat", "", "a cat"),
        ("red apple", "red", "a red apple"),
        ("red apple", "blue", "a blue apple"),
        ("umbrella", "", "an umbrella"),
        ("umbrella", "red", "a red umbrella"),
        ("pear", "orange", "an orange pear"),
        ("unicorn face", "", "a unicorn face"),
        ("one-piece swimsuit", "", "a one-piece swimsuit"),
        ("european castle", "", "a European castle"),
        ("jeans", "blue", "blue jeans"),
        ("dress", "red", "a red dress"),
        ("bus", "", "a bus"),
        ("octopus", "", "an octopus"),
        ("rhinoceros", "", "a rhinoceros"),
        ("mans shoe", "brown", "a brown man's shoe"),
        ("womans boots", "", "woman's boots"),
        ("broccoli", "green", "green broccoli"),
        ("bowl with spoon", "", "a bowl with a spoon"),
        ("person with blond hair", "", "a person with blond hair"),
        ("statue of liberty", "green", "the green Statue of Liberty"),
        ("father christmas", "", "Father Christmas"),
        ("chelsea", "", "a cat"),
    ],
)
def test_a_name_becomes_a_noun(label: str, colour: str, words: str) -> None:
    assert get_noun(label, colour) == words


def test_every_glyph_has_one_article_or_none() -> None:
    for category in CATEGORIES:
        for name in get_glyph_names(category):
            words = get_noun(name.lower(), "mauve").split(" ")
            assert words.count("mauve") == 1 and "" not in words, words
            assert words.index("mauve") <= 1 and words[0] in ("mauve", "a", "the"), words


@pytest.mark.parametrize(
    ("colour", "name"),
    [
        ((250, 250, 250), "white"),
        ((10, 12, 14), "black"),
        ((128, 130, 128), "grey"),
        ((220, 30, 40), "red"),
        ((240, 130, 20), "orange"),
        ((250, 220, 40), "yellow"),
        ((40, 160, 60), "green"),
        ((60, 200, 210), "turquoise"),
        ((30, 60, 200), "blue"),
        ((130, 50, 190), "purple"),
        ((240, 90, 170), "pink"),
        ((250, 180, 190), "pink"),
        ((120, 70, 30), "brown"),
        ((235, 215, 180), "beige"),
        ((110, 105, 40), "olive"),
    ],
)
def test_a_colour_has_its_name(colour: tuple[int, int, int], name: str) -> None:
    assert get_colour(fill((colour, 4)), np.ones((1, 4), bool)) == name


def test_the_colour_is_that_under_the_mask() -> None:
    red, white, blue, green = (220, 30, 40), (250, 250, 250), (30, 60, 200), (40, 160, 60)
    picture = fill((red, 6), (white, 14))
    mask = np.zeros((1, 20), bool)
    mask[:, :8] = True
    assert get_colour(picture, mask) == "red"
    assert get_colour(fill((red, 42), (white, 38), (blue, 20)), np.ones((1, 100), bool)) == "red and white"
    every = fill((red, 30), (white, 30), (blue, 20), (green, 20))
    assert get_colour(every, np.ones((1, 100), bool)) == "colourful"
    assert get_colour(picture, np.zeros((1, 20), bool)) == ""


def test_a_caption_says_where_and_how_much() -> None:
    grey = np.full((8, 8, 3), 128, np.uint8)
    cat = Subject(np.zeros((1, 1, 4), np.uint8), "cat", Rights())

    def caption(rows: slice, columns: slice, hidden: float = 0.0, category: str = "animals") -> str:
        visible = np.zeros((100, 100), bool)
        visible[rows, columns] = True
        return build_caption(cat, category, grey, np.ones((8, 8), bool), visible, hidden)

    assert caption(slice(40, 60), slice(40, 60)) == "a photo of a grey cat"
    assert caption(slice(40, 60), slice(0, 40), 0.3) == "a photo of a grey cat, partly hidden, on the left"
    assert caption(slice(40, 60), slice(60, 100), 0.02) == "a photo of a grey cat, on the right"
    assert caption(slice(0, 30), slice(30, 60)) == "a photo of a grey cat, at the top"
    assert caption(slice(70, 99), slice(30, 60), category="portraits") == "a photo of a cat, at the bottom"
    piece = Subject(cat.rgba, "grass", Rights(), piece=True)
    visible = np.ones((9, 9), bool)
    words = build_caption(piece, "plants", grey, np.ones((8, 8), bool), visible, 0.5)
    assert words == "a photo of a cut-out of grey grass, partly hidden"
    assert show_whole(words) == "a photo of a cut-out of grey grass"
