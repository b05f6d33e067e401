"""The spectral residual finds what stands out, and its formula is the paper's."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from a2cli.evaluation.localization.saliency import BLUR, SIDE, cut_by_otsu, get_saliency
from a2cli.masks.morph import get_iou


def make_photo(size: tuple[int, int] = (160, 240)) -> tuple[np.ndarray, np.ndarray]:
    """Even stripes, and a disc of noise on them."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    photo = np.repeat((120 + 20 * np.sin(columns / 3)).astype(np.uint8)[..., None], 3, axis=2)
    disc = (rows - size[0] * 0.6) ** 2 + (columns - size[1] * 0.3) ** 2 < 24**2
    noise = np.random.default_rng(0).integers(0, 256, photo.shape, np.uint8)
    noise = cv2.blur(noise, (9, 9)).astype(np.int16) * 3 - 300
    return np.where(disc[..., None], noise.clip(0, 255).astype(np.uint8), photo), disc


def test_what_stands_out_is_found() -> None:
    photo, disc = make_photo()
    soft = get_saliency(photo)
    assert soft.shape == disc.shape and soft.dtype == np.float32 and (soft.min(), soft.max()) == (0, 1)
    assert disc[np.unravel_index(soft.argmax(), soft.shape)]
    region = cut_by_otsu(soft)
    assert get_iou(region, disc) > 0.3 > disc.mean() * 2  # chance, the whole picture, is disc.mean()


def test_it_is_the_formula() -> None:
    """numpy's transform in the place of OpenCV's, complex exponentials in that of polar coordinates."""
    grey = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE), np.uint8)
    spectrum = np.fft.fft2(grey.astype(np.float64))
    logs = np.log(np.abs(spectrum) + 1e-8)
    residual = logs - cv2.blur(logs, (3, 3))
    back = np.abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2
    wanted = cv2.GaussianBlur(back, (0, 0), BLUR)
    wanted = (wanted - wanted.min()) / (wanted.max() - wanted.min())
    found = get_saliency(np.repeat(grey[..., None], 3, axis=2))
    assert np.abs(found - wanted).max() < 2e-3


@pytest.mark.parametrize("shape", [(40, 56, 3), (7, 7, 3), (1, 200, 3)])
def test_a_plain_picture_has_nothing_that_stands_out(shape: tuple[int, ...]) -> None:
    soft = get_saliency(np.full(shape, 90, np.uint8))
    assert soft.shape == shape[:2] and not soft.any() and not cut_by_otsu(soft).any()


def test_odd_sizes_work() -> None:
    for size in ((1, 90), (33, 7), (401, 63)):
        photo = np.random.default_rng(2).integers(0, 256, (*size, 3), np.uint8)
        soft = get_saliency(photo)
        assert soft.shape == size and np.isfinite(soft).all()


def test_otsu_divides_two_levels() -> None:
    soft = np.full((10, 10), 0.2, np.float32)
    soft[2:5, 2:5] = 0.8
    assert np.array_equal(cut_by_otsu(soft), soft > 0.5)
