"""Bidirectional patch distance."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from a2cli.metrics.patches import PATCH, SIDE, bidirectional_similarity, get_patches


def draw_texture(seed: int, side: int = SIDE) -> np.ndarray:
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=(side, side, 3)), (0, 0), 2)
    return np.clip(128 + 300 * noise, 0, 255).astype(np.uint8)


ALL = np.ones((SIDE, SIDE), bool)


def test_the_same_subject_has_no_distance() -> None:
    distance = bidirectional_similarity(draw_texture(0), ALL, draw_texture(0), ALL)
    assert distance.completeness == distance.coherence == distance.total == 0.0


def test_place_in_the_picture_does_not_matter_and_other_subjects_are_farther() -> None:
    photo = np.full((120, 140, 3), 30, np.uint8)
    mask = np.zeros((120, 140), bool)
    photo[40 : 40 + SIDE, 70 : 70 + SIDE] = draw_texture(0)
    mask[40 : 40 + SIDE, 70 : 70 + SIDE] = True
    assert bidirectional_similarity(photo, mask, draw_texture(0), ALL).total == pytest.approx(0, abs=1e-3)
    assert bidirectional_similarity(photo, mask, draw_texture(1), ALL).total > 0.03


def test_size_is_normalised() -> None:
    large = cv2.resize(draw_texture(0), None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    near = bidirectional_similarity(large, np.ones(large.shape[:2], bool), draw_texture(0), ALL).total
    assert near < 0.25 * bidirectional_similarity(draw_texture(1), ALL, draw_texture(0), ALL).total


def test_each_direction_says_its_own_thing() -> None:
    whole = np.hstack([draw_texture(0)[:, : SIDE // 2], np.full((SIDE, SIDE // 2, 3), 255, np.uint8)])
    part = np.full((SIDE, SIDE, 3), 255, np.uint8)
    lost = bidirectional_similarity(part, ALL, whole, ALL)
    assert lost.coherence == pytest.approx(0, abs=1e-3) and lost.completeness > 0.05
    added = bidirectional_similarity(whole, ALL, part, ALL)
    assert added.completeness == pytest.approx(0, abs=1e-3) and added.coherence > 0.05


def test_one_product_equals_the_loop_over_pairs() -> None:
    a, b = draw_texture(2, 20)[:, :9], draw_texture(3, 26)[:, :12]
    mask_a, mask_b = np.ones((20, 9), bool), np.ones((26, 12), bool)
    mask_a[:4, :3] = mask_b[20:, 7:] = False
    patches_a, patches_b = get_patches(a, mask_a), get_patches(b, mask_b)
    distance = bidirectional_similarity(a, mask_a, b, mask_b)
    nearest_b = [min(np.sqrt(((p - q) ** 2).mean()) for q in patches_b) for p in patches_a[::97]]
    squares = np.stack([((p - patches_b) ** 2).mean(axis=1) for p in patches_a])
    assert np.allclose(np.sqrt(squares.min(axis=1))[::97], nearest_b, rtol=1e-4)
    assert distance.coherence == pytest.approx(np.sqrt(squares.min(axis=1)).mean(), rel=1e-6)
    assert distance.completeness == pytest.approx(np.sqrt(squares.min(axis=0)).mean(), rel=1e-6)
    assert distance.total == pytest.approx((distance.coherence + distance.completeness) / 2)


@pytest.mark.parametrize("shape", [(1, 1), (1, 60), (60, 1), (3, 5), (200, 9)])
def test_odd_regions_work(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), 90, np.uint8)
    distance = bidirectional_similarity(image, np.ones(shape, bool), draw_texture(0), ALL)
    assert 0 < distance.total < 1


def test_patches_lie_inside_the_mask_where_they_can() -> None:
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    mask = np.zeros((SIDE, SIDE), bool)
    mask[:, :30] = mask[:12] = True
    image[mask] = 200
    patches = get_patches(image, mask)
    assert patches.shape[1] == PATCH * PATCH * 3 and np.allclose(patches, 200 / 255)
