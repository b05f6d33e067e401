"""The placed reference lies where the region is, and turned as it is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from a2cli.images import find_rotation, get_bounding_box, paste_scaled, place_reference


def make_subject(seed: int, side: int = 96) -> tuple[np.ndarray, np.ndarray]:
    """A lopsided blob with a colour gradient on white."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((side, side), np.uint8)
    cv2.ellipse(mask, (side // 2, side // 2), (side // 3, side // 8), 20, 0, 360, 1, -1)
    for _ in range(3):
        at = tuple(int(v) for v in rng.integers(side * 35 // 100, side * 65 // 100, 2))
        axes = tuple(int(v) for v in rng.integers(side // 16, side // 5, 2))
        cv2.ellipse(mask, at, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    y, x = np.mgrid[0:side, 0:side] * (255 // side)
    rgb = np.where(mask[..., None] > 0, np.stack([x, y, 255 - x], -1), 255).astype(np.uint8)
    return rgb, mask > 0


def turn(rgb: np.ndarray, mask: np.ndarray, angle: float, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Turned about the middle on a canvas of 128 by 150."""
    side = mask.shape[0]
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), angle, scale)
    matrix[:, 2] += (75 - side / 2, 64 - side / 2)
    moved = cv2.warpAffine(rgb, matrix, (150, 128), borderValue=(255, 255, 255))
    return moved, cv2.warpAffine(mask.astype(np.float32), matrix, (150, 128)) > 0.5


def get_iou(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.count_nonzero(a & b) / np.count_nonzero(a | b))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("angle", [-38.0, -15.0, 24.0, 40.0])
def test_turned_silhouette_is_found_again(seed: int, angle: float) -> None:
    rgb, mask = make_subject(seed)
    target, region = turn(rgb, mask, angle, 0.9)
    assert abs(find_rotation(mask, region) - angle) <= 5.0
    canvas, placed = place_reference(rgb, mask, region, search_rotation=True)
    assert canvas.shape == (128, 150, 3) and canvas.dtype == np.uint8
    assert placed.shape == (128, 150) and placed.dtype == np.float32
    assert get_iou(placed > 0.5, region) > 0.9
    stretched, stretched_mask = paste_scaled(rgb, mask, region)
    assert get_iou(placed > 0.5, region) > get_iou(stretched_mask > 0.5, region)
    inside = region & (placed > 0.9)
    error = np.abs(canvas.astype(int) - target)[inside].mean()
    assert error < 8 < np.abs(stretched.astype(int) - target)[inside].mean()


@pytest.mark.parametrize("radius", [3, 8])
def test_rough_regions_still_tell_the_turn(radius: int) -> None:
    errors = []
    for seed in range(8):
        rgb, mask = make_subject(seed)
        _, region = turn(rgb, mask, 30.0, 0.8)
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        rough = cv2.dilate(region.astype(np.uint8), disc) > 0
        errors.append(abs(find_rotation(mask, rough) - 30.0))
        _, placed = place_reference(rgb, mask, rough, search_rotation=True)
        assert get_iou(placed > 0.5, rough) >= get_iou(paste_scaled(rgb, mask, rough)[1] > 0.5, rough) - 0.02
    assert float(np.median(errors)) <= 7.5


def test_no_turn_without_a_gain() -> None:
    for seed in range(6):
        rgb, mask = make_subject(seed)
        _, region = turn(rgb, mask, 0.0, 1.1)
        assert find_rotation(mask, region) == 0.0
        for switch in (True, False):
            canvas, placed = place_reference(rgb, mask, region, search_rotation=switch, register=False)
            plain, plain_mask = paste_scaled(rgb, mask, region)
            assert np.array_equal(canvas, plain) and np.array_equal(placed, plain_mask)
    disc = np.zeros((64, 64), np.uint8)
    cv2.circle(disc, (32, 32), 20, 1, -1)
    assert find_rotation(disc, disc) == 0.0


def test_box_region_gets_the_reference_upright_with_its_aspect() -> None:
    rgb, mask = make_subject(3)
    box = np.zeros((128, 150), bool)
    box[20:60, 30:140] = True
    _, placed = place_reference(rgb, mask, box, search_rotation=True)
    x0, y0, x1, y1 = get_bounding_box(placed > 0.5) or (0, 0, 0, 0)
    source = get_bounding_box(mask) or (0, 0, 1, 1)
    wanted = (source[2] - source[0]) / (source[3] - source[1])
    assert abs((x1 - x0) / (y1 - y0) / wanted - 1) < 0.06
    assert y0 >= 20 and y1 <= 60 and x0 >= 30 and x1 <= 140 and y1 - y0 >= 38
    assert abs((x0 + x1) / 2 - 85) <= 1.5
    # A reference that is a box itself fills it.
    _, filled = place_reference(rgb, np.ones_like(mask), box, search_rotation=True)
    assert np.array_equal(filled > 0.5, box)


def test_paste_scaled_stretches_box_onto_box_without_a_rim_of_ground() -> None:
    rgb = np.full((50, 60, 3), 255, np.uint8)
    mask = np.zeros((50, 60), bool)
    cv2_mask = mask.astype(np.uint8)
    cv2.ellipse(cv2_mask, (30, 25), (20, 12), 0, 0, 360, 1, -1)
    mask = cv2_mask > 0
    rgb[mask] = (10, 20, 30)
    region = np.zeros((80, 90), bool)
    region[11:71, 5:40] = True
    canvas, placed = paste_scaled(rgb, mask, region, ground=128)
    assert get_bounding_box(placed > 0.4) == (5, 11, 40, 71)
    assert np.abs(canvas[placed > 0.05].astype(int) - (10, 20, 30)).max() <= 1
    assert (canvas[placed == 0] == 128).all()


def test_empty_masks_place_nothing_and_points_are_survived() -> None:
    rgb, mask = make_subject(0)
    none = np.zeros((20, 20), bool)
    for place in (paste_scaled, place_reference):
        for ref_mask, region in ((mask, none), (np.zeros_like(mask), ~none)):
            canvas, placed = place(rgb, ref_mask, region)
            assert not placed.any() and (canvas == 255).all()
    dot = none.copy()
    dot[7, 8] = True
    point = np.zeros_like(mask)
    point[3, 4] = True
    line = np.zeros_like(mask)
    line[:, 40] = True
    for ref_mask in (mask, point, line, mask * np.float32(0.3)):
        for region in (dot, ~none, np.eye(20, dtype=bool), np.triu(~none)):
            canvas, placed = place_reference(rgb, ref_mask, region, search_rotation=True)
            assert placed.shape == region.shape and np.isfinite(placed).all() and placed.max() <= 1


def test_deterministic() -> None:
    rgb, mask = make_subject(1, side=128)
    _, region = turn(rgb, mask, 30.0, 0.7)
    first = place_reference(rgb, mask, region, search_rotation=True)
    for _ in range(3):
        again = place_reference(rgb, mask, region, search_rotation=True)
        assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
