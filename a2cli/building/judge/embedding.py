"""What a subject looks like, without a model: its colours and texture, whatever its pose and place."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np

from a2cli.images.geometry import get_bounding_box, resize_subject

SIDE = 128  # px of the longer side that a subject is looked at
LIGHT_BINS, TINT_BINS = 6, 12  # lightness 0-100; a and b in steps of TINT_STEP around grey
TINT_STEP = 10.0
LIGHT_KEPT = 0.4  # share of the mean lightness that counts: the rest is taken for light on the subject
TEXTURE_BINS, TEXTURE_SHARE = 8, 0.2  # bins of log gradient; their share of the feature


class Embedder(Protocol):
    """What turns a subject into a feature; `name` goes on record."""

    name: str

    def embed(self, rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 and (H, W) bool -> (d,) float32 of length 1."""
        ...


class EmbeddedEmbedder:
    """Colour and texture histograms of a masked subject.

    The joint histogram of Lab, pixels shared out linearly among the nearest bins, and that of the gradient's
    logarithm at two scales; square roots of shares, so that the cosine of two features is the Bhattacharyya
    coefficient.
    """

    name = f"Lab and gradient histograms, OpenCV {cv2.__version__}"

    def embed(self, rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 and (H, W) bool, not empty -> (d,) float32 of length 1, no entry negative."""
        colour, inside = _get_crop(rgb, mask)
        lab = cv2.cvtColor(colour.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
        parts = (
            (_count_colours(lab[inside]), 1 - TEXTURE_SHARE),
            (_count_gradients(lab[..., 0], inside), TEXTURE_SHARE),
        )
        feature = np.concatenate([np.sqrt(share * counts) for counts, share in parts])
        return (feature / np.linalg.norm(feature)).astype(np.float32)


def get_distances(features: np.ndarray, *, histograms: bool) -> np.ndarray:
    """How far apart the rows of (n, d) are, rows of length 1: (n, n) in [0, 1], symmetric, 0 on the diagonal.

    Of histograms Hellinger's distance, sqrt(1 - cosine); of a network's features 1 - cosine, 1 for what points apart.
    """
    away = np.clip(1 - features.astype(np.float64) @ features.astype(np.float64).T, 0, 1)
    np.fill_diagonal(away, 0)
    away = (away + away.T) / 2
    return np.sqrt(away) if histograms else away


def _get_crop(rgb: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The subject's box, longer side SIDE, and which of its pixels are the subject's; at least one is."""
    x0, y0, x1, y1 = get_bounding_box(mask) or (0, 0, mask.shape[1], mask.shape[0])
    scale = SIDE / max(x1 - x0, y1 - y0)
    size = max(round((y1 - y0) * scale), 1), max(round((x1 - x0) * scale), 1)
    colour, weight = resize_subject(rgb[y0:y1, x0:x1], mask[y0:y1, x0:x1].astype(np.float32), size)
    inside = weight > 0.5
    return np.clip(colour, 0, 255), inside if inside.any() else weight >= weight.max()


def _count_colours(lab: np.ndarray) -> np.ndarray:
    """Share of each colour among (n, 3) Lab values, light evened out; sums to 1."""
    light = lab[:, 0] - (1 - LIGHT_KEPT) * (lab[:, 0].mean() - 50)
    sizes = (LIGHT_BINS, TINT_BINS, TINT_BINS)
    place = np.stack(
        [
            light / 100 * (LIGHT_BINS - 1),
            lab[:, 1] / TINT_STEP + (TINT_BINS - 1) / 2,
            lab[:, 2] / TINT_STEP + (TINT_BINS - 1) / 2,
        ],
        axis=-1,
    ).clip(0, np.array(sizes) - 1.001)
    low = place.astype(np.int64)
    share = place - low
    counts = np.zeros(int(np.prod(sizes)))
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(corner, share, 1 - share), axis=1)
        index = np.ravel_multi_index(tuple((low + corner).T), sizes)
        counts += np.bincount(index, weight, len(counts))
    return _spread(counts.reshape(sizes)).ravel() / len(lab)


def _spread(counts: np.ndarray) -> np.ndarray:
    """Share each bin out to its neighbours along every axis, a quarter each way: light and casts shift colours."""
    for axis in range(counts.ndim):
        wide = np.pad(counts, [(int(a == axis),) * 2 for a in range(counts.ndim)])
        before, here, after = (wide.take(range(i, i + counts.shape[axis]), axis=axis) for i in range(3))
        counts = 0.25 * before + 0.5 * here + 0.25 * after
    return counts


def _count_gradients(light: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Shares of weak to strong edges of lightness within the subject, fine and coarse; each half sums to 1/2."""
    core = (
        cv2.erode(inside.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    )  # not the outline: ground would count
    core = core if core.any() else inside
    halves = []
    for blur in (1.0, 3.0):
        soft = cv2.GaussianBlur(light, (0, 0), blur)
        strength = np.hypot(*(cv2.Sobel(soft, cv2.CV_32F, dx, 1 - dx) / 8 for dx in (1, 0)))[core]
        place = np.log2(np.maximum(strength, 0.05) / 0.05).clip(0, TEXTURE_BINS - 1.001)
        low = place.astype(np.int64)
        counts = np.bincount(low, 1 - (place - low), TEXTURE_BINS)
        counts += np.bincount(low + 1, place - low, TEXTURE_BINS)
        halves.append(counts / (2 * len(place)))
    return np.concatenate(halves)
