"""The subject comes off its ground: given, by alpha, plain, or busy."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from pictures import make_scene

from a2cli.errors import DataError
from a2cli.images import Cutout, build_photo, crop_to_subject, cut_out


def make_reference(ground: np.ndarray, colour: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    mask = np.zeros(ground.shape[:2], np.uint8)
    height, width = mask.shape
    cv2.ellipse(mask, (width // 2, height // 2), (width // 4, height // 3), 15, 0, 360, 1, -1)
    rgb = ground.copy()
    rng = np.random.default_rng(0)
    shaded = np.array(colour) + rng.normal(0, 8, (*mask.shape, 3))
    rgb[mask > 0] = np.clip(shaded, 0, 255).astype(np.uint8)[mask > 0]
    return rgb, mask > 0


def get_iou(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.count_nonzero(a & b) / np.count_nonzero(a | b))


def test_given_mask_and_alpha_come_first() -> None:
    rgb, mask = make_reference(make_scene(80, 100), (220, 30, 30))
    given = cut_out(build_photo(rgb), mask)
    assert np.array_equal(given.mask, mask.astype(np.float32)) and given.rgb is not None
    alpha = cut_out(build_photo(rgb, alpha=(mask * 255).astype(np.uint8)))
    assert np.array_equal(alpha.mask, mask.astype(np.float32))


@pytest.mark.parametrize("ground", [(255, 255, 255), (20, 20, 24), (90, 160, 90)])
def test_plain_ground_is_removed(ground: tuple[int, int, int]) -> None:
    noise = np.random.default_rng(1).normal(0, 1.5, (120, 90, 3))
    plain = np.clip(np.array(ground) + noise, 0, 255).astype(np.uint8)
    rgb, mask = make_reference(plain, (190, 60, 50))
    rgb[58:62, 43:47] = ground  # a print in the ground's colour belongs to the subject
    found = cut_out(build_photo(rgb)).mask
    assert get_iou(found > 0.5, mask) > 0.97
    assert found[60, 45] > 0.9 and found.min() == 0 and found.max() <= 1


def test_busy_ground_goes_by_grabcut_and_always_the_same_way() -> None:
    rgb, mask = make_reference((make_scene(420, 360) * 0.4 + 20).astype(np.uint8), (240, 200, 30))
    photo = build_photo(rgb)
    first, second = cut_out(photo), cut_out(photo)
    assert get_iou(first.mask > 0.5, mask) > 0.9
    assert np.array_equal(first.mask, second.mask)


def test_no_subject_names_the_remedy() -> None:
    flat = np.full((60, 60, 3), 200, np.uint8)
    for photo in (build_photo(flat, name="r.png"), build_photo(flat[:3, :3], name="r.png")):
        with pytest.raises(DataError, match=r"r\.png.*--ref-mask"):
            cut_out(photo)
    with pytest.raises(DataError, match="transparent"):
        cut_out(build_photo(flat, alpha=np.zeros((60, 60), np.uint8)))
    with pytest.raises(DataError, match="marks nothing"):
        cut_out(build_photo(flat), np.zeros((60, 60)))
    with pytest.raises(DataError, match="30 x 60"):
        cut_out(build_photo(flat), np.ones((60, 30)))
    with pytest.raises(DataError, match="--ref-mask"):
        crop_to_subject(Cutout(flat, np.zeros((60, 60), np.float32)), size=32)


@pytest.mark.parametrize("shape", [(40, 90), (90, 40), (5, 5), (200, 120)])
def test_subject_fills_the_square_centred_with_its_aspect(shape: tuple[int, int]) -> None:
    rgb = np.full((220, 220, 3), 7, np.uint8)
    mask = np.zeros((220, 220), np.float32)
    mask[3 : 3 + shape[0], 9 : 9 + shape[1]] = 1
    rgb[mask > 0] = (200, 100, 50)
    shown, shown_mask = crop_to_subject(Cutout(rgb, mask), size=100, margin=0.04, ground=255)
    assert shown.shape == (100, 100, 3) and shown.dtype == np.uint8 and shown_mask.dtype == np.float32
    rows, columns = np.flatnonzero(shown_mask.any(1)), np.flatnonzero(shown_mask.any(0))
    height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    assert max(height, width) == 92
    assert abs(height / width - shape[0] / shape[1]) < 0.05 * shape[0] / shape[1]
    assert abs(rows[0] - (99 - rows[-1])) <= 1 and abs(columns[0] - (99 - columns[-1])) <= 1
    assert (shown[shown_mask == 0] == 255).all()
    assert np.abs(shown[shown_mask > 0.99].astype(int) - (200, 100, 50)).max() <= 1
