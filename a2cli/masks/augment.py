"""From a fine mask to a rough one and to its box (A2-Edit 3.3, eq. 3-5). Masks are bool arrays (H, W)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from noise import pnoise2

from a2cli.errors import ConfigError
from a2cli.masks.morph import Window, dilate_disc, grow_box, require_bounding_box

Range = tuple[float, float]
FULL: Window = (slice(None), slice(None))


@dataclass(frozen=True)
class RoughConfig:
    """Ranges the strengths of a rough mask are drawn from, relative to the object's size (`get_object_size`).

    dilate: radius a of the disc (eq. 3), in object sizes.
    alpha: amplitude of the displacement (eq. 4), in object sizes; Perlin noise itself stays within +-0.75,
        and folds the contour over itself once alpha times scale grows far beyond 0.5.
    scale: frequency s of the noise, in periods of its lattice across the object.
    delta: distance delta between the noise fields of x and y, in object sizes.
    iou: where the overlap of rough and fine mask shall lie; strengths outside are weakened or strengthened.
    """

    dilate: Range = (0.02, 0.12)
    alpha: Range = (0.03, 0.16)
    scale: Range = (1.5, 4.0)
    delta: Range = (3.0, 9.0)
    iou: Range = (0.4, 0.97)

    def __post_init__(self) -> None:
        for name in ("dilate", "alpha", "scale", "delta", "iou"):
            low, high = getattr(self, name)
            if not (np.isfinite(low) and np.isfinite(high) and 0 <= low <= high):
                raise ConfigError(f"rough.{name}: ({low}, {high})", hint="use two numbers, 0 <= low <= high")
        if self.iou[0] >= 1 or self.iou[1] > 1:
            raise ConfigError(f"rough.iou: {self.iou}", hint="use a range below 1")


@dataclass(frozen=True)
class RoughStrengths:
    """The strengths of one rough mask in absolute units.

    dilate, alpha, delta: pixels. scale: 1 / pixels. offset: where the noise field is read, in lattice units.
    """

    dilate: float
    alpha: float
    scale: float
    delta: float
    offset: tuple[float, float] = (0.0, 0.0)


def get_object_size(mask: np.ndarray) -> float:
    """The object's size in pixels: geometric mean of its bounding box's sides. DataError if empty."""
    x0, y0, x1, y1 = require_bounding_box(mask)
    return float(np.sqrt((x1 - x0) * (y1 - y0)))


def sample_strengths(size: float, rng: np.random.Generator, config: RoughConfig) -> RoughStrengths:
    """Draw the strengths for an object of `size` pixels, uniformly from the ranges of `config`."""
    dilate, alpha, scale, delta = (
        float(rng.uniform(*getattr(config, name))) for name in ("dilate", "alpha", "scale", "delta")
    )
    x, y = (float(value) for value in rng.uniform(0.0, 256.0, 2))
    return RoughStrengths(dilate * size, alpha * size, scale / size, delta * size, (x, y))


@dataclass(frozen=True)
class Rough:
    """A rough mask, bool (H, W), the strengths it was made with, and its overlap with the fine mask."""

    mask: np.ndarray
    strengths: RoughStrengths
    iou: float


def roughen(mask: np.ndarray, rng: np.random.Generator, config: RoughConfig | None = None) -> np.ndarray:
    """Turn a fine mask into a rough one with random strengths: the mask of `build_rough`."""
    return build_rough(mask, rng, config).mask


def build_rough(mask: np.ndarray, rng: np.random.Generator, config: RoughConfig | None = None) -> Rough:
    """Draw a rough form of a fine mask with random strengths (A2-Edit 3.3, eq. 3-5).

    mask: bool (H, W), not empty. The rough mask is not empty either. If the overlap with `mask` leaves
    `config.iou`, radius and amplitude are changed up to six times and the nearest outcome is taken:
    a mask of a few pixels can have no rough form inside the range. Raises DataError on an empty mask.
    """
    config = config or RoughConfig()
    strengths = sample_strengths(get_object_size(mask), rng, config)
    low, high = config.iou
    area = np.count_nonzero(mask)
    best, best_miss = (FULL, mask, RoughStrengths(0.0, 0.0, 0.0, 0.0), 1.0), np.inf
    for _ in range(7):
        window, rough = _roughen_window(mask, strengths)
        shared, marked = np.count_nonzero(rough & mask[window]), np.count_nonzero(rough)
        iou = float(shared / (area + marked - shared))
        miss = max(low - iou, iou - high, 0.0)
        if marked and miss < best_miss:
            best, best_miss = (window, rough, strengths, iou), miss
        if not miss:
            break
        factor = 0.6 if iou < low else 1.5
        strengths = replace(
            strengths,
            dilate=max(strengths.dilate * factor, 1.0 if factor > 1 else 0.0),
            alpha=max(strengths.alpha * factor, 2.0 if factor > 1 else 0.0),
        )
    window, rough, strengths, iou = best
    return Rough(_place(rough, window, mask.shape), strengths, iou)


def apply_rough(mask: np.ndarray, strengths: RoughStrengths) -> np.ndarray:
    """Dilate, move every contour by the noise field, fill (A2-Edit 3.3, eq. 3-5).

    mask: bool (H, W). Returns bool (H, W). Holes and islands stay what they are: the contours of holes
    move as well, and nested contours are filled from the outside in.
    """
    if not mask.any():
        return mask.copy()
    window, rough = _roughen_window(mask, strengths)
    return _place(rough, window, mask.shape)


def _roughen_window(mask: np.ndarray, strengths: RoughStrengths) -> tuple[Window, np.ndarray]:
    """`apply_rough` in the part of the image where either mask is set: that part and the rough mask in it."""
    window = grow_box(
        require_bounding_box(mask), math.ceil(min(strengths.dilate, max(mask.shape))), mask.shape
    )
    dilated = dilate_disc(mask[window], strengths.dilate)
    if strengths.alpha == 0:
        return window, dilated
    contours, hierarchy = cv2.findContours(
        dilated.view(np.uint8),
        cv2.RETR_TREE,
        cv2.CHAIN_APPROX_NONE,
        offset=(window[1].start, window[0].start),
    )
    points = np.concatenate(contours)[:, 0]
    moved = displace_contour(points, strengths.alpha, strengths.scale, strengths.delta, strengths.offset)
    moved = np.rint(project_points(moved, mask.shape)).astype(np.int32)
    x0, y0 = np.minimum(points.min(axis=0), moved.min(axis=0)).tolist()
    x1, y1 = np.maximum(points.max(axis=0), moved.max(axis=0)).tolist()
    ends = np.cumsum([len(contour) for contour in contours])[:-1]
    polygons = np.split(moved - np.array([x0, y0], np.int32), ends)
    window = slice(y0, y1 + 1), slice(x0, x1 + 1)
    return window, _fill_nested(polygons, _get_depths(hierarchy[0]), (y1 + 1 - y0, x1 + 1 - x0))


def _place(part: np.ndarray, window: Window, size: tuple[int, ...]) -> np.ndarray:
    """The whole mask of `size` (H, W) that shows `part` in the window and nothing elsewhere."""
    mask = np.zeros(size, bool)
    mask[window] = part
    return mask


def displace_contour(
    points: np.ndarray,
    alpha: float,
    s: float,
    delta: float,
    offset: tuple[float, float] = (0.0, 0.0),
) -> np.ndarray:
    """Move contour points by Perlin noise, neighbours alike (A2-Edit 3.3, eq. 4).

    points: (N, 2) x, y in pixels. alpha, delta: pixels. s: 1 / pixels. offset: start in the noise field.
    Returns float64 (N, 2), not yet inside the image.
    """
    grid = np.asarray(points * s + np.asarray(offset), np.float64)
    shifts = [
        np.fromiter(map(pnoise2, *axes.T.tolist()), float, len(grid)) for axes in (grid, grid + delta * s)
    ]
    moved: np.ndarray = points + alpha * np.stack(shifts, axis=1)
    return moved


def project_points(points: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Bring points (N, 2) back into an image of size (H, W) (A2-Edit 3.3, eq. 5)."""
    return np.clip(points, 0, (size[1] - 1, size[0] - 1))


def box_of(mask: np.ndarray) -> np.ndarray:
    """The filled bounding box of a mask, bool (H, W). Raises DataError on an empty mask."""
    x0, y0, x1, y1 = require_bounding_box(mask)
    box = np.zeros_like(mask)
    box[y0:y1, x0:x1] = True
    return box


def _get_depths(hierarchy: np.ndarray) -> list[int]:
    """Depth of every contour in OpenCV's tree: even is an outer contour, odd the contour of a hole."""
    depths: list[int] = []
    for *_, parent in hierarchy.tolist():
        depth = 0
        while parent >= 0:
            depth, parent = depth + 1, int(hierarchy[parent, 3])
        depths.append(depth)
    return depths


def _fill_nested(contours: Sequence[np.ndarray], depths: Sequence[int], size: tuple[int, ...]) -> np.ndarray:
    """Fill closed contours, int32 (N, 2) x, y each, from the outermost to the innermost: bool (H, W)."""
    canvas = np.zeros(size, np.uint8)
    for depth in range(max(depths) + 1):
        layer = np.zeros(size, np.uint8)
        level = [contour[:, None] for contour, d in zip(contours, depths, strict=True) if d == depth]
        for contour in level:
            cv2.fillPoly(layer, [contour], 1)
        # Where a moved contour crosses itself the even-odd rule leaves a gap: take the outline of the whole.
        outlines, _ = cv2.findContours(layer, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        if depth % 2 == 0:
            cv2.drawContours(canvas, outlines, -1, 1, cv2.FILLED)
        else:  # a hole's contour runs over the pixels around the hole, and those belong to the mask
            cv2.drawContours(canvas, outlines, -1, 0, cv2.FILLED)
            cv2.polylines(canvas, level, True, 1)
    return canvas.astype(bool)
