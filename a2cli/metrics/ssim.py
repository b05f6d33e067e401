"""Structural similarity. Needs scikit-image (extra `eval`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from a2cli.errors import DataError
from a2cli.metrics.measure import ShotMeasure, Values, Weights
from a2cli.metrics.shots import REGIONS, Shot, get_part
from a2cli.metrics.table import MetricInfo, get_key

SIGMA = 1.5
REACH = 5  # pixels from the window's centre to its edge: 11 x 11, as published
BAND = 128  # rows at a time: memory does not grow with the photo


def build_measure(infos: Sequence[MetricInfo], weights: Weights, device: str) -> ShotMeasure:
    """Structural similarity to the target. Raises `DataError` where scikit-image is not installed."""
    del weights, device
    try:
        import skimage
        import skimage.metrics  # lazy in itself: fails here, not at the first shot
    except ImportError as error:
        raise DataError("scikit-image is not installed", hint="pip install 'a2cli[eval]'") from error
    settings = (
        f"structural_similarity, Gaussian window, sigma {SIGMA}, population covariance, data range 255,"
        " mean over channels, windows inside the picture"
    )
    return ShotMeasure(infos, f"scikit-image {skimage.__version__}; {settings}", get_ssim_values)


def get_ssim_values(shot: Shot) -> Values:
    """ssim of a shot over every region; nothing without a target.

    A region without any pixel REACH or more from the picture's edge is left out, and so is a picture smaller than the
    window.
    """
    if shot.target is None:
        return {}
    similarity = get_ssim_map(shot.edited, shot.target)
    values: Values = {}
    for region in REGIONS:
        part = get_part(similarity, shot.mask, region)
        part = part[~np.isnan(part)]
        if part.size:
            values[get_key("ssim", region)] = float(part.mean())
    return values


def get_ssim_map(image: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Structural similarity around each pixel, in [-1, 1]: two (H, W, 3) uint8 -> (H, W) float64, mean over channels.

    NaN where the window does not lie inside the picture, as such windows count neither in the publication nor in
    scikit-image's mean. The mean of the rest is scikit-image's value. Source: Wang et al., Image quality assessment:
    from error visibility to structural similarity, 2004, section III.
    """
    from skimage.metrics import structural_similarity

    height, width = image.shape[:2]
    similarity = np.full((height, width), np.nan)
    if width <= 2 * REACH:
        return similarity
    inside = slice(REACH, -REACH)
    for top in range(0, height - 2 * REACH, BAND):
        rows = slice(top, min(top + BAND + 2 * REACH, height))
        _, full = structural_similarity(
            image[rows],
            truth[rows],
            full=True,
            gaussian_weights=True,
            sigma=SIGMA,
            use_sample_covariance=False,
            data_range=255,
            channel_axis=2,
        )
        similarity[rows][inside, inside] = full[inside, inside].mean(axis=2)
    return similarity
