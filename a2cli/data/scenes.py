"""A subject among other things: some behind and beside it, one before it, shadows of all. Functions of arrays.

Layers are (S, S, 4) float32 premultiplied RGBA in [0, 1], as `warp_view` makes them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from a2cli.data.shadows import Shadow, cast_shadow, darken
from a2cli.data.views import ViewRange, warp_view

MOST_HIDDEN = 0.45  # share of the subject
_LEAST_HIDDEN = 0.08
_COVERED = 0.5  # share of a thing behind that others may cover
_IN_FRAME = 0.65  # least share of it that the frame keeps
_TRIES = 12


@dataclass(frozen=True)
class Composition:
    """`picture` and `scene` (S, S, 3) float, with and without the subject; `cover` (S, S) what is seen of it."""

    picture: np.ndarray
    scene: np.ndarray
    cover: np.ndarray


def compose(
    ground: np.ndarray,
    behind: list[np.ndarray],
    subject: np.ndarray,
    front: np.ndarray | None = None,
    shadow: Shadow | None = None,
) -> Composition:
    """Lay things on a `ground` (S, S, 3) float in [0, 1], from back to front, each with its shadow if there is any.

    The scene is what the camera saw before the subject came: all other things and their shadows. So picture and scene
    differ under the subject and its shadow alone.
    """
    for layer in behind:
        ground = _lay(layer, _darken(ground, _cast(layer, shadow)))
    own, cover = _cast(subject, shadow), subject[..., 3]
    if front is None:
        return Composition(_lay(subject, _darken(ground, own)), ground, cover)
    other = _cast(front, shadow)
    scene = _lay(front, _darken(ground, other))
    if own is not None and other is not None:  # where both shadows fall, the ground loses its light once
        subject = np.dstack([darken(subject[..., :3], other), cover])
        own = np.maximum(own, other)
    picture = _lay(front, _lay(subject, _darken(ground, own)))
    return Composition(picture, scene, cover * (1 - front[..., 3]))


def show_thing(rgba: np.ndarray, size: int, extent: float, rng: np.random.Generator) -> np.ndarray:
    """A cut-out, (h, w, 4) uint8, in the middle of a layer; its longest side is about `extent` of the layer's."""
    view = ViewRange(rotation=18, extent=(0.9 * extent, 1.1 * extent), shift=0)
    return warp_view(rgba, size, view, rng)


def place_behind(layer: np.ndarray, taken: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """Move a thing to where what is `taken`, (S, S) bool, leaves at least half of it to be seen.

    At most 35 % of it may lie outside the frame. None where no such place is found.
    """
    area = float((layer[..., 3] > 0.5).sum())
    reach = 0.5 * layer.shape[0]
    for _ in range(_TRIES):
        across, down = rng.uniform(-reach, reach, 2)
        moved = move(layer, round(across), round(down))
        solid = moved[..., 3] > 0.5
        if solid.sum() < _IN_FRAME * area:
            continue
        if (solid & taken).sum() <= _COVERED * solid.sum():
            return moved
    return None


def place_before(layer: np.ndarray, subject: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """Slide a thing in front of a subject, from below or a side, until it hides enough.

    How much is drawn from [0.12, 0.4] of the subject, (S, S) bool. None when it hides too little at its nearest, or
    more than 45 % as soon as it hides anything.
    """
    size = layer.shape[0]
    wanted = rng.uniform(0.12, 0.4)
    direction = rng.uniform(-0.1, 1.1) * np.pi
    solid = layer[..., 3] > 0.5
    rows, columns = np.nonzero(subject)
    centre = np.array([columns.mean(), rows.mean()]) - size / 2
    best = None
    for distance in np.arange(1.2 * size, -1, -max(1.0, size / 64)):
        across, down = np.round(centre + distance * np.array([np.cos(direction), np.sin(direction)])).astype(
            int
        )
        hidden = (move(solid, across, down) & subject).sum() / len(rows)
        if hidden > MOST_HIDDEN - 0.02:  # soft edges hide a little more than the thing's own mask
            break
        if hidden >= _LEAST_HIDDEN:
            best = int(across), int(down)
        if hidden >= wanted:
            break
    return None if best is None else move(layer, *best)


def move(layer: np.ndarray, across: int, down: int) -> np.ndarray:
    """Shift an array (H, W, ...) by whole pixels; zeros come in, what leaves is lost."""
    height, width = layer.shape[:2]
    moved = np.zeros_like(layer)
    if abs(across) >= width or abs(down) >= height:
        return moved
    to = slice(max(down, 0), height + min(down, 0)), slice(max(across, 0), width + min(across, 0))
    of = slice(max(-down, 0), height + min(-down, 0)), slice(max(-across, 0), width + min(-across, 0))
    moved[to] = layer[of]
    return moved


def _lay(layer: np.ndarray, ground: np.ndarray) -> np.ndarray:
    return ground * (1 - layer[..., 3:]) + layer[..., :3]


def _cast(layer: np.ndarray, shadow: Shadow | None) -> np.ndarray | None:
    return None if shadow is None else cast_shadow(layer[..., 3], shadow)


def _darken(ground: np.ndarray, taken: np.ndarray | None) -> np.ndarray:
    return ground if taken is None else darken(ground, taken)
