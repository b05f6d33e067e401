"""Layers, what hides what, and shadows, as functions of arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a2cli.data.scenes import MOST_HIDDEN, compose, move, place_before, place_behind, show_thing
from a2cli.data.shadows import Shadow, cast_shadow, darken, sample_shadow

SIZE = 64


def make_layer(rows: slice, columns: slice, colour: tuple[float, float, float] = (1, 0, 0)) -> np.ndarray:
    layer = np.zeros((SIZE, SIZE, 4), np.float32)
    layer[rows, columns] = (*colour, 1)
    return layer


def get_centre(field: np.ndarray) -> tuple[float, float]:
    rows, columns = np.indices(field.shape)
    return (field * rows).sum() / field.sum(), (field * columns).sum() / field.sum()


@settings(max_examples=60, deadline=None)
@given(across=st.integers(-80, 80), down=st.integers(-80, 80))
def test_moving_is_rolling_without_what_comes_round(across: int, down: int) -> None:
    layer = np.random.default_rng(0).random((SIZE, SIZE, 4), np.float32)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    inside = (rows >= down) & (rows < SIZE + down) & (columns >= across) & (columns < SIZE + across)
    rolled = np.roll(layer, (down, across), (0, 1)) * inside[..., None]
    assert np.array_equal(move(layer, across, down), rolled)


@pytest.mark.parametrize("with_shadow", [False, True])
def test_the_scene_is_everything_but_the_subject_and_its_shadow(with_shadow: bool) -> None:
    ground = np.full((SIZE, SIZE, 3), 0.5, np.float32)
    behind = make_layer(slice(10, 30), slice(5, 25), (0, 1, 0))
    subject = make_layer(slice(20, 40), slice(20, 40), (1, 0, 0))
    front = make_layer(slice(34, 50), slice(20, 40), (0, 0, 1))
    shadow = Shadow((0.4, 0.2), True, 0.05, 0.5) if with_shadow else None
    shown = compose(ground, [behind], subject, front, shadow)
    mask = shown.cover > 0.5
    assert np.array_equal(mask[20:34, 20:40], np.ones((14, 20), bool)) and mask.sum() == 14 * 20
    own = cast_shadow(subject[..., 3], shadow) if shadow else np.zeros((SIZE, SIZE))
    same = ~mask & (own == 0)
    assert np.array_equal(shown.picture[same], shown.scene[same]) and same.sum() > 1500
    darker = ~mask & (front[..., 3] == 0) & (own > 0.05)
    assert (shown.picture[darker] < shown.scene[darker] + 1e-6).all()
    assert darker.any() == with_shadow
    assert (shown.picture[40:48, 22:38] == (0, 0, 1)).all() and (shown.scene[40:48, 22:38] == (0, 0, 1)).all()
    red = shown.picture[22:32, 22:38]  # the thing before may darken the subject, but not paint over it
    assert (red[..., 0] > 0.3).all() and not red[..., 1:].any()
    assert (shown.scene[12:18, 8:18, 1] > 0.4).all()


def test_without_variation_a_layer_is_laid_on_the_ground() -> None:
    rng = np.random.default_rng(1)
    ground = rng.random((SIZE, SIZE, 3), np.float32)
    layer = rng.random((SIZE, SIZE, 4), np.float32)
    shown = compose(ground, [], layer)
    assert np.array_equal(shown.picture, ground * (1 - layer[..., 3:]) + layer[..., :3])
    assert np.array_equal(shown.scene, ground) and np.array_equal(shown.cover, layer[..., 3])


def test_a_thing_behind_can_be_seen() -> None:
    subject = make_layer(slice(20, 50), slice(20, 50))[..., 3] > 0.5
    thing = make_layer(slice(22, 42), slice(24, 40))
    found = [place_behind(thing, subject, np.random.default_rng(seed)) for seed in range(60)]
    placed = [layer[..., 3] > 0.5 for layer in found if layer is not None]
    assert len(placed) > 40
    for solid in placed:
        assert solid.sum() >= 0.65 * 320 and (solid & subject).sum() <= 0.5 * solid.sum()
    assert any((solid & subject).any() for solid in placed) and len({s.tobytes() for s in placed}) > 30
    assert place_behind(thing, np.ones((SIZE, SIZE), bool), np.random.default_rng(0)) is None


def test_a_thing_before_hides_a_part_and_never_too_much() -> None:
    subject = make_layer(slice(20, 50), slice(15, 45))[..., 3] > 0.5
    for size in (12, 20, 40, 60):
        start = (SIZE - size) // 2
        thing = make_layer(slice(start, start + size), slice(start, start + size))
        shares = []
        for seed in range(40):
            layer = place_before(thing, subject, np.random.default_rng(seed))
            if layer is not None:
                shares.append(((layer[..., 3] > 0.5) & subject).sum() / subject.sum())
        assert all(0.08 <= share <= MOST_HIDDEN for share in shares) and len(shares) > 30
    assert place_before(make_layer(slice(30, 32), slice(30, 32)), subject, np.random.default_rng(0)) is None


def test_a_thing_is_shown_at_its_size() -> None:
    subject = np.full((50, 80, 4), 255, np.uint8)
    for seed in range(8):
        solid = show_thing(subject, 128, 0.4, np.random.default_rng(seed))[..., 3] > 0.5
        rows, columns = np.nonzero(solid)
        assert 0.9 * 0.4 * 128 - 4 <= max(np.ptp(rows), np.ptp(columns)) <= 1.1 * 0.4 * 128 + 4
        assert abs(rows.mean() - 64) < 6 and abs(columns.mean() - 64) < 6


@settings(max_examples=60, deadline=None)
@given(angle=st.floats(0, 2 * np.pi), seed=st.integers(0, 1000))
def test_shadows_fall_away_from_the_light(angle: float, seed: int) -> None:
    shadow = sample_shadow(angle, np.random.default_rng(seed))
    light = np.array([np.cos(angle), np.sin(angle)])
    slope = np.array(shadow.slope)
    assert slope @ light < 0 and 0.35 <= shadow.strength <= 0.6
    alpha = make_layer(slice(24, 40), slice(26, 36))[..., 3]
    field = cast_shadow(alpha, shadow)
    assert field.shape == alpha.shape and field.min() >= 0 and field.max() <= shadow.strength + 1e-6
    outside = field * (alpha == 0)
    if abs(light[0]) > 0.5:  # the shadow lies on the other side of the thing
        assert (get_centre(field)[1] - get_centre(alpha)[1]) * light[0] < 0
    if abs(light[1]) > 0.5 and shadow.standing:  # behind it or before its foot
        assert (outside[41:].sum() > 0.5) == (light[1] < 0)


def test_a_standing_shadow_touches_the_foot_and_softens_with_distance() -> None:
    alpha = make_layer(slice(20, 50), slice(30, 34))[..., 3]
    field = cast_shadow(alpha, Shadow((-0.9, -0.2), True, 0.08, 0.5))
    assert field[49:51, 28:36].max() > 0.35  # dark where it stands
    near, far = field[:, 27], field[:, 8]
    assert near.max() > far.max() > 0.02
    flat = cast_shadow(alpha, Shadow((0.1, 0.1), False, 0.05, 0.5))
    assert get_centre(flat) == pytest.approx((34.5 + 3, 31.5 + 3), abs=0.3)
    assert not cast_shadow(np.zeros((8, 8), np.float32), Shadow((0.1, 0.1), True, 0.05, 0.5)).any()


def test_shade_takes_light_and_leaves_it_bluish() -> None:
    rgb = np.full((2, 2, 3), 0.8)
    shaded = darken(rgb, np.array([[0, 0.5], [0, 1.0]]))
    assert np.array_equal(shaded[:, 0], rgb[:, 0])
    assert (np.diff(shaded[0, 1]) > 0).all() and shaded[1, 1, 0] == 0
