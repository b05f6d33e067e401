"""Soft shadows of flat cut-outs. Pure functions of arrays and a random generator."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_TINT = np.array([1.0, 0.97, 0.92], np.float32)  # of what a shadow takes away: sky light is bluish


@dataclass(frozen=True)
class Shadow:
    """How a thing casts its shadow.

    `slope` (2,) is the shadow's step right and down for each pixel of height, opposite to the light. `standing` things
    cast theirs on the ground from their foot, others on what lies flat behind them. `softness` is the widest penumbra
    as a share of the thing's height, `strength` in [0, 1] the share of light taken away.
    """

    slope: tuple[float, float]
    standing: bool
    softness: float
    strength: float


def sample_shadow(angle: float, rng: np.random.Generator) -> Shadow:
    """Draw a shadow for light from `angle` (as `sample_shading` gives it)."""
    standing = bool(rng.random() < 0.6)
    across, down = -np.cos(angle), -np.sin(angle)
    if standing:  # the ground is seen at a low angle: across in full length, away and towards us shortened
        length, flat = rng.uniform(0.5, 1.1), rng.uniform(0.3, 0.5)
        sign = 1.0 if down >= 0 else -1.0
        slope = across * length, sign * max(abs(down) * length * flat, 0.1)
    else:
        distance = rng.uniform(0.06, 0.14)
        slope = across * distance, down * distance
    softness, strength = rng.uniform(0.03, 0.08), rng.uniform(0.35, 0.6)
    return Shadow((float(slope[0]), float(slope[1])), standing, float(softness), float(strength))


def cast_shadow(alpha: np.ndarray, shadow: Shadow) -> np.ndarray:
    """The share of light that a thing with `alpha` (H, W) float in [0, 1] takes away, (H, W) float32.

    The shadow of what stands is sharp at its foot and softer with distance, with a dark line where it touches the
    ground. Nothing casts nothing.
    """
    solid = alpha > 0.5
    rows = np.flatnonzero(solid.any(axis=1))
    if not len(rows):
        return np.zeros(alpha.shape, np.float32)
    foot, height = float(rows[-1]), float(rows[-1] - rows[0] + 1)
    across, down = shadow.slope
    size = alpha.shape[1], alpha.shape[0]
    if not shadow.standing:
        matrix = np.array([[1, 0, across * height], [0, 1, down * height]], np.float32)
        moved = cv2.warpAffine(alpha, matrix, size)
        return shadow.strength * _blur(moved, 0.6 * shadow.softness * height)
    # (x, y) of the thing, foot - y above the ground, falls on (x + (foot - y) across, foot + (foot - y) down).
    matrix = np.array([[1, -across, across * foot], [0, -down, foot + down * foot]], np.float32)
    fallen = cv2.warpAffine(alpha, matrix, size)
    near, far = _blur(fallen, 0.25 * shadow.softness * height), _blur(fallen, shadow.softness * height)
    reach = np.abs(np.arange(alpha.shape[0], dtype=np.float32) - foot) / max(abs(down) * height, 1.0)
    share = np.clip(reach, 0, 1)[:, None]
    cast = (1 - share) * near + share * far * (1 - 0.35 * share)
    return shadow.strength * np.maximum(cast, _touch(alpha, foot, height))


def darken(rgb: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """`rgb` (H, W, 3) without the share of light that is `taken`, (H, W) in [0, 1]."""
    return rgb * (1 - taken[..., None] * _TINT)


def _touch(alpha: np.ndarray, foot: float, height: float) -> np.ndarray:
    """The dark line under a standing thing: its lowest tenth, pressed flat, a little below."""
    start = max(0, int(foot - 0.1 * height))
    flat = 0.35
    band = np.where(np.arange(alpha.shape[0])[:, None] >= start, alpha, 0)
    below = foot + 0.012 * height
    matrix = np.array([[1, 0, 0], [0, flat, below - flat * foot]], np.float32)
    pressed = cv2.warpAffine(band, matrix, (alpha.shape[1], alpha.shape[0]))
    return _blur(pressed, 0.015 * height)


def _blur(field: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(field, (0, 0), max(sigma, 0.5), borderType=cv2.BORDER_REPLICATE)
