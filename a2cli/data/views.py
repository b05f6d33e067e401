"""Pose and light: the same subject seen twice. Pure functions of arrays and a random generator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ViewRange:
    """How far a view may stray from the subject as it is stored.

    `rotation` degrees either way; `extent` the longest side as a share of the canvas; `perspective` corner
    shift as a share of that side; `stretch` log aspect change; `shift` share of the free room used.
    """

    rotation: float = 25.0
    extent: tuple[float, float] = (0.40, 0.72)
    perspective: float = 0.10
    stretch: float = 0.12
    shift: float = 0.6


REFERENCE_VIEW = ViewRange(rotation=6.0, extent=(0.80, 0.94), perspective=0.02, stretch=0.03, shift=0.3)
TARGET_VIEW = ViewRange()


def warp_view(subject: np.ndarray, size: int, view: ViewRange, rng: np.random.Generator) -> np.ndarray:
    """Show a cut-out under a random pose on an empty square canvas.

    `subject` (h, w, 4) uint8 straight RGBA; returns (size, size, 4) float32 premultiplied RGBA in [0, 1].
    """
    import cv2

    height, width = subject.shape[:2]
    angle = np.deg2rad(rng.uniform(-view.rotation, view.rotation))
    stretch = np.exp(rng.uniform(-view.stretch, view.stretch) / 2)
    corners = np.array([[-width, -height], [width, -height], [width, height], [-width, height]]) / 2
    corners = corners * [stretch, 1 / stretch] @ _rotation(angle).T
    corners = corners / np.ptp(corners, axis=0).max()
    corners = corners + rng.uniform(-view.perspective, view.perspective, (4, 2))
    extent = np.ptp(corners, axis=0)
    corners = corners * rng.uniform(*view.extent) * size / extent.max()
    free = size - np.ptp(corners, axis=0)
    centre = size / 2 + rng.uniform(-0.5, 0.5, 2) * free * view.shift
    corners = corners - (corners.max(axis=0) + corners.min(axis=0)) / 2 + centre
    source = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    rgba = subject.astype(np.float32) / 255
    rgba[..., :3] *= rgba[..., 3:]
    shrink = np.ptp(corners, axis=0).max() / max(height, width)
    if shrink < 0.7:  # blur before a strong reduction: a bilinear warp alone would alias
        rgba = cv2.GaussianBlur(rgba, (0, 0), 0.4 / shrink)
    matrix = cv2.getPerspectiveTransform(source, corners.astype(np.float32))
    return cv2.warpPerspective(rgba, matrix, (size, size), flags=cv2.INTER_LINEAR)


def _rotation(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def sample_light(rng: np.random.Generator, strength: float = 1.0) -> np.ndarray:
    """Draw a light: per-channel gain, then gamma. Returns (4,) float: three gains and an exponent."""
    brightness = rng.normal(0, 0.09 * strength)
    tint = rng.normal(0, 0.05 * strength, 3)
    return np.append(np.exp(brightness + tint - tint.mean()), np.exp(rng.normal(0, 0.08 * strength)))


def apply_light(rgb: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Relight a picture. `rgb` (H, W, 3) float in [0, 1]; returns the same, clipped."""
    return np.clip(np.clip(rgb, 0, 1) ** light[3] * light[:3], 0, 1)


def sample_shading(rng: np.random.Generator, strength: float = 0.12) -> tuple[float, float]:
    """Draw where light comes from, an angle in the picture (0 right, pi / 2 below), and how much it tells."""
    return rng.uniform(0, 2 * np.pi), rng.uniform(0, strength)


def get_shading(size: int, angle: float, depth: float) -> np.ndarray:
    """A soft ramp that is brightest towards `angle`, (size, size, 1) float around 1."""
    ramp = np.linspace(-1, 1, size)
    field = np.cos(angle) * ramp[None, :] + np.sin(angle) * ramp[:, None]
    return (1 + depth * field)[..., None].astype(np.float32)


def recolour(rgba: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Give a subject other colours (hue, saturation, value), so that few glyphs make many subjects.

    (h, w, 4) uint8 in and out; alpha is kept.
    """
    import cv2

    hsv = cv2.cvtColor(np.ascontiguousarray(rgba[..., :3]), cv2.COLOR_RGB2HSV).astype(np.int16)
    hsv[..., 0] = (hsv[..., 0] + rng.integers(0, 180)) % 180
    hsv[..., 1] = np.clip(hsv[..., 1] * rng.uniform(0.5, 1.2), 0, 255)
    hsv[..., 2] = np.clip(hsv[..., 2] * rng.uniform(0.75, 1.1), 0, 255)
    rgb = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)
    return np.dstack([rgb, rgba[..., 3]])


def cut_blob(photo: np.ndarray, rng: np.random.Generator, side: tuple[int, int] = (90, 240)) -> np.ndarray:
    """Cut a smooth random shape out of a photograph.

    Returns (s, s, 4) uint8 straight RGBA; the outline is a circle moved by a few harmonics.
    """
    import cv2

    extent = min(int(rng.integers(*side)), *photo.shape[:2])
    top = int(rng.integers(0, photo.shape[0] - extent + 1))
    left = int(rng.integers(0, photo.shape[1] - extent + 1))
    angles = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    radius = np.ones_like(angles)
    for harmonic in range(2, 6):
        radius += rng.normal(0, 0.28 / harmonic) * np.cos(harmonic * angles + rng.uniform(0, 2 * np.pi))
    radius = np.clip(radius, 0.35, None)
    points = np.stack([np.cos(angles), np.sin(angles)], 1) * radius[:, None]
    points = (points - points.min(0)) / np.ptp(points, axis=0).max() * (extent - 2) + 1
    alpha = np.zeros((extent, extent), np.uint8)
    cv2.fillPoly(alpha, [np.round(points * 16).astype(np.int32)], 255, lineType=cv2.LINE_AA, shift=4)
    return np.dstack([photo[top : top + extent, left : left + extent], alpha])


def crop_subject(rgb: np.ndarray, alpha: np.ndarray, side: int = 768) -> np.ndarray:
    """Cut a transparent picture to its subject, reduced to at most `side` px: (h, w, 4) uint8 straight RGBA.

    `rgb` (H, W, 3) and `alpha` (H, W), uint8; some of it must be opaque.
    """
    import cv2

    rows, columns = np.nonzero(alpha >= 128)
    window = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
    cover = alpha[window]
    colours = rgb[window].astype(np.float32) * (cover[..., None] / np.float32(255))
    scale = min(1.0, side / max(cover.shape))
    size = max(1, round(cover.shape[1] * scale)), max(1, round(cover.shape[0] * scale))
    cover = cv2.resize(cover, size, interpolation=cv2.INTER_AREA)
    colours = cv2.resize(
        colours, size, interpolation=cv2.INTER_AREA
    )  # premultiplied: no hidden colours at the rim
    straight = colours / np.maximum(cover[..., None] / np.float32(255), 1 / 255)
    return np.dstack([np.clip(np.round(straight), 0, 255).astype(np.uint8), cover])


def crop_scene(photo: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Take a random square of a photograph, mirrored half the time. Returns (size, size, 3) float in [0, 1]."""
    import cv2

    limit = min(photo.shape[:2])
    extent = int(rng.integers(min(size, limit), limit + 1))
    top = int(rng.integers(0, photo.shape[0] - extent + 1))
    left = int(rng.integers(0, photo.shape[1] - extent + 1))
    square = photo[top : top + extent, left : left + extent]
    if rng.random() < 0.5:
        square = square[:, ::-1]
    return cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
