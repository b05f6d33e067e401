"""What each protocol does to the exact mask, how it is called, and which ones a name stands for."""

from __future__ import annotations

import json

import numpy as np
import pytest

from a2cli.errors import ConfigError, DataError
from a2cli.evaluation.records.protocols import parse_protocol, parse_protocols

SIZE = (80, 100)


def make_mask(y0: int = 30, x0: int = 40, side: int = 20) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[y0 : y0 + side, x0 : x0 + side] = True
    return mask


def get_distances(mask: np.ndarray) -> np.ndarray:
    """The distance of every pixel to the nearest that is set, by looking at all of them."""
    ys, xs = np.nonzero(mask)
    rows, columns = np.indices(mask.shape)
    away = (rows[..., None] - ys) ** 2 + (columns[..., None] - xs) ** 2
    return np.sqrt(away.min(axis=2))


def apply(text: str, mask: np.ndarray, radius: str = "8%", case: str = "a") -> np.ndarray:
    return parse_protocol(text, radius).apply(mask, case)


def test_fine_is_a_copy_of_the_exact_mask() -> None:
    mask = make_mask()
    fine = apply("fine", mask)
    assert np.array_equal(fine, mask)
    fine[:] = False
    assert mask.any()


@pytest.mark.parametrize(("radius", "pixels"), [("5", 5.0), ("5px", 5.0), ("25%", 5.0), ("8%", 1.6)])
def test_rough_is_the_exact_mask_dilated_by_the_stated_radius(radius: str, pixels: float) -> None:
    mask = make_mask()
    assert np.array_equal(apply("rough", mask, radius), get_distances(mask) <= pixels)


def test_box_is_the_box_of_the_rough_mask() -> None:
    mask = np.zeros(SIZE, bool)
    mask[30, 40] = mask[50, 60] = True  # an object of 21 px
    box = np.zeros(SIZE, bool)
    box[28:53, 38:63] = True
    assert np.array_equal(apply("box", mask, "2"), box)
    assert not np.array_equal(apply("rough", mask, "2"), box)


def test_changes_follow_their_own_radius() -> None:
    mask = make_mask()
    assert np.array_equal(apply("dilate:3", mask), get_distances(mask) <= 3)
    near = [(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3) if dy * dy + dx * dx <= 4]
    whole = np.all([np.roll(mask, way, axis=(0, 1)) for way in near], axis=0)
    assert np.array_equal(apply("erode:10%", mask), whole) and 0 < whole.sum() < mask.sum()
    assert np.array_equal(apply("shift:5,-3", mask), make_mask(27, 45))


def test_a_shift_by_a_distance_goes_its_own_way_for_each_case_and_the_same_in_every_run() -> None:
    mask = make_mask()
    moved = [apply("shift:16", mask, case=f"case {number}") for number in range(12)]
    ways = set()
    for number, shifted in enumerate(moved):
        assert shifted.sum() == mask.sum()
        dy, dx = (np.argwhere(shifted).min(axis=0) - np.argwhere(mask).min(axis=0)).tolist()
        assert np.hypot(dx, dy) == pytest.approx(16, abs=0.75)
        ways.add((dx, dy))
        assert np.array_equal(shifted, apply("shift:16", mask, case=f"case {number}"))
    assert len(ways) > 8
    assert {dx > 0 for dx, _ in ways} == {dy > 0 for _, dy in ways} == {True, False}


@pytest.mark.parametrize("text", ["fine", "rough", "box", "dilate:8", "erode:8", "shift:8", "shift:50%"])
def test_a_mask_of_the_whole_picture_stays(text: str) -> None:
    assert apply(text, np.ones(SIZE, bool)).all()


@pytest.mark.parametrize("text", ["erode:10", "erode:60%", "shift:500"])
def test_a_change_that_leaves_nothing_names_the_case(text: str) -> None:
    with pytest.raises(DataError, match=r"^a\\nb: nothing is left of the mask after"):
        apply(text, make_mask(), case="a\nb")


def test_an_empty_mask_is_refused_where_it_is_changed() -> None:
    with pytest.raises(DataError, match="a: the mask is empty"):
        apply("rough", np.zeros(SIZE, bool))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (" fine ", "fine"),
        ("rough", "rough"),
        ("box", "box"),
        ("dilate:32", "dilate-32"),
        ("erode:8%", "erode-8pct"),
        ("shift:32", "shift-32"),
        ("shift:32,-4", "shift-32_-4"),
    ],
)
def test_names_fit_folders(text: str, name: str) -> None:
    assert parse_protocol(text, "8%").name == name


def test_what_is_written_down_is_json_and_says_the_radius() -> None:
    told = {text: parse_protocol(text, "8%").describe() for text in ("fine", "rough", "box", "erode:16")}
    assert json.loads(json.dumps(told)) == told
    assert told["fine"] == {"kind": "fine", "by": [], "text": "the exact mask"}
    assert told["rough"]["by"] == ["8%"] and "dilated by a disc of radius 8%" in told["rough"]["text"]
    assert "bounding box" in told["box"]["text"] and told["box"]["by"] == ["8%"]
    assert told["erode:16"]["by"] == ["16 px"] and "eroded" in told["erode:16"]["text"]
    both = parse_protocol("shift:32,-4", "8%").describe()
    assert both["text"] == "the exact mask moved by 32 px to the right and -4 px down"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ruff", "rough"),
        ("dillate:3", "dilate"),
        ("", "fine"),
        ("dilate", "dilate:R"),
        ("fine:3", "fine"),
        ("dilate:-3", "dilate"),
        ("dilate:nan", "dilate"),
        ("dilate:1..3", "dilate"),
        ("erode:0", "fine is the exact mask"),
        ("all", "several"),
        ("sweep:8%", "several"),
    ],
)
def test_what_is_no_protocol_is_refused_with_a_remedy(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_protocol(text, "8%")


@pytest.mark.parametrize("radius", ["", "4..8", "-3", "nan", "soft"])
def test_a_radius_that_is_none_is_refused(radius: str) -> None:
    assert parse_protocol("fine", radius).name == "fine"
    with pytest.raises(ConfigError, match="--rough-radius"):
        parse_protocol("box", radius)


def test_names_that_stand_for_several() -> None:
    def get_names(*texts: str) -> list[str]:
        return [protocol.name for protocol in parse_protocols(texts, "8%")]

    assert get_names("all") == ["fine", "rough", "box"]
    changes = [f"{kind}-{radius}" for kind in ("erode", "dilate") for radius in (16, 32, 64)]
    assert get_names("sweep") == ["fine", *changes, "shift-32"]
    assert get_names("sweep:8%")[1:4] == ["erode-8pct", "erode-16pct", "erode-32pct"]
    assert get_names("sweep:8%")[-1] == "shift-16pct"
    assert get_names("sweep:2.5")[-1] == "shift-5"
    assert get_names("box", "all", "sweep:1", "fine", "dilate:1")[:3] == ["box", "fine", "rough"]
    assert len(get_names("box", "all", "sweep:1", "fine", "dilate:1")) == 10
    for wrong in ((), ("sweep:",), ("sweep:0",), ("sweep:1..2",), ("sweep:x",)):
        with pytest.raises(ConfigError):
            parse_protocols(wrong, "8%")
