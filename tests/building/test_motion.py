"""What moves on its own is found before a moving camera, and nothing where nothing does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from rendered import Scene, load_ground, make_item, make_still, render_video

from a2cli.building.config import DetectConfig
from a2cli.building.detect.embedded import EmbeddedDetector
from a2cli.building.detect.motion import find_moving, get_camera_motion, get_motions
from a2cli.building.records import Box, Item, Reject, View
from a2cli.masks.morph import get_iou, require_bounding_box

DETECT = EmbeddedDetector(DetectConfig())


def test_the_camera_is_told_from_a_subject_with_more_corners() -> None:
    ground = cv2.cvtColor(load_ground("coffee"), cv2.COLOR_RGB2GRAY)[:200, :280]
    ground = cv2.GaussianBlur(ground, (0, 0), 1.5)
    truth = np.array([[1.01, 0.006, 3.2], [-0.006, 1.01, -1.7], [0, 0, 1]])
    moved = cv2.warpPerspective(ground, truth, (280, 200), borderMode=cv2.BORDER_REFLECT)
    busy = np.kron(np.random.default_rng(0).integers(0, 255, (20, 20)), np.ones((5, 5))).astype(np.uint8)
    ground, moved = ground.copy(), moved.copy()
    ground[50:150, 100:200] = busy
    moved[58:158, 88:188] = busy
    found = get_camera_motion(ground, moved)
    assert found is not None
    corners = np.array([[[0, 0]], [[279, 0]], [[0, 199]], [[279, 199]]], np.float32)
    away = cv2.perspectiveTransform(corners, found) - cv2.perspectiveTransform(corners, truth)
    assert np.abs(away).max() < 1.0
    assert get_camera_motion(np.full((90, 90), 70, np.uint8), np.full((90, 90), 70, np.uint8)) is None


@pytest.mark.parametrize("seed", [0, 2, 9])
def test_boxes_of_a_moving_subject(seed: int, tmp_path: Path) -> None:
    truth = render_video(tmp_path / "v.mp4", seed, seconds=2.0)
    item = make_item(tmp_path / "v.mp4", frames=7)
    found = DETECT(item)
    assert isinstance(found, Item) and len(found.views) >= 6 and "OpenCV" in found.tools["detect"]
    overlaps = []
    for view in found.views:
        assert view.time is not None and view.motion is not None
        assert -1 <= view.motion.min() < -0.3 and 0.9 < view.motion.max() <= 1
        box, right = view.boxes[0], require_bounding_box(truth.get_mask(view.time))
        overlaps.append(get_box_iou((box.x0, box.y0, box.x1, box.y1), right))
        assert 0.5 < box.score <= 1 and box.label == "moving"
    assert np.median(overlaps) > 0.7
    again = DETECT(item)
    assert isinstance(again, Item) and [v.boxes for v in again.views] == [v.boxes for v in found.views]


def get_box_iou(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    across, down = (max(min(a[i + 2], b[i + 2]) - max(a[i], b[i]), 0) for i in (0, 1))
    areas = sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (a, b))
    return across * down / (areas - across * down)


@pytest.mark.parametrize("pan", [0.0, 1.0])
def test_a_video_without_a_subject_is_rejected(pan: float, tmp_path: Path) -> None:
    render_video(tmp_path / "v.mp4", 3, seconds=1.0, kind="none", pan=pan)
    item = make_item(tmp_path / "v.mp4", frames=4)
    found = DETECT(item)
    assert isinstance(found, Reject) and found.reason == "no subject found"
    assert found.dropped == {"no subject found": 4}


def test_a_plain_inside_moves_with_its_outline() -> None:
    scene = Scene(1, kind="star", ground="grass", radius=0.4)
    scene.parts[0].colours[:] = (190, 180, 150)
    frames = [scene.render(time)[0] for time in (0.9, 1.0, 1.1)]
    (motion,) = get_motions([View("f", frames[1], time=1.0, neighbours=(frames[0], frames[2]))])
    assert motion is not None
    moving = find_moving(motion)
    assert moving is not None and get_iou(moving, scene.get_mask(1.0)) > 0.75


def test_ground_that_the_subject_uncovers_does_not_move() -> None:
    """With the frames on both sides the trail before and behind is ground; with one of them it is not."""
    scene = Scene(9, pan=0.0)
    frames = [scene.render(time)[0] for time in (0.2, 0.4, 0.6)]
    truth = scene.get_mask(0.4)
    halo = cv2.dilate(truth.astype(np.uint8), np.ones((25, 25), np.uint8)) - truth > 0
    both, one = (
        get_motions([View("f", frames[1], neighbours=near)])[0]
        for near in ((frames[0], frames[2]), (frames[0],))
    )
    assert both is not None and one is not None
    assert (both[halo] > 0.5).mean() < 0.8 * (one[halo] > 0.5).mean()


def test_find_moving_takes_the_largest_and_no_specks() -> None:
    motion = np.full((100, 140), -0.5, np.float32)
    assert find_moving(motion) is None
    motion[5, 5] = 1
    motion[40:70, 30:60], motion[10:20, 100:110] = 0.9, 1
    moving = find_moving(motion)
    assert moving is not None and require_bounding_box(moving) == (30, 40, 60, 70)


def test_given_boxes_and_masks_are_kept_and_stills_are_looked_at() -> None:
    rgb, mask = make_still(3, ground="brick")
    boxed = View("boxed", rgb, boxes=(Box(1, 2, 30, 40),), given=True)
    masked = View("masked", rgb, mask=mask, given=True)
    found = DETECT(Item("i", "g", (boxed, masked, View("open", rgb))))
    assert isinstance(found, Item)
    assert found.views[0] is boxed and found.views[1] is masked
    box = found.views[2].boxes[0]
    assert get_box_iou((box.x0, box.y0, box.x1, box.y1), require_bounding_box(mask)) > 0.85
    kept = DETECT(Item("i", "g", (boxed, masked)))
    assert isinstance(kept, Item) and kept.tools == {}


def test_a_still_of_ground_alone_is_rejected_and_a_large_one_has_its_own_pixels() -> None:
    empty = DETECT(Item("i", "g", (View("v", load_ground("gravel")),)))
    assert isinstance(empty, Reject) and "stands out" in empty.detail
    rgb, mask = make_still(1, ground="plain")
    large = cv2.resize(rgb, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    found = DETECT(Item("i", "g", (View("v", large),)))
    assert isinstance(found, Item)
    box = found.views[0].boxes[0]
    right = np.array(require_bounding_box(mask)) * 4.0
    assert np.abs(np.array([box.x0, box.y0, box.x1, box.y1]) - right).max() < 12


def test_views_without_a_subject_are_dropped_and_counted() -> None:
    rgb, _ = make_still(3, ground="brick")
    views = (View("a", rgb), View("b", load_ground("gravel")))
    found = DETECT(Item("i", "g", views, dropped={"another shot": 2}))
    assert isinstance(found, Item) and [v.name for v in found.views] == ["a"]
    assert found.dropped == {"another shot": 2, "no subject found": 1}
    one_left = Item("i", "g", (replace(views[0], time=0.0, neighbours=(rgb,), boxes=(Box(0, 0, 9, 9),)),))
    assert isinstance(DETECT(one_left), Item)
