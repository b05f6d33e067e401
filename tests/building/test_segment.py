"""Masks of rendered subjects against the truth: videos under a moving camera, stills, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from rendered import load_ground, make_item, make_still, render_video

from a2cli.building.config import DetectConfig, SegmentConfig
from a2cli.building.detect.embedded import EmbeddedDetector
from a2cli.building.records import Box, Item, Reject, View
from a2cli.building.segment.colours import BINS, count_colours, get_colours, get_odds
from a2cli.building.segment.embedded import EmbeddedSegmenter
from a2cli.building.segment.refine import clean_mask, enlarge_mask, filter_along_edges
from a2cli.masks.morph import get_iou, require_bounding_box

DETECT, SEGMENT = EmbeddedDetector(DetectConfig()), EmbeddedSegmenter(SegmentConfig())


def get_overlaps(folder: Path, seeds: range, frames: int, **scene: object) -> tuple[np.ndarray, int]:
    """IoU of every kept view's mask with the truth, and how many views there were."""
    overlaps, count = [], 0
    for seed in seeds:
        truth = render_video(folder / f"{seed}.mp4", seed, **scene)  # type: ignore[arg-type]
        item = make_item(folder / f"{seed}.mp4", frames=frames)
        count += len(item.views)
        found = DETECT(item)
        found = SEGMENT(found) if isinstance(found, Item) else found
        for view in found.views if isinstance(found, Item) else ():
            assert view.mask is not None and view.time is not None and view.mask.dtype == np.bool_
            assert view.mask.shape == view.rgb.shape[:2] and view.motion is None
            overlaps.append(get_iou(view.mask, truth.get_mask(view.time)))
    return np.array(overlaps), count


def test_masks_of_videos_under_a_moving_camera(tmp_path: Path) -> None:
    overlaps, count = get_overlaps(tmp_path, range(4), 8, seconds=2.0)
    assert len(overlaps) >= 0.85 * count
    assert np.median(overlaps) >= 0.88
    assert np.percentile(overlaps, 10) >= 0.7


@pytest.mark.slow
def test_masks_of_many_videos(tmp_path: Path) -> None:
    overlaps, count = get_overlaps(tmp_path, range(24), 12)
    print(count, len(overlaps), np.percentile(overlaps, [1, 5, 10, 25, 50, 75]).round(3))
    assert len(overlaps) >= 0.85 * count
    assert np.median(overlaps) >= 0.92
    assert np.percentile(overlaps, 10) >= 0.7


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scene", "median"),
    [
        ({"pan": 4.0}, 0.8),
        ({"pan": 0.0}, 0.85),
        ({"travel": 0.15}, 0.85),
        ({"like_ground": 0.8}, 0.75),
        ({"noise": 8.0}, 0.8),
        ({"size": (288, 384), "fps": 25}, 0.85),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_masks_of_hard_videos(scene: dict[str, object], median: float, tmp_path: Path) -> None:
    overlaps, count = get_overlaps(tmp_path, range(30, 36), 12, **scene)
    print(scene, count, len(overlaps), np.percentile(overlaps, [5, 10, 50]).round(3))
    assert len(overlaps) >= 0.6 * count
    assert np.median(overlaps) >= median


def test_the_same_item_gives_the_same_masks(tmp_path: Path) -> None:
    render_video(tmp_path / "v.mp4", 5, seconds=1.0)
    found = DETECT(make_item(tmp_path / "v.mp4", frames=4))
    assert isinstance(found, Item)
    first, second = SEGMENT(found), SEGMENT(found)
    assert isinstance(first, Item) and isinstance(second, Item) and "GrabCut" in first.tools["segment"]
    for a, b in zip(first.views, second.views, strict=True):
        assert a.mask is not None and b.mask is not None and np.array_equal(a.mask, b.mask)
        assert a.scores == b.scores and 0.6 <= a.scores["mask"] <= 1


@pytest.mark.parametrize("ground", ["plain", "brick", "grass"])
def test_stills(ground: str) -> None:
    overlaps = []
    for seed in range(5):
        rgb, mask = make_still(seed, ground=ground)
        found = DETECT(Item("i", "g", (View("v", rgb),)))
        found = SEGMENT(found) if isinstance(found, Item) else found
        assert isinstance(found, Item) and found.views[0].mask is not None
        overlaps.append(get_iou(found.views[0].mask, mask))
    assert np.median(overlaps) > 0.93 and min(overlaps) > 0.85


def test_a_given_box_says_which_of_two_things() -> None:
    rgb, mask = make_still(0, ground="brick")
    x0, y0, x1, y1 = require_bounding_box(mask)
    pair, size = np.hstack([rgb, rgb[:, ::-1]]), rgb.shape[1]
    box = Box(2 * size - x1 - 3, y0 - 3, 2 * size - x0 + 3, y1 + 3)
    found = SEGMENT(Item("i", "g", (View("v", pair, boxes=(box,), given=True),)))
    assert isinstance(found, Item) and found.views[0].mask is not None
    right = np.hstack([np.zeros_like(mask), mask[:, ::-1]])
    assert get_iou(found.views[0].mask, right) > 0.9


def test_given_masks_are_kept_and_bad_boxes_dropped() -> None:
    rgb, mask = make_still(3, ground="plain")
    given = View("given", rgb, mask=mask, given=True)
    no_box, thin = View("none", rgb), View("thin", rgb, boxes=(Box(300, 4, 300, 90),))
    found = SEGMENT(Item("i", "g", (given, no_box, thin)))
    assert isinstance(found, Item) and found.views == (given,)
    assert found.dropped == {"mask unsure": 2}
    lost = SEGMENT(Item("i", "g", (no_box, thin)))
    assert isinstance(lost, Reject) and lost.reason == "mask unsure" and lost.dropped == {"mask unsure": 2}
    whole = SEGMENT(Item("i", "g", (given,)))
    assert isinstance(whole, Item) and whole.tools == {}


def test_a_flat_picture_has_no_mask() -> None:
    flat = View("flat", np.full((90, 120, 3), 128, np.uint8), boxes=(Box(10, 10, 60, 60),))
    found = SEGMENT(Item("i", "g", (flat,)))
    assert isinstance(found, Item | Reject)
    if isinstance(found, Item):  # GrabCut cannot tell: then it is the box
        assert found.views[0].mask is not None and 0.1 < found.views[0].mask.mean() < 0.3


def test_a_frame_whose_mask_is_far_larger_than_the_others_is_dropped(tmp_path: Path) -> None:
    render_video(tmp_path / "v.mp4", 9, seconds=2.0)
    found = DETECT(make_item(tmp_path / "v.mp4", frames=6))
    assert isinstance(found, Item)
    spoiled = found.views[2]
    assert spoiled.motion is not None
    everywhere = np.ones_like(spoiled.motion)
    views = (*found.views[:2], replace(spoiled, motion=everywhere), *found.views[3:])
    cut = SEGMENT(replace(found, views=views))
    assert isinstance(cut, Item) and spoiled.name not in {view.name for view in cut.views}
    assert len(cut.views) >= 4 and cut.dropped["mask unsure"] >= 1


def test_colours_are_counted_and_weighed() -> None:
    rgb = np.zeros((8, 8, 3), np.uint8)
    rgb[:, :4], rgb[:, 4:] = (200, 30, 30), (30, 30, 200)
    colours = get_colours(rgb)
    assert colours.min() >= 0 and colours.max() < BINS**3
    left = np.zeros((8, 8))
    left[:, :4] = 1
    red, blue = count_colours(colours, left), count_colours(colours, 1 - left)
    assert red.sum() == pytest.approx(1) and blue.sum() == pytest.approx(1)
    odds = get_odds(red, blue)
    assert odds[colours[0, 0]] == 4 and odds[colours[0, 7]] == -4 and odds[0] == 0


def test_the_filter_keeps_edges_of_the_guide() -> None:
    rng = np.random.default_rng(0)
    guide = np.zeros((40, 60), np.float32)
    guide[:, 30:] = 0.8
    values = (guide > 0.4).astype(np.float32) + rng.normal(0, 0.2, guide.shape).astype(np.float32)
    smooth = filter_along_edges(guide, values, 4)
    assert smooth[8:32, 10:50].std() < values[8:32, 10:50].std()
    assert smooth[8:32, 29].mean() < 0.15 and smooth[8:32, 30].mean() > 0.85
    assert np.abs(smooth[8:32, 5:25]).std() < 0.06


def test_masks_lose_specks_and_holes_but_not_the_ground_between_arms() -> None:
    mask = np.zeros((100, 100), bool)
    mask[20:80, 20:80] = True
    mask[30:33, 30:33] = False
    mask[45:70, 45:70] = False
    mask[2:6, 2:6] = True
    clean = clean_mask(mask)
    assert clean[31, 31] and not clean[3, 3] and not clean[50, 50]
    unknown = clean_mask(mask, np.zeros_like(mask))
    assert unknown[50, 50] and not unknown[3, 3] and not unknown[0, 50]
    assert not clean_mask(mask, ~mask)[50, 50]
    assert not clean_mask(np.zeros((5, 5), bool)).any()


def test_an_enlarged_mask_finds_the_edge_of_the_picture() -> None:
    large = cv2.resize(load_ground("gravel")[:100, :160], (640, 400)) // 3
    truth = np.zeros((400, 640), np.uint8)
    cv2.circle(truth, (300, 190), 110, 1, -1)
    large[truth > 0] += 150
    small = cv2.resize(truth, (160, 100), interpolation=cv2.INTER_NEAREST) > 0
    found = enlarge_mask(small, large)
    plain = cv2.resize(small.astype(np.uint8), (640, 400), interpolation=cv2.INTER_NEAREST) > 0
    assert found.shape == (400, 640) and get_iou(found, truth > 0) > max(0.985, get_iou(plain, truth > 0))
