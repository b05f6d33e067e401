"""Looks at whole photos: what a training step sees of a named thing, and where it is said to be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from instruction_pairs import PairList, make_instruction

from a2cli.errors import DataError
from a2cli.images.geometry import get_bounding_box
from a2cli.training.looks import check_looks, draw_window, get_keyword_span, has_look, make_look


def test_a_look_is_the_whole_photo_and_the_share_of_each_latent_pixel() -> None:
    pair = make_instruction(3)
    look = make_look(pair, 64, 16, 0.0, np.random.default_rng(0))
    assert np.array_equal(look["photo"], pair.src_rgb) and look["sentence"] == pair.prompt
    assert look["cover"].shape == (8, 8) and look["cover"].dtype == np.float32
    for row in range(8):
        for column in range(8):
            part = pair.src_mask[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
            assert look["cover"][row, column] == pytest.approx(part.mean())


@pytest.mark.parametrize("turned", [False, True])
def test_oblong_photos_keep_their_aspect(turned: bool) -> None:
    rows, columns = np.mgrid[0:90, 0:240]
    disc = np.hypot(rows - 40, columns - 170) < 25
    photo = np.where(disc[..., None], (200, 30, 30), 90).astype(np.uint8)
    if turned:
        disc, photo = disc.T, photo.transpose(1, 0, 2)
    pair = replace(make_instruction(3), src_rgb=photo, src_mask=disc)
    lefts = set()
    for seed in range(12):
        look = make_look(pair, 96, 16, 0.0, np.random.default_rng(seed))
        red = look["photo"][..., 0] > 145
        x0, y0, x1, y1 = get_bounding_box(red)  # type: ignore[misc]
        assert look["photo"].shape == (96, 96, 3) and abs((x1 - x0) - (y1 - y0)) <= 1  # a disc stays a disc
        assert x1 - x0 == pytest.approx(49 * 96 / 90, abs=1.5)  # of the largest square there is
        assert look["cover"].sum() * 8**2 == pytest.approx(red.sum(), rel=0.05)  # and the mask goes with it
        lefts.add(y0 if turned else x0)
    assert len(lefts) > 5


def test_a_thing_longer_than_a_window_is_looked_at_in_part() -> None:
    mask = np.zeros((40, 200), bool)
    mask[10:30, 30:180] = True
    windows = [draw_window(mask, np.random.default_rng(seed), near=seed % 2 == 0) for seed in range(30)]
    assert all(
        y0 == 0 and y1 == 40 and x1 - x0 == 40 and x0 >= 30 and x1 <= 180 for x0, y0, x1, y1 in windows
    )
    assert len(set(windows)) > 15


def test_windows_hold_the_thing_lie_in_the_photo_and_are_not_all_centred() -> None:
    mask = np.zeros((90, 120), bool)
    mask[20:35, 60:80] = True
    rng = np.random.default_rng(0)
    windows = [draw_window(mask, rng, near=True) for _ in range(200)]
    for x0, y0, x1, y1 in windows:
        assert x1 - x0 == y1 - y0 and 28 <= x1 - x0 < 90
        assert 0 <= x0 <= 60 and 80 <= x1 <= 120 and 0 <= y0 <= 20 and 35 <= y1 <= 90
    places = {round((60 - x0) / (x1 - x0 - 20), 1) for x0, _, x1, _ in windows if x1 - x0 > 30}
    assert {0.0, 0.5, 1.0} <= places
    assert draw_window(np.ones((30, 30), bool), rng, near=True) == (0, 0, 30, 30)
    pair = make_instruction(3)
    near = make_look(pair, 64, 16, 1.0, rng)
    assert near["cover"].mean() > pair.src_mask.mean()
    box = get_bounding_box(near["cover"] > 0.5)
    assert box is not None and abs((box[2] - box[0]) - (box[3] - box[1])) <= 1  # squares stay square


def test_only_instruction_pairs_can_be_looked_at() -> None:
    pair = make_instruction(0)
    plain = replace(pair, src_rgb=None, src_mask=None)
    hidden = replace(pair, src_mask=np.zeros_like(pair.src_mask))
    assert has_look(pair) and not has_look(plain) and not has_look(hidden)
    check_looks(PairList([plain, pair]))
    with pytest.raises(DataError, match="none of the first 2 pairs has a photo before its edit"):
        check_looks(PairList([plain, hidden]))


@pytest.mark.parametrize(
    ("prompt", "keyword", "wanted"),
    [
        ("replace the red cup with a bus", "red cup", "red cup"),
        ("put a red cup in place of the cup", "cup", "cup"),
        ("replace the cat", "", "cat"),
        ("verwandle den Hund", "Hund", "Hund"),
        ("replace the cat", "dog", None),
    ],
)
def test_the_keyword_is_found_where_it_names_the_thing(prompt: str, keyword: str, wanted: str | None) -> None:
    span = get_keyword_span(replace(make_instruction(0), prompt=prompt, keyword=keyword))
    assert (None if span is None else prompt[slice(*span)]) == wanted
    if prompt.startswith("put"):
        assert span == (len(prompt) - 3, len(prompt))
