"""Equations 3-5 of A2-Edit, written naively, against the code; and what a rough mask promises."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from noise import pnoise2

from a2cli.errors import ConfigError, DataError
from a2cli.masks.augment import (
    RoughConfig,
    RoughStrengths,
    apply_rough,
    box_of,
    build_rough,
    displace_contour,
    get_object_size,
    project_points,
    roughen,
    sample_strengths,
)
from a2cli.masks.morph import dilate_disc, get_iou, require_bounding_box


def draw_disc(size: int, x: float, y: float, radius: float) -> np.ndarray:
    ys, xs = np.mgrid[:size, :size]
    return (xs - x) ** 2 + (ys - y) ** 2 <= radius**2


def draw_horseshoe(size: int = 128) -> np.ndarray:
    shoe = draw_disc(size, size / 2, size / 2, size * 0.36) & ~draw_disc(size, size / 2, size / 2, size * 0.2)
    shoe[: size // 2, int(size * 0.44) : int(size * 0.56)] = False
    return shoe


def test_displacement_equals_equation_4() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 300, (40, 2))
    alpha, s, delta = 7.5, 0.031, 211.0
    moved = displace_contour(points, alpha, s, delta)
    for (x, y), (moved_x, moved_y) in zip(points, moved, strict=True):
        assert moved_x == pytest.approx(x + alpha * pnoise2(x * s, y * s), abs=1e-9)
        assert moved_y == pytest.approx(y + alpha * pnoise2((x + delta) * s, (y + delta) * s), abs=1e-3)


def test_displacement_is_smooth_along_the_contour_and_differs_between_axes() -> None:
    t = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    circle = np.stack([64 + 40 * np.cos(t), 64 + 40 * np.sin(t)], axis=1)
    shift = displace_contour(circle, 10.0, 0.04, 130.7) - circle
    assert np.abs(shift).max() > 1
    assert np.abs(np.diff(shift, axis=0)).max() < 0.5
    assert np.abs(np.corrcoef(shift.T)[0, 1]) < 0.9


def test_projection_keeps_points_in_the_image() -> None:
    points = np.array([[-3.0, 5.0], [12.0, -1.0], [8.0, 30.0], [4.0, 6.0]])
    assert project_points(points, (20, 10)).tolist() == [[0, 5], [9, 0], [8, 19], [4, 6]]


def test_no_amplitude_leaves_equation_3_alone_whatever_the_topology() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        mask = cv2.GaussianBlur(rng.normal(size=(96, 96)), (0, 0), 4) > 0.02
        assert np.array_equal(apply_rough(mask, RoughStrengths(2.0, 0.0, 0.05, 300)), dilate_disc(mask, 2))
        # an amplitude too small to move a pixel takes the whole way through contours and filling
        assert np.array_equal(apply_rough(mask, RoughStrengths(2.0, 1e-9, 0.05, 300)), dilate_disc(mask, 2))


def test_a_single_contour_equals_filling_the_naive_polygon() -> None:
    mask = draw_disc(160, 80, 76, 45)
    strengths = RoughStrengths(dilate=5, alpha=12, scale=0.025, delta=333, offset=(1.3, 2.6))
    contours, _ = cv2.findContours(
        dilate_disc(mask, 5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    naive = []
    for x, y in contours[0][:, 0].tolist():
        u, v = x * 0.025 + 1.3, y * 0.025 + 2.6
        d = 333 * 0.025
        px = x + 12 * pnoise2(u, v)
        py = y + 12 * pnoise2(u + d, v + d)
        naive.append((round(min(max(px, 0), 159)), round(min(max(py, 0), 159))))
    expected = cv2.fillPoly(np.zeros((160, 160), np.uint8), [np.array(naive, np.int32)], 1).astype(bool)
    rough = apply_rough(mask, strengths)
    assert get_iou(rough, expected) > 0.995
    assert get_iou(rough, mask) < 0.95


def rough_by_definition(mask: np.ndarray, strengths: RoughStrengths) -> np.ndarray:
    """Equations 3-5 on the whole image, point by point and contour by contour, outer ones first."""
    dilated = dilate_disc(mask, strengths.dilate).astype(np.uint8)
    contours, hierarchy = cv2.findContours(dilated, cv2.RETR_TREE, cv2.CHAIN_APPROX_NONE)
    shift = strengths.delta * strengths.scale
    depths, canvas = [], np.zeros(mask.shape, np.uint8)
    for index in range(len(contours)):
        depth, parent = 0, hierarchy[0][index][3]
        while parent >= 0:
            depth, parent = depth + 1, hierarchy[0][parent][3]
        depths.append(depth)
    for depth in range(max(depths) + 1):
        polygons, layer = [], np.zeros(mask.shape, np.uint8)
        for contour in (c for c, d in zip(contours, depths, strict=True) if d == depth):
            moved = []
            for x, y in contour[:, 0].tolist():
                u, v = x * strengths.scale + strengths.offset[0], y * strengths.scale + strengths.offset[1]
                moved_x = x + strengths.alpha * pnoise2(u, v)
                moved_y = y + strengths.alpha * pnoise2(u + shift, v + shift)
                moved.append((np.clip(moved_x, 0, mask.shape[1] - 1), np.clip(moved_y, 0, mask.shape[0] - 1)))
            polygons.append(np.rint(np.array(moved)).astype(np.int32)[:, None])
            cv2.fillPoly(layer, polygons[-1:], 1)
        outlines, _ = cv2.findContours(layer, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(canvas, outlines, -1, 1 - depth % 2, cv2.FILLED)
        if depth % 2:
            cv2.polylines(canvas, polygons, True, 1)
    return canvas.astype(bool)


def test_working_in_a_window_equals_the_definition_on_the_whole_image() -> None:
    rng = np.random.default_rng(2)
    for _ in range(25):
        mask = cv2.GaussianBlur(rng.normal(size=(90, 130)), (0, 0), float(rng.uniform(2, 12))) > 0.05
        strengths = RoughStrengths(
            dilate=float(rng.uniform(0, 12)),
            alpha=float(rng.uniform(0.5, 30)),
            scale=float(rng.uniform(0.005, 0.1)),
            delta=float(rng.uniform(50, 400)),
            offset=(float(rng.uniform(0, 256)), float(rng.uniform(0, 256))),
        )
        assert np.array_equal(apply_rough(mask, strengths), rough_by_definition(mask, strengths))


def test_the_strengths_told_make_the_mask_again() -> None:
    for seed in range(12):
        rough = build_rough(draw_horseshoe(), np.random.default_rng(seed))
        assert np.array_equal(apply_rough(draw_horseshoe(), rough.strengths), rough.mask)
        assert rough.iou == pytest.approx(get_iou(draw_horseshoe(), rough.mask))
        assert np.array_equal(rough.mask, roughen(draw_horseshoe(), np.random.default_rng(seed)))


def test_an_empty_mask_has_an_empty_rough_form() -> None:
    assert not apply_rough(np.zeros((9, 12), bool), RoughStrengths(3.0, 4.0, 0.05, 90.0)).any()


def test_holes_and_components_are_kept() -> None:
    mask = draw_disc(256, 90, 128, 70) & ~draw_disc(256, 90, 128, 35) | draw_disc(256, 90, 128, 8)
    mask |= draw_disc(256, 220, 60, 20)
    for seed in range(8):
        rough = roughen(
            mask, np.random.default_rng(seed), RoughConfig(dilate=(0.01, 0.02), alpha=(0.02, 0.03))
        )
        assert cv2.connectedComponents(rough.astype(np.uint8))[0] - 1 == 3
        assert not rough[128, 90 + 22] and rough[128, 90] and rough[60, 220]


def test_overlap_stays_in_the_configured_range() -> None:
    for seed in range(40):
        iou = get_iou(draw_horseshoe(), roughen(draw_horseshoe(), np.random.default_rng(seed)))
        assert 0.4 <= iou <= 0.97
    tight = RoughConfig(dilate=(0.2, 0.3), iou=(0.7, 0.9))
    for seed in range(10):
        rough = roughen(draw_horseshoe(), np.random.default_rng(seed), tight)
        assert 0.7 <= get_iou(draw_horseshoe(), rough) <= 0.9


def test_same_generator_same_mask_and_variants_differ() -> None:
    mask = draw_horseshoe()
    assert np.array_equal(roughen(mask, np.random.default_rng(3)), roughen(mask, np.random.default_rng(3)))
    rng = np.random.default_rng(3)
    assert get_iou(roughen(mask, rng), roughen(mask, rng)) < 1
    assert np.array_equal(mask, draw_horseshoe())


@pytest.mark.parametrize(
    "mask",
    [
        np.ones((20, 20), bool),
        np.eye(1, 400, 7, dtype=bool).reshape(20, 20),
        np.ones((1, 64), bool),
        np.pad(np.ones((1, 30), bool), 5),
        draw_disc(40, 0, 0, 15),
    ],
    ids=["full", "one-pixel", "one-row", "line", "corner"],
)
def test_odd_masks_work_and_never_come_out_empty(mask: np.ndarray) -> None:
    for seed in range(5):
        rough = roughen(mask, np.random.default_rng(seed))
        assert rough.shape == mask.shape and rough.dtype == bool and rough.any()


def test_empty_mask_is_refused() -> None:
    with pytest.raises(DataError, match="empty"):
        roughen(np.zeros((8, 8), bool), np.random.default_rng(0))


def test_box_is_the_bounding_box() -> None:
    rough = roughen(draw_horseshoe(), np.random.default_rng(5))
    box = box_of(rough)
    x0, y0, x1, y1 = require_bounding_box(rough)
    assert box.sum() == (x1 - x0) * (y1 - y0) and box[y0:y1, x0:x1].all()
    assert require_bounding_box(box) == (x0, y0, x1, y1)


def test_strengths_scale_with_the_object() -> None:
    size = get_object_size(np.pad(np.ones((20, 80), bool), 3))
    assert size == pytest.approx(40)
    config = RoughConfig()
    for seed in range(20):
        strengths = sample_strengths(size, np.random.default_rng(seed), config)
        assert config.dilate[0] * size <= strengths.dilate <= config.dilate[1] * size
        assert config.scale[0] <= strengths.scale * size <= config.scale[1]
    small = sample_strengths(10, np.random.default_rng(0), config)
    large = sample_strengths(100, np.random.default_rng(0), config)
    assert large.alpha == pytest.approx(10 * small.alpha) and small.offset == large.offset


@pytest.mark.parametrize(
    "ranges",
    [{"dilate": (0.2, 0.1)}, {"alpha": (-0.1, 0.1)}, {"scale": (0.0, float("inf"))}, {"iou": (1.0, 1.0)}],
)
def test_impossible_ranges_are_refused(ranges: dict[str, tuple[float, float]]) -> None:
    with pytest.raises(ConfigError, match=next(iter(ranges))):
        RoughConfig(**ranges)
