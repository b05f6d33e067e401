"""Outlines: drawn again, they are the mask."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest

from a2cli.pages.outline import MOST_ISLANDS, MOST_POINTS, trace_mask

ZOOM = 8  # how much larger than the drawing an outline is painted for the comparison


def parse(path: str) -> list[np.ndarray]:
    parts = [part for part in path.split("Z") if part]
    return [np.array([p.split() for p in part[1:].split("L")], float) for part in parts]


def paint(path: str, size: tuple[int, int]) -> np.ndarray:
    """The path filled by the even-odd rule, at the scale of the drawing."""
    canvas = np.zeros((size[0] * ZOOM, size[1] * ZOOM), np.uint8)
    polygons = [np.rint(points * ZOOM).astype(np.int32) for points in parse(path)]
    cv2.fillPoly(canvas, polygons, 1)  # even-odd
    return cv2.resize(canvas.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA) >= 0.5


def get_iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def make_ring(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    radius = np.hypot((y - height / 2) / height, (x - width / 2) / width)
    return (radius < 0.4) & (radius > 0.2)


@pytest.mark.parametrize("size", [(600, 800), (64, 48), (20, 28), (3000, 200)])
def test_a_ring_keeps_its_hole_at_any_size(size: tuple[int, int]) -> None:
    mask = make_ring(*size)
    path = trace_mask(mask, size)
    assert len(parse(path)) == 2
    assert get_iou(paint(path, size), mask) > 0.97


def test_a_shrunk_drawing_lies_in_its_own_pixels() -> None:
    mask = np.zeros((1000, 2000), bool)
    mask[100:300, 400:1200] = True
    (box,) = parse(trace_mask(mask, (100, 200)))
    assert box.min(axis=0) == pytest.approx([40, 10], abs=0.15)
    assert box.max(axis=0) == pytest.approx([120, 30], abs=0.15)


def test_a_single_pixel_and_a_line_stay() -> None:
    mask = np.zeros((900, 900), bool)
    mask[450, 450] = mask[10, 100:800] = True
    line, dot = sorted(parse(trace_mask(mask, (225, 225))), key=len, reverse=True)
    assert dot[0] == pytest.approx([112.6, 112.6], abs=0.1)
    assert np.ptp(line[:, 0]) == pytest.approx(175, abs=1)


def test_nothing_and_everything() -> None:
    assert trace_mask(np.zeros((30, 30), bool), (30, 30)) == ""
    (full,) = parse(trace_mask(np.ones((50, 70), bool), (50, 70)))
    assert full.min() == pytest.approx(0, abs=0.1) and full.max() == pytest.approx(70, abs=0.1)


def test_the_wildest_mask_makes_a_light_path() -> None:
    noise = np.random.default_rng(0).random((600, 600)) < 0.3
    path = trace_mask(noise, (256, 256))
    assert path.count("M") <= MOST_ISLANDS
    assert len(re.findall("[ML]", path)) <= MOST_POINTS and len(path) < 40_000
