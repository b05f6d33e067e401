"""Registration of a reference's outline to a region's: exact masks, loose masks, and what must be refused."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from a2cli.images.align import place_reference
from a2cli.images.geometry import get_bounding_box, get_rescaling
from a2cli.images.register import register_silhouette
from a2cli.masks.augment import RoughConfig
from a2cli.masks.curriculum import apply_stage
from a2cli.masks.morph import get_iou

SIDE = 160


def draw_leaf(side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """A subject without symmetry, its colours telling every place apart: (side, side, 3) uint8, bool."""
    points = np.array(
        [[0.2, 0.75], [0.3, 0.3], [0.55, 0.15], [0.6, 0.4], [0.9, 0.5], [0.7, 0.85], [0.45, 0.7]]
    )
    mask = np.zeros((side, side), np.uint8)
    cv2.fillPoly(mask, [np.round(points * side).astype(np.int32)], 1)
    ramp = np.linspace(0, 255, side, dtype=np.float32)
    rgb = np.stack(
        [np.tile(ramp, (side, 1)), np.tile(ramp[:, None], (1, side)), np.full((side, side), 90)], -1
    )
    return rgb.astype(np.uint8), mask.astype(bool)


def view(
    rgb: np.ndarray, mask: np.ndarray, matrix: np.ndarray, side: int = SIDE
) -> tuple[np.ndarray, np.ndarray]:
    seen = cv2.warpPerspective(rgb, matrix, (side, side), flags=cv2.INTER_LINEAR)
    outline = cv2.warpPerspective(mask.astype(np.float32), matrix, (side, side), flags=cv2.INTER_LINEAR)
    return seen, outline > 0.5


def make_homography(seed: int, corner: float = 0.08) -> np.ndarray:
    """Turn by up to 20 degrees, shrink to about two thirds, move every corner on its own."""
    rng = np.random.default_rng(seed)
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float64) * SIDE
    angle = np.deg2rad(rng.uniform(-20, 20))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = (square - SIDE / 2) @ turn.T * 0.66 + SIDE / 2 + rng.uniform(-corner, corner, (4, 2)) * SIDE
    return cv2.getPerspectiveTransform(square.astype(np.float32), moved.astype(np.float32))


@pytest.mark.parametrize("seed", range(6))
def test_a_fine_mask_gives_the_pose(seed: int) -> None:
    rgb, mask = draw_leaf()
    seen, region = view(rgb, mask, make_homography(seed))
    canvas, placed = place_reference(rgb, mask, region)
    inside = cv2.erode(region.astype(np.uint8), np.ones((3, 3))).astype(bool)
    assert get_iou(placed > 0.5, region) > 0.95
    registered = np.abs(canvas[inside].astype(float) - seen[inside]).mean()
    canvas, _ = place_reference(rgb, mask, region, register=False)
    boxed = np.abs(canvas[inside].astype(float) - seen[inside]).mean()
    assert registered < 5 and registered < 0.7 * boxed, (registered, boxed)


def test_a_loose_mask_is_not_filled_to_its_rim() -> None:
    rgb, mask = draw_leaf()
    registered, boxed = [], []
    for seed in range(6):
        seen, region = view(rgb, mask, make_homography(seed))
        loose = apply_stage(region, "rough", np.random.default_rng(seed), RoughConfig(dilate=(0.07, 0.07)))
        for errors, register in ((registered, True), (boxed, False)):
            canvas, placed = place_reference(rgb, mask, loose, register=register)
            error = np.abs(canvas[region].astype(float) - seen[region]).mean(axis=-1)
            errors.append(float(np.where(placed[region] > 0.5, error, 128).mean()))
    assert np.mean(registered) < 0.75 * np.mean(boxed), (registered, boxed)


def test_start_is_kept_where_it_is_right() -> None:
    _, mask = draw_leaf()
    found = register_silhouette(mask, mask, np.eye(3))
    assert found is not None
    corners = np.array([[30, 30, 1], [130, 30, 1], [130, 130, 1], [30, 130, 1]], float).T
    moved = found @ corners
    assert np.abs(moved[:2] / moved[2] - corners[:2]).max() < 1.5


def test_sizes_of_reference_and_canvas_do_not_matter() -> None:
    rgb, mask = draw_leaf()
    _, region = view(rgb, mask, make_homography(3))
    large_rgb = cv2.resize(rgb, (640, 640), interpolation=cv2.INTER_LINEAR)
    large_mask = cv2.resize(mask.astype(np.uint8), (640, 640), interpolation=cv2.INTER_NEAREST).astype(bool)
    small, cover = place_reference(rgb, mask, region)
    large, large_cover = place_reference(large_rgb, large_mask, region)
    both = (cover > 0.9) & (large_cover > 0.9)
    assert get_iou(cover > 0.5, large_cover > 0.5) > 0.95
    assert np.abs(small[both].astype(float) - large[both]).mean() < 4


def test_where_the_subject_stands_in_its_picture_does_not_matter() -> None:
    rgb, mask = draw_leaf()
    rgb[::6] = rgb[:, ::6] = 0  # texture that blur would take away
    wide_rgb, wide_mask = np.full((700, 900, 3), 128, np.uint8), np.zeros((700, 900), bool)
    wide_rgb[520:680, 20:180], wide_mask[520:680, 20:180] = rgb, mask
    x0, y0, x1, y1 = get_bounding_box(mask) or (0, 0, 0, 0)
    for seed in range(4):
        _, region = view(rgb, mask, make_homography(seed, 0.11))
        whole = place_reference(wide_rgb, wide_mask, region)
        cut = place_reference(rgb[y0:y1, x0:x1], mask[y0:y1, x0:x1], region)
        assert all(np.array_equal(a, b) for a, b in zip(whole, cut, strict=True))


@pytest.mark.parametrize("side", [1, 2, 5])
def test_regions_of_few_pixels_have_no_outline(side: int) -> None:
    _, mask = draw_leaf()
    region = np.zeros((40, 40), bool)
    region[10 : 10 + side, 20 : 20 + side] = True
    assert register_silhouette(mask, region, np.eye(3)) is None


def test_a_faint_subject_is_turned_whole() -> None:
    mask = np.zeros((120, 200), np.float32)
    mask[30:90, 20:180] = 0.3
    region = np.zeros((160, 200), np.uint8)
    corners = cv2.boxPoints(((100, 80), (140, 52), -30))
    cv2.fillPoly(region, [np.round(corners).astype(np.int32)], 1)
    _, placed = place_reference(np.full((120, 200, 3), 60, np.uint8), mask, region.astype(bool))
    assert get_iou(placed > 0.15, region.astype(bool)) > 0.9


def test_unlike_outlines_are_not_bent_into_each_other() -> None:
    _, mask = draw_leaf()
    ring = np.zeros((SIDE, SIDE), np.uint8)
    cv2.circle(ring, (80, 80), 60, 1, 6)
    assert register_silhouette(mask, ring.astype(bool), np.eye(3)) is None


def test_an_empty_region_or_subject_is_no_match() -> None:
    _, mask = draw_leaf()
    nothing = np.zeros_like(mask)
    assert register_silhouette(mask, nothing, np.eye(3)) is None
    assert register_silhouette(nothing, mask, np.eye(3)) is None


def test_rescaling_keeps_corners() -> None:
    matrix = get_rescaling((10, 20), (40, 60))
    assert np.allclose(matrix @ [-0.5, -0.5, 1], [-0.5, -0.5, 1])
    assert np.allclose(matrix @ [19.5, 9.5, 1], [59.5, 39.5, 1])
