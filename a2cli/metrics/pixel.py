"""Pixel differences under a mask. Photos are (H, W, 3) uint8 or float in [0, 255]; masks bool (H, W)."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from a2cli import __version__
from a2cli.errors import DataError
from a2cli.metrics.measure import ShotMeasure, Values, Weights
from a2cli.metrics.shots import REGIONS, Region, Shot, get_part
from a2cli.metrics.table import MetricInfo, get_key

PSNR_MOST = 100.0  # dB, of equal pictures too: a mean over edits stays finite


def build_measure(infos: Sequence[MetricInfo], weights: Weights, device: str) -> ShotMeasure:
    """L1, L2 and PSNR against the target."""
    del weights, device
    settings = f"values / 255, mean over pixels and channels, PSNR at most {PSNR_MOST:g} dB"
    return ShotMeasure(infos, f"a2 {__version__}; {settings}", get_pixel_values)


def get_pixel_values(shot: Shot) -> Values:
    """l1, l2 and psnr of a shot over every region; nothing without a target."""
    if shot.target is None:
        return {}
    values: Values = {}
    for region in REGIONS:
        l1, l2 = get_errors(shot.edited, shot.target, shot.mask, region)
        psnr = min(PSNR_MOST, -10 * float(np.log10(l2))) if l2 else PSNR_MOST
        values |= {get_key(name, region): value for name, value in (("l1", l1), ("l2", l2), ("psnr", psnr))}
    return values


def get_errors(image: np.ndarray, truth: np.ndarray, mask: np.ndarray, region: Region) -> tuple[float, float]:
    """Mean absolute and mean squared difference, both in [0, 1], of pictures (H, W, 3) uint8 over a region.

    Source: MagicBrush, image_evaluation: torch's L1Loss and MSELoss of values in [0, 1]. There a picture of another
    size is resized first; a `Shot` refuses it.
    """
    difference = cv2.absdiff(get_part(image, mask, region), get_part(truth, mask, region))
    total = int(difference.sum(dtype=np.int64))
    squares = int(np.square(difference, dtype=np.uint16).sum(dtype=np.int64))  # 255^2 fits
    return total / (255 * difference.size), squares / (255**2 * difference.size)


def masked_mae(image: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """Mean absolute error inside the mask, in [0, 2]: the unit in which values run from -1 to 1.

    Raises DataError on an empty mask or on pictures of different sizes.
    """
    return float(np.abs(_get_difference(image, truth, mask)).mean() / 127.5)


def _get_difference(image: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> np.ndarray:
    if image.shape != truth.shape or image.shape[:2] != mask.shape:
        raise DataError(f"sizes differ: picture {image.shape}, truth {truth.shape}, mask {mask.shape}")
    if not mask.any():
        raise DataError("the mask is empty", hint="an error inside nothing is not defined")
    return image[mask].astype(np.float64) - truth[mask].astype(np.float64)
