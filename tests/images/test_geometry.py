"""Crop, resize, blend: exact where they can be, checked against naive twins where they are fast."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import make_scene

from a2cli.errors import DataError
from a2cli.images import (
    Crop,
    crop_image,
    crop_mask,
    get_blend_weight,
    get_bounding_box,
    get_zoom_crop,
    paste_back,
    resize,
    resize_subject,
)

SQUARES = ((10, 20, 90, 64), (10, 20, 90, 200), (-20, 60, 110, 96))  # top, left, side, working side


def cut_naively(image: np.ndarray, crop: Crop, *, edge: bool) -> np.ndarray:
    """The crop at source scale, pixel by pixel."""
    height, width = image.shape[:2]
    result = np.zeros((crop.height, crop.width, *image.shape[2:]), image.dtype)
    for y in range(crop.height):
        for x in range(crop.width):
            row, column = crop.top + y, crop.left + x
            if edge:
                row, column = min(max(row, 0), height - 1), min(max(column, 0), width - 1)
            if 0 <= row < height and 0 <= column < width:
                result[y, x] = image[row, column]
    return result


@given(
    height=st.integers(1, 24),
    width=st.integers(1, 24),
    top=st.integers(-8, 20),
    left=st.integers(-8, 20),
    down=st.integers(1, 30),
    across=st.integers(1, 30),
    square=st.booleans(),
)
@settings(max_examples=160, deadline=None)
def test_crop_at_scale_one_equals_its_naive_twin(
    height: int, width: int, top: int, left: int, down: int, across: int, square: bool
) -> None:
    image = make_scene(height, width, seed=height * 31 + width)
    out = (down, down) if square else (down, across)
    crop = Crop(top, left, *out, out)
    x0, y0, x1, y1 = crop.get_inside((height, width))
    if x1 <= x0 or y1 <= y0:
        with pytest.raises(DataError):
            crop_image(image, crop)
        assert np.array_equal(paste_back(image, np.zeros((*out, 3), np.uint8), crop), image)
        return
    assert np.array_equal(crop_image(image, crop), cut_naively(image, crop, edge=True))
    mask = image[..., 0] / np.float32(255)
    assert np.array_equal(crop_mask(mask, crop), cut_naively(mask, crop, edge=False))
    patch = np.random.default_rng(down).integers(0, 256, (*out, 3), dtype=np.uint8)
    pasted = paste_back(image, patch, crop)
    expected = image.copy()
    expected[y0:y1, x0:x1] = patch[y0 - top : y1 - top, x0 - left : x1 - left]
    assert np.array_equal(pasted, expected)
    assert np.array_equal(paste_back(image, crop_image(image, crop), crop), image)


def make_box(height: int, width: int, seed: int) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """A mask (H, W) with one box somewhere, and the box."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), bool)
    y, x = rng.integers(0, height), rng.integers(0, width)
    mask[y : y + rng.integers(1, height + 1), x : x + rng.integers(1, width + 1)] = True
    box = get_bounding_box(mask)
    assert box is not None
    return mask, box


@given(
    height=st.integers(1, 200),
    width=st.integers(1, 200),
    size=st.sampled_from([64, (64, 64), (96, 176), (176, 96), (112, 144), (16, 1000), (48, 24)]),
    context=st.floats(1.0, 3.0),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=300, deadline=None)
def test_zoom_crop_holds_the_mask_and_stays_inside_where_it_can(
    height: int, width: int, size: int | tuple[int, int], context: float, seed: int
) -> None:
    mask, (x0, y0, x1, y1) = make_box(height, width, seed)
    crop = get_zoom_crop(mask, size=size, context=context)
    assert crop.out == ((size, size) if isinstance(size, int) else size)
    assert crop.left <= x0 and crop.left + crop.width >= x1
    assert crop.top <= y0 and crop.top + crop.height >= y1
    assert crop.height <= height or crop.width <= width  # no larger than it takes to cover the photo
    for start, side, length in ((crop.top, crop.height, height), (crop.left, crop.width, width)):
        if side <= length:
            assert 0 <= start <= length - side
        else:  # covers the whole of that axis
            assert start <= 0 and start + side >= length


@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    out=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    context=st.floats(1.0, 3.0),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=150, deadline=None)
def test_zoom_crop_equals_its_naive_twin(
    height: int, width: int, out: tuple[int, int], context: float, seed: int
) -> None:
    """The twin tries one size after the other: how high, and as wide as the aspect says; or the reverse."""
    mask, (x0, y0, x1, y1) = make_box(height, width, seed)
    wanted = [max(int(np.ceil(side * context)), 16) for side in (y1 - y0, x1 - x0)]

    def is_enough(down: Fraction, across: Fraction) -> bool:
        return (down >= wanted[0] and across >= wanted[1]) or (down >= height and across >= width)

    found = []
    for axis in (0, 1):
        side = 1
        while not is_enough(*(Fraction(side * other, out[axis]) for other in out)):
            side += 1
        found.append((Fraction(side, out[axis]), axis, side))
    step, axis, side = min(found)
    crop = get_zoom_crop(mask, size=out, context=context)
    sides = (crop.height, crop.width)
    assert sides[axis] == side and abs(sides[1 - axis] - step * out[1 - axis]) <= Fraction(1, 2)
    assert abs(crop.scale * side - out[axis]) <= crop.scale  # the same in both axes, to a pixel
    for start, length, total, low, high in (
        (crop.top, crop.height, height, y0, y1),
        (crop.left, crop.width, width, x0, x1),
    ):
        starts = range(min(0, total - length), max(0, total - length) + 1)
        centred = (low + high - length) // 2
        assert start == min(starts, key=lambda place: abs(place - centred))


@pytest.mark.parametrize("seed", range(8))
def test_the_square_is_what_it_was_before_there_were_rectangles(seed: int) -> None:
    rng = np.random.default_rng([3, seed])
    height, width, size = (int(n) for n in rng.integers(1, 3000, 3))
    context = float(rng.uniform(1, 3))
    mask, (x0, y0, x1, y1) = make_box(height, width, seed)
    side = min(max(int(np.ceil(max(x1 - x0, y1 - y0) * context)), 16), max(height, width))
    crop = get_zoom_crop(mask, size=size, context=context)
    assert (crop.height, crop.width, crop.out) == (side, side, (size, size))
    assert crop == get_zoom_crop(mask, size=(size, size), context=context)
    assert crop.scale == size / side


def test_zoom_crop_side_follows_the_context() -> None:
    mask = np.zeros((200, 300), bool)
    mask[90:110, 100:150] = True
    crop = get_zoom_crop(mask, size=128, context=1.6)
    assert crop == Crop(60, 85, 80, 80, (128, 128)) and crop.scale == 1.6
    assert get_zoom_crop(mask, size=128, context=3.0).width == 150
    # Of twice the width, half the height is enough; of twice the height, the width decides again.
    assert get_zoom_crop(mask, size=(64, 128), context=1.6) == Crop(80, 85, 40, 80, (64, 128))
    assert get_zoom_crop(mask, size=(128, 64), context=1.6) == Crop(20, 85, 160, 80, (128, 64))
    dot = np.zeros((200, 300), bool)
    dot[0, 0] = True
    assert get_zoom_crop(dot, size=128) == Crop(0, 0, 16, 16, (128, 128))
    assert get_zoom_crop(dot, size=(64, 128)) == Crop(0, 0, 16, 32, (64, 128))
    full = np.ones((200, 300), bool)
    assert get_zoom_crop(full, size=(64, 128)) == Crop(0, -50, 200, 400, (64, 128))
    with pytest.raises(DataError, match="marks nothing"):
        get_zoom_crop(np.zeros((9, 9), bool), size=64)
    with pytest.raises(DataError, match="positive sides"):
        Crop(0, 0, 0, 5, (5, 5))
    with pytest.raises(DataError, match="keeps its aspect, got 20 x 20 to 64 x 128"):
        Crop(0, 0, 20, 20, (64, 128))


def test_shrinking_averages_and_enlarging_is_smooth() -> None:
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    assert np.abs(resize(board, (16, 16)).astype(int) - 127).max() <= 1  # no aliasing
    ramp = np.tile(np.linspace(0, 1, 16, dtype=np.float32), (16, 1))
    big = resize(ramp, (64, 64))
    assert np.all(np.diff(big[:, 8:-8], axis=1) > 0)
    assert resize(board, (16, 128)).shape == (16, 128)
    for dtype in (np.uint8, np.uint16, np.float32):
        for shape in ((9, 9), (9, 9, 1), (9, 9, 2), (9, 9, 3), (9, 9, 4)):
            resized = resize(np.ones(shape, dtype), (4, 13))
            assert resized.shape == (4, 13, *shape[2:]) and resized.dtype == dtype
            assert np.allclose(resized, 1, atol=1e-5)


def test_crop_and_paste_at_other_scales_nearly_cancel() -> None:
    y, x = np.mgrid[0:120, 0:150]
    smooth = np.stack([127 + 100 * np.sin(x / 20), 127 + 100 * np.cos(y / 25), x + y * 0.5], -1).astype(
        np.uint8
    )
    crops = [Crop(*place, side, side, (out, out)) for *place, side, out in SQUARES]
    for crop in (*crops, Crop(10, 20, 60, 90, (80, 120)), Crop(-20, 60, 110, 55, (96, 48))):
        again = paste_back(smooth, crop_image(smooth, crop), crop)
        x0, y0, x1, y1 = crop.get_inside((120, 150))
        outside = np.ones((120, 150), bool)
        outside[y0:y1, x0:x1] = False
        assert np.array_equal(again[outside], smooth[outside])
        assert np.abs(again.astype(int) - smooth).mean() < 1.5


def test_pasting_floats_rounds_and_clips() -> None:
    image = np.zeros((4, 4), np.uint8)
    patch = np.array([[-5.0, 0.6], [300.0, 254.4]], np.float32)
    crop = Crop(1, 1, 2, 2, (2, 2))
    assert paste_back(image, patch, crop)[1:3, 1:3].tolist() == [[0, 1], [255, 254]]
    assert paste_back(image.astype(np.float32), patch, crop)[2, 1] == 300.0


def test_thin_photos_never_become_squares_in_memory() -> None:
    thin = np.random.default_rng(0).integers(0, 256, (1, 60_000, 3), dtype=np.uint8)
    mask = np.ones((1, 60_000), bool)
    for size in (64, (64, 128), (128, 64)):
        crop = get_zoom_crop(mask, size=size)  # a square would be 10.8 GB
        patch = crop_image(thin, crop)
        assert np.ptp(patch.astype(int), axis=0).max() <= 1
        assert paste_back(thin, patch, crop).shape == thin.shape
        assert crop_mask(mask, crop).sum() > 0


@given(seed=st.integers(0, 2**31), feather=st.sampled_from([0.0, 0.5, 1.0, 2.5, 7.0, 40.0]))
@settings(max_examples=60, deadline=None)
def test_blend_weight_equals_its_naive_twin(seed: int, feather: float) -> None:
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 30, 2)
    mask = np.where(rng.random((height, width)) > rng.random(), rng.choice([1.0, 0.4]), 0.0).astype(
        np.float32
    )
    weight = get_blend_weight(mask, feather)
    y, x = np.mgrid[0:height, 0:width]
    expected = mask.copy()
    for row, column in zip(*np.nonzero(mask == 1), strict=True):
        nearness = np.clip(1 - np.hypot(y - row, x - column) / max(feather, 1e-9), 0, 1)
        expected = np.maximum(expected, nearness * nearness * (3 - 2 * nearness))
    assert weight.dtype == np.float32 and np.abs(weight - expected).max() < 1e-5
    assert np.array_equal(weight > 0, expected > 0)
    assert (weight[mask == 1] == 1).all()


def test_blend_weight_of_nothing_and_of_a_negative_feather() -> None:
    assert not get_blend_weight(np.zeros((5, 5), bool), 3.0).any()
    with pytest.raises(DataError):
        get_blend_weight(np.zeros((5, 5), bool), -1.0)


def test_resized_subject_keeps_its_colour_at_the_rim() -> None:
    rgb = np.full((40, 40, 3), 255, np.uint8)
    mask = np.zeros((40, 40), np.float32)
    mask[10:31, 7:28] = 1
    rgb[mask > 0] = (200, 10, 60)
    for size in ((13, 13), (90, 90)):
        colour, weight = resize_subject(rgb, mask, size)
        assert np.abs(colour[weight > 0.05] - (200, 10, 60)).max() < 1.0
        assert weight.min() >= 0 and weight.max() <= 1
