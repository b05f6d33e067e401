"""Maps of tokens made finer, and smoothed by way of a finer map (EditMGT, appendix B.2, eq. 15-18).

A token's value stands at its centre. Places between the outermost centres and the border take the value at the nearest
place between centres: nothing is extrapolated.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from a2cli.config.localize import INTERPOLATIONS, Interpolation

_MOST_POINTS = 1024  # of one thin plate through all of a map; its cost grows with their cube
_MOST_KERNELS = 2**25  # distances from data to new places that one thin plate is worth
_WINDOW = 9  # tokens a side of the thin plates that a larger map is made of


def smooth_by_interpolation(map2d: np.ndarray, method: Interpolation, factor: int) -> np.ndarray:
    """Make a map (h, w) `factor` times as fine and take the mean over each token again: float32 (h, w).

    The paper tries 1, 3 and 5. A factor of 1 and "nearest" give the map back; the mean is ours, for picking the
    centres out of the finer map would give it back always. Raises `ValueError` for a factor below 1.
    """
    if factor < 1:
        raise ValueError(f"factor must be 1 or more, got {factor}")
    rows, columns = map2d.shape
    fine = _upsample(map2d, (rows * factor, columns * factor), method)
    return fine.reshape(rows, factor, columns, factor).mean((1, 3)).astype(np.float32)


def upsample(map2d: np.ndarray, shape: tuple[int, int], method: Interpolation) -> np.ndarray:
    """Interpolate a map (h, w) to a finer `shape` (H, W): float32.

    "rbf" and "cubic" may pass the map's range a little. Values that are not finite spread. Raises `ValueError` for a
    coarser shape.
    """
    return _upsample(map2d, shape, method).astype(np.float32)


def _upsample(map2d: np.ndarray, shape: tuple[int, int], method: Interpolation) -> np.ndarray:
    if method not in INTERPOLATIONS:
        raise ValueError(f"{method!r} is no interpolation; known: {', '.join(INTERPOLATIONS)}")
    if map2d.ndim != 2 or not map2d.size or shape[0] < map2d.shape[0] or shape[1] < map2d.shape[1]:
        raise ValueError(f"cannot make {map2d.shape} finer, to {shape}")
    values = map2d.astype(np.float64)
    rows, columns = (_get_places(n, m) for n, m in zip(values.shape, shape, strict=True))
    if method == "nearest":
        return values[np.ix_(_get_cells(len(values), shape[0]), _get_cells(values.shape[1], shape[1]))]
    if method == "linear":
        return _interpolate_linearly(values, rows, columns)
    if method == "cubic" or min(values.shape) == 1:  # no plate goes through a line
        down, across = (
            get_spline_weights(n, at) for n, at in zip(values.shape, (rows, columns), strict=True)
        )
        return down @ values @ across.T
    if values.size <= _MOST_POINTS and values.size * shape[0] * shape[1] <= _MOST_KERNELS:
        return _interpolate_plate(values, rows, columns)
    return _interpolate_plates(values, rows, columns)


def _get_places(tokens: int, pixels: int) -> np.ndarray:
    """Where the centres of `pixels` lie on an axis on which those of tokens are 0, 1, ... tokens - 1."""
    return ((np.arange(pixels) + 0.5) * tokens / pixels - 0.5).clip(0, tokens - 1)


def _get_cells(tokens: int, pixels: int) -> np.ndarray:
    """The token nearest to each pixel (eq. 18); half way it is the later one."""
    return (2 * np.arange(pixels) + 1) * tokens // (2 * pixels)


def _interpolate_linearly(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Barycentric weights in triangles (eq. 17); a square has two ways to be cut into them, and both count half."""
    (top, v), (left, u) = (_split(at, n) for at, n in zip((rows, columns), values.shape, strict=True))
    bottom, right = (np.minimum(i + 1, n - 1) for i, n in zip((top, left), values.shape, strict=True))
    a, b = values[np.ix_(top, left)], values[np.ix_(top, right)]
    c, d = values[np.ix_(bottom, left)], values[np.ix_(bottom, right)]
    v = v[:, None]
    rising = np.where(u + v <= 1, a + u * (b - a) + v * (c - a), d + (1 - u) * (c - d) + (1 - v) * (b - d))
    falling = np.where(u >= v, a + u * (b - a) + v * (d - b), a + v * (c - a) + u * (d - c))
    return (rising + falling) / 2


def _split(at: np.ndarray, tokens: int) -> tuple[np.ndarray, np.ndarray]:
    """A place as the centre before it and what is left, in [0, 1]."""
    before = np.minimum(at.astype(int), max(tokens - 2, 0))
    return before, at - before


def get_spline_weights(tokens: int, at: np.ndarray) -> np.ndarray:
    """Weights (len(at), tokens) of the natural cubic spline, the interpolant of least curvature (eq. 16, an axis)."""
    unit = np.eye(tokens)
    if tokens == 1:
        return np.ones((len(at), 1))
    bend = np.zeros((tokens, tokens))  # second derivatives; 0 at both ends
    if tokens > 2:
        inner = unit[1:-1]
        sides = np.eye(tokens - 2, k=1) + np.eye(tokens - 2, k=-1) + 4 * np.eye(tokens - 2)
        bend[1:-1] = np.linalg.solve(sides, 6 * (unit[2:] - 2 * inner + unit[:-2]))
    before, after = _split(at, tokens)
    after = after[:, None]
    ahead = 1 - after
    curve = (ahead**3 - ahead) * bend[before] + (after**3 - after) * bend[before + 1]
    return ahead * unit[before] + after * unit[before + 1] + curve / 6


def _interpolate_plate(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """One thin plate through all tokens (eq. 15)."""
    points = _get_points(*values.shape)
    bent = np.concatenate([values.ravel(), np.zeros(3)])
    coefficients = np.linalg.solve(_get_system(points), bent)
    lines = [
        _get_basis(np.column_stack([np.full(len(columns), row), columns]), points) @ coefficients
        for row in rows
    ]
    return np.array(lines)


def _interpolate_plates(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """A thin plate through the window of tokens around every place; on a grid all windows have one system."""
    height, width = (min(_WINDOW, n) for n in values.shape)
    top, left = (
        np.clip(np.rint(at).astype(int) - side // 2, 0, n - side)
        for at, side, n in zip((rows, columns), (height, width), values.shape, strict=True)
    )
    windows = np.lib.stride_tricks.sliding_window_view(values, (height, width))
    points = _get_points(height, width)
    inverse = np.linalg.inv(_get_system(points))[:, : len(points)]
    across, which = np.unique((columns - left).round(9), return_inverse=True)

    @lru_cache(maxsize=2 * _WINDOW * 16)
    def get_weights(down: float) -> np.ndarray:
        return _get_basis(np.column_stack([np.full(len(across), down), across]), points) @ inverse

    fine = np.empty((len(rows), len(columns)))
    for number, down in enumerate((rows - top).round(9)):
        seen = windows[top[number], left].reshape(len(columns), -1)
        fine[number] = np.einsum("cp,cp->c", get_weights(float(down))[which], seen)
    return fine


def _get_points(rows: int, columns: int) -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), -1).reshape(-1, 2) * 1.0


def _get_system(points: np.ndarray) -> np.ndarray:
    """What coefficients of kernels and of a plane must fulfil for values at `points` (n, 2): (n + 3, n + 3)."""
    system = np.zeros((len(points) + 3, len(points) + 3))
    system[: len(points)] = _get_basis(points, points)
    system[len(points) :, : len(points)] = system[: len(points), len(points) :].T
    return system


def _get_basis(at: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Thin-plate kernels r^2 log r of the distances to `points`, then 1, row, column: (len(at), n + 3)."""
    squared = (at[:, None, 0] - points[:, 0]) ** 2 + (at[:, None, 1] - points[:, 1]) ** 2
    kernels = squared * np.log(np.where(squared > 0, squared, 1)) / 2
    return np.concatenate([kernels, np.ones((len(at), 1)), at], 1)
