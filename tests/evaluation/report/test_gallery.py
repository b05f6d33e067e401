"""Which edits are shown: the ends of the right value, categories in turn; and how small their pictures are made."""

from __future__ import annotations

import base64
import io
import random
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from a2cli.errors import DataError
from a2cli.evaluation.report.gallery import SIDES, Choice, Views, build_gallery, choose_exhibits, get_side
from a2cli.evaluation.results import Row

METHODS = {"paste": True, "ours": False}


def make_row(
    number: int, value: float, *, category: str = "a", method: str = "ours", key: str = "l1@mask"
) -> Row:
    return Row(f"r{number:02d}", category, "", "", method, "fine", {key: value, "l1": -value})


def get_ids(rows: list[Row], count: int, metrics: tuple[str, ...] = ("l1",)) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for choice in choose_exhibits(rows, METHODS, metrics, count):
        found.setdefault(choice.why.partition(" ")[0], []).append(choice.id)
    return found


def test_ends_are_those_of_the_first_method_that_is_no_baseline() -> None:
    rows = [make_row(i, i / 10) for i in range(9)]
    rows += [make_row(i, 1 - i / 10, method="paste") for i in range(9)]
    chosen = choose_exhibits(rows, METHODS, ("l1", "psnr"), 2)
    assert [(c.id, c.why) for c in chosen] == [
        ("r08", "worst by l1@mask, ours"),
        ("r07", "worst by l1@mask, ours"),
        ("r00", "best by l1@mask, ours"),
        ("r01", "best by l1@mask, ours"),
    ]
    only = choose_exhibits([row for row in rows if row.method == "paste"], {"paste": True}, ("l1",), 1)
    assert [(c.id, c.why) for c in only] == [
        ("r00", "worst by l1@mask, paste"),
        ("r08", "best by l1@mask, paste"),
    ]


def test_the_direction_is_the_metrics_own() -> None:
    rows = [make_row(i, float(i), key="psnr@mask") for i in range(6)]
    assert get_ids(rows, 2, ("psnr",)) == {"worst": ["r00", "r01"], "best": ["r05", "r04"]}


def test_values_of_a_set_and_unknown_names_are_passed_over() -> None:
    rows = [make_row(i, i / 10) for i in range(4)]
    assert get_ids(rows, 1, ("fid", "unheard_of", "l1")) == {"worst": ["r03"], "best": ["r00"]}
    assert choose_exhibits(rows, METHODS, ("fid",), 1) == ()
    assert choose_exhibits([], METHODS, ("l1",), 1) == () and choose_exhibits([], {}, ("l1",), 1) == ()


def test_categories_take_turns() -> None:
    rows = [make_row(i, 1 - i / 100, category="bad") for i in range(10)]
    rows += [make_row(20 + i, 0.1 + i / 100, category="good") for i in range(10)]
    assert get_ids(rows, 4)["worst"] == ["r00", "r29", "r01", "r28"]


def test_no_edit_is_at_both_ends_and_errors_are_at_neither() -> None:
    rows = [make_row(i, i / 10) for i in range(3)] + [replace(make_row(9, 5.0), error="no edit")]
    assert get_ids(rows, 6) == {"worst": ["r02", "r01"], "best": ["r00"]}
    assert get_ids(rows[:1], 6) == {"worst": ["r00"]}


def test_the_order_of_rows_is_of_no_matter() -> None:
    rows = [make_row(i, (i * 7 % 5) / 10, category="ab"[i % 2]) for i in range(20)]
    first = choose_exhibits(rows, METHODS, ("l1",), 5)
    for seed in range(3):
        assert choose_exhibits(random.Random(seed).sample(rows, 20), METHODS, ("l1",), 5) == first


def make_views(number: int = 0, size: tuple[int, int] = (300, 400)) -> Views:
    rng = np.random.default_rng(number)
    mask = np.zeros(size, bool)
    mask[100:200, 40:80] = True
    photo = rng.integers(0, 256, (*size, 3), np.uint8)
    return Views(photo, mask, {"ours": photo // 2, "paste": photo}, None, photo[:64, :32], " a\n thing")


def test_an_exhibit_holds_what_there_is() -> None:
    choice = Choice("r00", "a", "fine", "worst by l1@mask, ours")
    rows = [make_row(0, 0.5), make_row(1, 0.2), make_row(0, 0.1, method="paste")]
    (exhibit,) = build_gallery([choice], rows, lambda _: make_views())
    assert list(exhibit.pictures) == ["source", "reference", "edit: ours", "edit: paste"]
    assert exhibit.prompt == "a thing"
    assert exhibit.values == {"ours": {"l1@mask": 0.5, "l1": -0.5}, "paste": {"l1@mask": 0.1, "l1": -0.1}}
    sizes = {name: picture.size for name, picture in exhibit.pictures.items()}
    assert sizes["source"] == sizes["edit: ours"] == (192, 256) and sizes["reference"] == (64, 32)
    with Image.open(io.BytesIO(base64.b64decode(exhibit.pictures["source"].data))) as picture:
        assert (picture.format, picture.size) == ("WEBP", (256, 192))
    x, y = (float(part) for part in exhibit.outline[1:].split("L")[0].split())
    assert (x, y) == pytest.approx((40 * 256 / 400, 100 * 192 / 300), abs=1.0)
    whole = replace(make_views(), mask=np.ones((300, 400), bool))
    assert build_gallery([choice], rows, lambda _: whole)[0].outline == ""


def test_a_case_that_cannot_be_opened_is_left_out() -> None:
    def load(choice: Choice) -> Views:
        if choice.id == "r01":
            raise DataError("gone")
        return make_views()

    choices = [Choice(f"r0{i}", "a", "fine", "best") for i in range(3)]
    assert [exhibit.id for exhibit in build_gallery(choices, [], load)] == ["r00", "r02"]


def test_thumbnails_shrink_with_their_number() -> None:
    sides = [get_side(count) for count in (1, 100, 300, 1000, 10**6)]
    assert sides == sorted(sides, reverse=True) and sides[0] == SIDES[1] and sides[-1] == SIDES[0]
    assert 96 < get_side(300) < 256
