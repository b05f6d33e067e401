"""Errors under a mask, means and their standard errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio

from a2cli.errors import DataError
from a2cli.metrics.pixel import (
    PSNR_MOST,
    get_pixel_values,
    masked_mae,
)
from a2cli.metrics.shots import REGIONS, Shot
from a2cli.metrics.table import get_key

RNG = np.random.default_rng(0)
A = RNG.integers(0, 256, (17, 23, 3), dtype=np.uint8)
B = RNG.integers(0, 256, (17, 23, 3), dtype=np.uint8)
MASK = RNG.random((17, 23)) < 0.3
KEYS = {get_key(name, region) for name in ("l1", "l2", "psnr") for region in REGIONS}


def measure(edited: np.ndarray, target: np.ndarray, mask: np.ndarray = MASK) -> dict[str, float]:
    return get_pixel_values(Shot("a", edited, mask, target=target))


def test_mae_is_in_the_units_of_minus_one_to_one() -> None:
    total = count = 0.0
    for y, x in np.argwhere(MASK):
        for c in range(3):
            total += abs((A[y, x, c] / 127.5 - 1) - (B[y, x, c] / 127.5 - 1))
            count += 1
    assert masked_mae(A, B, MASK) == pytest.approx(total / count)
    black, white = np.zeros_like(A), np.full_like(A, 255)
    assert masked_mae(black, white, MASK) == pytest.approx(2.0)
    assert masked_mae(A, A, MASK) == 0.0


def test_what_lies_outside_the_mask_does_not_count() -> None:
    other = np.where(MASK[..., None], A, B)
    assert masked_mae(other, A, MASK) == 0.0


def test_unusable_input_is_refused() -> None:
    with pytest.raises(DataError, match="empty"):
        masked_mae(A, B, np.zeros_like(MASK))
    with pytest.raises(DataError, match="sizes differ"):
        masked_mae(A, B[:-1], MASK)


def test_l1_and_l2_are_those_of_magicbrush() -> None:
    edited, target = (torch.from_numpy(picture).permute(2, 0, 1).float() / 255 for picture in (A, B))
    values = measure(A, B)
    assert values["l1"] == pytest.approx(torch.nn.L1Loss()(edited, target).item(), abs=1e-7)
    assert values["l2"] == pytest.approx(torch.nn.MSELoss()(edited, target).item(), abs=1e-7)


def test_psnr_is_scikit_images() -> None:
    assert measure(A, B)["psnr"] == pytest.approx(peak_signal_noise_ratio(A, B), abs=1e-9)


def test_regions_equal_the_loop_over_pixels() -> None:
    mask = np.zeros_like(MASK)
    mask[5:9, 6:11] = mask[12, 3] = True
    values = measure(A, B, mask)
    boxes = {"crop": [(y, x) for y in range(5, 13) for x in range(3, 11)], "mask": np.argwhere(mask).tolist()}
    for region, pixels in boxes.items():
        differences = [(int(A[y, x, c]) - int(B[y, x, c])) / 255 for y, x in pixels for c in range(3)]
        squares = np.mean([d * d for d in differences])
        assert values[f"l1@{region}"] == pytest.approx(np.mean(np.abs(differences)))
        assert values[f"l2@{region}"] == pytest.approx(squares)
        assert values[f"psnr@{region}"] == pytest.approx(10 * np.log10(1 / squares))


def test_equal_pictures() -> None:
    values = measure(A, A)
    assert values.keys() == KEYS
    assert all(value == (PSNR_MOST if key.startswith("psnr") else 0.0) for key, value in values.items())


def test_nearly_equal_pictures_do_not_beat_equal_ones() -> None:
    large = np.zeros((300, 300, 3), np.uint8)
    almost = large.copy()
    almost[0, 0, 0] = 1  # 102 dB
    values = measure(almost, large, large[..., 0] == 0)
    assert 0 < values["l2"] < 1e-10 and values["psnr"] == PSNR_MOST


def test_noise_against_noise() -> None:
    first, second = np.random.default_rng(3).integers(0, 256, (2, 400, 400, 3), dtype=np.uint8)
    values = measure(first, second, np.ones((400, 400), bool))
    assert values["l1"] == pytest.approx(1 / 3, abs=0.003)
    assert values["l2"] == pytest.approx(1 / 6, abs=0.003)
    assert values["psnr"] == pytest.approx(10 * np.log10(6), abs=0.05)  # 7.78 dB


def test_a_shifted_slope() -> None:
    slope = np.broadcast_to(np.arange(60, dtype=np.uint8)[None, :, None] * 2, (20, 60, 3))
    values = measure(slope[:, 3:], slope[:, :-3], np.ones((20, 57), bool))
    assert values["l1"] == pytest.approx(6 / 255) and values["l2"] == pytest.approx((6 / 255) ** 2)
    assert values["psnr"] == pytest.approx(20 * np.log10(255 / 6))


def test_a_change_inside_the_mask_only_and_outside_only() -> None:
    inside, outside = A.copy(), A.copy()
    inside[MASK] ^= 64
    outside[~MASK] ^= 64
    values = measure(inside, A)
    assert values["l1@mask"] == pytest.approx(64 / 255)
    assert values["l1"] == pytest.approx(64 / 255 * MASK.mean())
    values = measure(outside, A)
    assert values["l1@mask"] == 0.0 and values["psnr@mask"] == PSNR_MOST
    assert values["l1"] == pytest.approx(64 / 255 * (1 - MASK.mean()))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32), st.integers(0, 255))
def test_ranges(height: int, width: int, seed: int, spread: int) -> None:
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    edited = np.clip(target + rng.integers(-spread, spread + 1, target.shape), 0, 255).astype(np.uint8)
    mask = rng.random((height, width)) < 0.5
    mask[rng.integers(height), rng.integers(width)] = True
    values = measure(edited, target, mask)
    assert values == measure(target, edited, mask)
    for region in REGIONS:
        l1, l2, psnr = (values[get_key(name, region)] for name in ("l1", "l2", "psnr"))
        assert 0 <= l1 * l1 <= l2 * (1 + 1e-12) and l2 <= l1 <= spread / 255 and 0 <= psnr <= PSNR_MOST
