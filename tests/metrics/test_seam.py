"""Gradient jump across a border."""

from __future__ import annotations

import numpy as np
import pytest

from a2cli.metrics.seam import get_jumps, get_seam_values
from a2cli.metrics.shots import Shot


def gradient_jump(image: np.ndarray, mask: np.ndarray) -> float:
    jumps = get_jumps(image, mask)
    return float(jumps.mean()) if jumps.size else 0.0


def get_jump_naively(image: np.ndarray, mask: np.ndarray) -> float:
    height, width = mask.shape
    jumps = []
    for y in range(height):
        for x in range(width):
            if not mask[y, x]:
                continue
            for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                line = [(y + k * dy, x + k * dx) for k in (-1, 0, 1, 2)]
                if any(not (0 <= v < height and 0 <= u < width) for v, u in line) or mask[line[2]]:
                    continue
                p2, p, q, q2 = (image[at].astype(float) for at in line)
                before, across, after = (np.abs(a - b).mean() for a, b in ((p2, p), (p, q), (q, q2)))
                jumps.append(max(0.0, across - (before + after) / 2))
    return float(np.mean(jumps)) if jumps else 0.0


def test_equals_the_definition() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        image = rng.integers(0, 256, (13, 16, 3), dtype=np.uint8)
        mask = rng.random((13, 16)) < 0.4
        assert gradient_jump(image, mask) == pytest.approx(get_jump_naively(image, mask))


def test_a_step_shows_and_a_slope_does_not() -> None:
    mask = np.zeros((40, 40), bool)
    mask[10:30, 10:30] = True
    slope = np.broadcast_to(np.arange(40)[None, :, None] * 6.0, (40, 40, 3))
    assert gradient_jump(slope, mask) == pytest.approx(0)
    assert gradient_jump(slope + 50 * mask[..., None], mask) > 40


def test_masks_without_a_border_have_no_seam() -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    assert gradient_jump(image, np.ones((9, 9), bool)) == gradient_jump(image, np.zeros((9, 9), bool)) == 0.0
    assert gradient_jump(image[:2, :2], np.eye(2, dtype=bool)) == 0.0


def test_the_value_is_that_of_the_edit_alone() -> None:
    rng = np.random.default_rng(0)
    edited, source = rng.integers(0, 256, (2, 13, 16, 3), dtype=np.uint8)
    mask = np.zeros((13, 16), bool)
    mask[4:9, 5:11] = True
    shot = Shot("a", edited, mask, source=source, target=source)
    assert get_seam_values(shot) == {"seam": gradient_jump(edited, mask)}
    edge = np.zeros_like(mask)
    edge[0] = True  # one row has no next pixel
    assert get_seam_values(Shot("a", edited, edge)) == {}
