"""Interpolation of maps against SciPy's, which knows nothing of grids."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import CubicSpline, LinearNDInterpolator, NearestNDInterpolator, RBFInterpolator

from a2cli.localize import smooth_by_interpolation, upsample
from a2cli.localize.interpolate import INTERPOLATIONS, get_spline_weights


def draw_map(rows: int, columns: int, noise: float = 0.2) -> np.ndarray:
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:rows, :columns] / max(rows, columns)
    lump = np.exp(-((y - 0.3) ** 2 + (x - 0.5) ** 2) / 0.03)
    return (lump + noise * rng.random((rows, columns))).astype(np.float32)


def get_places(shape: tuple[int, int], fine: tuple[int, int]) -> np.ndarray:
    """Centres of fine pixels in tokens, moved in from beyond the outermost centres: (H * W, 2)."""
    axes = [np.clip((np.arange(m) + 0.5) * n / m - 0.5, 0, n - 1) for n, m in zip(shape, fine, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)


def get_points(shape: tuple[int, int]) -> np.ndarray:
    return np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).reshape(-1, 2).astype(float)


CASES = [((8, 11), (40, 55)), ((8, 11), (8, 11)), ((7, 5), (50, 33)), ((2, 2), (6, 6))]


@pytest.mark.parametrize(("shape", "fine"), CASES)
def test_rbf_is_scipys_thin_plate(shape: tuple[int, int], fine: tuple[int, int]) -> None:
    values = draw_map(*shape)
    plate = RBFInterpolator(get_points(shape), values.ravel(), kernel="thin_plate_spline", degree=1)
    expected = plate(get_places(shape, fine)).reshape(fine)
    np.testing.assert_allclose(upsample(values, fine, "rbf"), expected, atol=1e-5)


def test_rbf_of_large_maps_is_made_of_small_plates() -> None:
    shape, fine = (33, 36), (99, 50)
    values = draw_map(*shape)
    assert values.size > 1024
    expected = RBFInterpolator(get_points(shape), values.ravel(), degree=1)(get_places(shape, fine))
    found = upsample(values, fine, "rbf")
    assert np.abs(found - expected.reshape(fine)).max() < 0.01 * np.ptp(values)
    np.testing.assert_allclose(upsample(values, shape, "rbf"), values, atol=1e-6)  # through every token
    plane = np.add.outer(0.5 * np.arange(shape[0]), -np.arange(shape[1])).astype(np.float32)
    steep = get_places(shape, fine) @ [0.5, -1.0]
    np.testing.assert_allclose(upsample(plane, fine, "rbf"), steep.reshape(fine), atol=1e-5)


@pytest.mark.parametrize(("shape", "fine"), CASES)
def test_cubic_is_scipys_natural_spline(shape: tuple[int, int], fine: tuple[int, int]) -> None:
    values, places = draw_map(*shape), get_places(shape, fine).reshape(*fine, 2)
    along = CubicSpline(np.arange(shape[1]), values, axis=1, bc_type="natural")(places[0, :, 1])
    expected = CubicSpline(np.arange(shape[0]), along, axis=0, bc_type="natural")(places[:, 0, 0])
    np.testing.assert_allclose(upsample(values, fine, "cubic"), expected, atol=1e-6)


@pytest.mark.parametrize(("shape", "fine"), CASES)
def test_linear_is_scipys_over_triangles(shape: tuple[int, int], fine: tuple[int, int]) -> None:
    """SciPy is made to cut every square one way, then the other, by a grid that leans a little."""
    values, points, places = draw_map(*shape), get_points(shape), get_places(shape, fine)
    total = np.zeros(len(places))
    for lean in (1e-5, -1e-5):
        slant = np.array([[1.0, lean], [lean, 1.0]])
        middle = (np.array(shape) - 1) / 2  # a hair smaller, so that no place falls outside
        within = ((places - middle) * (1 - 1e-7) + middle) @ slant
        total += LinearNDInterpolator(points @ slant, values.ravel())(within) / 2
    np.testing.assert_allclose(upsample(values, fine, "linear").ravel(), total, atol=1e-4)


@pytest.mark.parametrize(("shape", "fine"), CASES)
def test_nearest_is_scipys(shape: tuple[int, int], fine: tuple[int, int]) -> None:
    values = draw_map(*shape)
    expected = NearestNDInterpolator(get_points(shape), values.ravel())(get_places(shape, fine) + 1e-6)
    np.testing.assert_array_equal(upsample(values, fine, "nearest"), expected.reshape(fine))


@pytest.mark.parametrize("method", INTERPOLATIONS)
@pytest.mark.parametrize("factor", [1, 3, 5])
def test_there_and_back(method: str, factor: int) -> None:
    values = draw_map(16, 12)
    found = smooth_by_interpolation(values, method, factor)
    fine = upsample(values, (16 * factor, 12 * factor), method)
    means = [
        [fine[r : r + factor, c : c + factor].mean() for c in range(0, 12 * factor, factor)]
        for r in range(0, 16 * factor, factor)
    ]
    np.testing.assert_allclose(found, means, atol=1e-6)
    assert found.dtype == np.float32
    same = factor == 1 or method == "nearest"
    assert np.allclose(found, values, atol=1e-6) == same
    if not same:  # smoother: neighbours differ less
        assert np.abs(np.diff(found, axis=0)).mean() < np.abs(np.diff(values, axis=0)).mean()


@pytest.mark.parametrize("method", INTERPOLATIONS)
def test_a_mirrored_map_gives_the_mirrored_picture(method: str) -> None:
    values = draw_map(9, 9)
    fine = upsample(values, (45, 45), method)
    np.testing.assert_allclose(upsample(values[::-1], (45, 45), method), fine[::-1], atol=1e-5)
    np.testing.assert_allclose(upsample(values.T, (45, 45), method), fine.T, atol=1e-5)


@pytest.mark.parametrize("method", INTERPOLATIONS)
def test_small_and_flat_maps(method: str) -> None:
    for shape in ((1, 1), (1, 6), (6, 1), (2, 2), (3, 2)):
        values = draw_map(6, 6)[: shape[0], : shape[1]]
        fine = upsample(values, (12, 12), method)
        assert fine.shape == (12, 12) and np.isfinite(fine).all()
        corners = fine[[0, 0, -1, -1], [0, -1, 0, -1]]
        np.testing.assert_allclose(corners, values[[0, 0, -1, -1], [0, -1, 0, -1]], atol=1e-6)
    np.testing.assert_allclose(upsample(np.full((9, 9), 0.3), (27, 27), method), 0.3, rtol=1e-6)


def test_spline_weights_add_up() -> None:
    weights = get_spline_weights(7, np.linspace(0, 6, 31))
    np.testing.assert_allclose(weights.sum(1), 1)
    np.testing.assert_allclose(weights @ np.arange(7), np.linspace(0, 6, 31), atol=1e-12)
    np.testing.assert_allclose(get_spline_weights(7, np.arange(7.0)), np.eye(7), atol=1e-12)


def test_what_cannot_be_made_finer() -> None:
    values = draw_map(4, 4)
    with pytest.raises(ValueError, match="cannot make"):
        upsample(values, (3, 8), "linear")
    with pytest.raises(ValueError, match="factor must be 1"):
        smooth_by_interpolation(values, "linear", 0)
    with pytest.raises(ValueError, match="'lanczos' is no interpolation; known: rbf"):
        upsample(values, (8, 8), "lanczos")  # type: ignore[arg-type]
