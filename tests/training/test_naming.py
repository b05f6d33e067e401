"""What is said of a named thing: its classes, and the errors of naming it against their formulas."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from instruction_pairs import make_instruction

from a2cli.data.captions import get_colour
from a2cli.data.records import Pair
from a2cli.training.naming import (
    COLOURS,
    EPSILON,
    UNKNOWN,
    NamingHeads,
    get_labels,
    get_vocabulary,
    naming_loss,
    pooling_loss,
)


def test_every_known_glyph_has_a_class_in_the_order_of_the_taxonomy() -> None:
    words = get_vocabulary()
    assert list(words.values()) == list(range(len(words))) and len(words) > 300
    assert words["t-shirt"] < words["woman"] < words["cat face"] < words["banana"] < words["kaaba"]


def make_pair(subcategory: str, keyword: str, category: str, paint: tuple[int, int, int]) -> Pair:
    pair = make_instruction(0)
    assert pair.src_rgb is not None and pair.src_mask is not None
    photo = pair.src_rgb.copy()
    photo[pair.src_mask] = paint
    return replace(
        pair,
        category=category,
        subcategory=subcategory,
        keyword=keyword,
        prompt=f"remove the {keyword}",
        src_rgb=photo,
    )


BLUE, RED = (20, 40, 230), (225, 20, 25)


@pytest.mark.parametrize(
    ("subcategory", "keyword", "category", "paint", "seen", "said"),
    [
        ("door", "door", "furniture", BLUE, ("door", "blue"), ("door", "")),
        ("door", "red door", "furniture", BLUE, ("door", "red"), ("door", "red")),
        ("Door", "Red and white Door", "furniture", BLUE, ("door", "red"), ("door", "red")),
        ("door", "colourful door", "furniture", BLUE, ("door", "colourful"), ("door", "colourful")),
        ("cat", "animal", "animals", BLUE, ("cat", "blue"), ("", "")),
        ("cat", "red animal", "animals", BLUE, ("cat", "red"), ("", "red")),
        ("cat", "kitten", "animals", BLUE, ("cat", "blue"), ("cat", "")),
        ("person with blond hair", "person", "portraits", BLUE, ("person with blond hair", ""), None),
        ("prince", "person", "portraits", RED, ("prince", ""), ("", "")),
        ("prince", "red prince", "portraits", RED, ("prince", ""), ("prince", "")),
        ("swimsuit", "red swimsuit", "garments", BLUE, ("", "red"), ("", "red")),
        ("red sock", "red sock", "garments", BLUE, ("", "blue"), ("", "")),
    ],
)
def test_classes_come_from_the_name_the_words_and_the_photo(
    subcategory: str, keyword: str, category: str, paint: Any, seen: Any, said: Any
) -> None:
    labels = get_labels(make_pair(subcategory, keyword, category, paint))
    assert all(label.shape == () and label.dtype == np.int64 for label in labels.values())
    for side, (name, colour) in (("seen", seen), ("said", said or seen)):
        wanted = get_vocabulary()[name] if name else UNKNOWN
        assert labels[f"name_{side}"] == wanted, side
        assert labels[f"colour_{side}"] == (COLOURS.index(colour) if colour else UNKNOWN), side


def test_without_words_for_the_thing_only_its_look_is_known() -> None:
    pair = replace(make_pair("door", "", "furniture", BLUE), prompt="убери дверь")
    labels = get_labels(pair)
    assert labels["name_seen"] == get_vocabulary()["door"]
    assert labels["name_said"] == labels["colour_said"] == UNKNOWN


def test_every_colour_that_photos_are_said_to_have_is_a_class() -> None:
    steps = np.arange(0, 256, 17, dtype=np.uint8)
    found = set()
    for colour in np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 1, 1, 3):
        found.add(get_colour(colour, np.ones((1, 1), bool)))
    halves = np.array([[RED, BLUE], [(20, 180, 30), (250, 250, 250)]], np.uint8)
    found.add(get_colour(halves, np.ones((2, 2), bool)))
    assert found == set(COLOURS)


def test_the_errors_are_those_written_naively() -> None:
    torch.manual_seed(0)
    heads = NamingHeads(8, 6)
    features, states = torch.randn(4, 3, 3, 8), torch.randn(4, 5, 6)
    cover, rows = torch.rand(4, 3, 3), torch.zeros(4, 5)
    rows[0, 1:3] = rows[1, 4] = rows[2, 0] = 1  # nothing names the last
    labels = {
        "name_seen": torch.tensor([3, 8, UNKNOWN, 200]),
        "colour_seen": torch.tensor([1, 0, 2, UNKNOWN]),
        "name_said": torch.tensor([3, UNKNOWN, UNKNOWN, UNKNOWN]),
        "colour_said": torch.tensor([UNKNOWN] * 4),
    }
    seen, said = heads.see(features, cover), heads.hear(states, rows)
    look = sum(cover[0, r, c] * features[0, r, c] for r in range(3) for c in range(3)) / cover[0].sum()
    assert torch.allclose(seen[0], heads.look(look), atol=1e-6)
    assert torch.allclose(said[0], heads.words((states[0, 1] + states[0, 2]) / 2), atol=1e-6)
    loss, right = naming_loss(heads, seen, said, labels)

    def surprise(logits: torch.Tensor, label: int) -> float:
        return -math.log(math.exp(logits[label]) / sum(math.exp(value) for value in logits))

    names, colours = heads.names(seen).tolist(), heads.colours(seen).tolist()
    expected = sum(surprise(names[i], label) for i, label in ((0, 3), (1, 8), (3, 200))) / 3
    expected += 0.5 * sum(surprise(colours[i], label) for i, label in ((0, 1), (1, 0), (2, 2))) / 3
    expected += surprise(heads.names(said)[0].tolist(), 3)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    hits = [int(np.argmax(names[i])) == label for i, label in ((0, 3), (1, 8), (3, 200))]
    assert right["names_seen"] == pytest.approx(np.mean(hits))
    labels["name_said"][0] = int(heads.names(said)[0].argmax())
    assert naming_loss(heads, seen, said, labels)[1]["names_said"] == 1

    weights = torch.rand(4, 2, 3, 5).softmax(-1)
    expected = 0.0
    for i, named in ((0, (1, 2)), (1, (4,)), (2, (0,))):
        for head in range(2):
            for query in range(3):
                share = sum(float(weights[i, head, query, row]) for row in named)
                expected += -math.log(share + EPSILON) / (3 * 2 * 3)
    assert pooling_loss(weights, rows).item() == pytest.approx(expected, rel=1e-5)


def test_where_nothing_is_known_nothing_is_lost_nor_learned() -> None:
    heads = NamingHeads(8, 6)
    seen, said = torch.randn(2, 128, requires_grad=True), torch.randn(2, 128, requires_grad=True)
    labels = {
        f"{part}_{side}": torch.full((2,), UNKNOWN)
        for part in ("name", "colour")
        for side in ("seen", "said")
    }
    loss, right = naming_loss(heads, seen, said, labels)
    weights = torch.rand(2, 1, 1, 5, requires_grad=True)
    pooling = pooling_loss(weights, torch.zeros(2, 5))
    assert loss.item() == pooling.item() == 0 and right == {"names_seen": 0, "names_said": 0}
    (loss + pooling).backward()
    for gradient in (seen.grad, said.grad, weights.grad):
        assert gradient is not None and not gradient.any()
