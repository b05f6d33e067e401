"""What is not edited comes out bit for bit; what is written is there whole or not at all."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pictures
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import encode, encode16, make_scene
from PIL import Image, ImageCms

from a2cli.errors import DataError
from a2cli.images import (
    Photo,
    build_photo,
    compose,
    crop_image,
    crop_mask,
    encode_png,
    get_blend_weight,
    get_output_format,
    get_zoom_crop,
    open_photo,
    paste_back,
    save_image,
    save_mask,
    save_photo,
)
from a2cli.images.formats import encode_png16
from a2cli.images.metadata import Metadata

SCENE = make_scene()
WEIGHT = np.zeros((40, 56), np.float32)
WEIGHT[10:24, 20:41] = 1.0
WEIGHT[24:28, 20:41] = 0.5
EDIT = np.full((40, 56, 3), (250, 30, 90), np.float32)


def make_lab() -> Image.Image:
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    converted = ImageCms.applyTransform(
        Image.fromarray(SCENE), ImageCms.buildTransform(srgb, lab, "RGB", "LAB")
    )
    assert converted is not None
    return converted


def make_sources() -> dict[str, bytes]:
    """One lossless file of every kind."""
    image = Image.fromarray(SCENE)
    alpha = np.tile(np.arange(56, dtype=np.uint8) * 4, (40, 1))
    deep = (np.dstack([SCENE, alpha]).astype(np.uint16) * 257) ^ 0x2B
    exif = pictures.make_exif(6)
    return {
        "rgb": encode(SCENE, "PNG", exif=exif, icc_profile=pictures.get_profile("srgb")),
        "wide": encode(SCENE, "PNG", icc_profile=pictures.get_profile("wide")),
        "rgba": encode(np.dstack([SCENE, alpha]), "PNG"),
        "webp": encode(np.dstack([SCENE, alpha]), "WEBP", lossless=True, exact=True, exif=exif),
        "tiff": encode(SCENE, "TIFF", exif=exif),
        "bmp": encode(SCENE, "BMP"),
        "grey": encode(image.convert("L"), "PNG"),
        "grey_alpha": encode(image.convert("LA"), "PNG"),
        "palette": encode(image.quantize(200), "PNG"),
        "palette_alpha": encode(image.quantize(20), "PNG", transparency=3),
        "bilevel": encode(image.convert("1"), "PNG"),
        "bilevel_tiff": encode(image.convert("1"), "TIFF"),
        "cmyk": encode(image.convert("CMYK"), "TIFF"),
        "lab": encode(make_lab(), "TIFF"),
        "grey16": encode(Image.frombytes("I;16", (56, 40), deep[..., 0].tobytes()), "PNG"),
        "grey16_tiff": encode(Image.frombytes("I;16", (56, 40), deep[..., 0].tobytes()), "TIFF"),
        "rgb16": encode16(deep[..., :3]),
        "rgba16": encode16(deep),
        "rgb16_tiff": encode16(deep[..., :3], ".tiff"),
        "grey_alpha16": encode_png16(deep[..., [0, 3]], "LA;16", None, exif, {}),
    }


SOURCES = make_sources()


def get_reference(data: bytes) -> np.ndarray:
    """What another reader sees: Pillow's own RGBA for 8-bit files."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))


@pytest.mark.parametrize("kind", SOURCES)
def test_outside_is_bit_identical_and_inside_is_the_edit(tmp_path: Path, kind: str) -> None:
    photo = open_photo(SOURCES[kind])
    weight = WEIGHT if photo.size == WEIGHT.shape else WEIGHT.T
    edit = EDIT if photo.size == WEIGHT.shape else EDIT.swapaxes(0, 1)
    before = photo.native.copy()
    native = compose(photo, edit, weight)
    assert np.array_equal(photo.native, before)  # the photo itself is never written to
    path = tmp_path / f"out.{photo.format.lower()}"
    save_photo(photo, native, path)
    saved = open_photo(path)
    outside = weight == 0
    assert saved.size == photo.size and saved.mode == photo.mode and saved.format == photo.format
    assert np.array_equal(saved.native[outside], photo.native[outside])
    assert np.array_equal(saved.rgb[outside], photo.rgb[outside])
    assert saved.icc_profile == photo.icc_profile
    assert (saved.exif is None) == (photo.exif is None)
    inside = saved.rgb[weight == 1].astype(int)
    if photo.layout.colours == 1:
        expected: np.ndarray = np.full(3, round(float(EDIT[0, 0] @ np.array([0.299, 0.587, 0.114]))))
    else:
        expected = EDIT[0, 0]
    tolerance = 24 if kind == "cmyk" else 4
    assert np.abs(inside - expected).max() <= tolerance
    if saved.alpha is not None:
        assert (saved.alpha[weight == 1] == 255).all()


@pytest.mark.parametrize("kind", SOURCES)
def test_empty_weight_gives_the_source(kind: str) -> None:
    photo = open_photo(SOURCES[kind])
    shape = photo.size
    native = compose(photo, np.full((*shape, 3), np.nan, np.float32), np.zeros(shape, np.float32))
    assert native is not photo.native and np.array_equal(native, photo.native)


@pytest.mark.parametrize("kind", SOURCES)
def test_full_weight_replaces_everything(kind: str) -> None:
    photo = open_photo(SOURCES[kind])
    native = compose(photo, np.full((*photo.size, 3), 255, np.uint8), np.ones(photo.size))
    assert open_photo(encode_png(photo, native)).rgb.min() >= 252


def test_palette_stays_a_palette_only_while_it_is_lossless(tmp_path: Path) -> None:
    photo = open_photo(SOURCES["palette"])
    save_photo(photo, compose(photo, EDIT, WEIGHT == 1), tmp_path / "flat.png")
    assert Image.open(tmp_path / "flat.png").mode == "P"  # one new colour fits
    busy = compose(photo, np.random.default_rng(0).uniform(0, 255, EDIT.shape), WEIGHT)
    save_photo(photo, busy, tmp_path / "busy.png")
    assert Image.open(tmp_path / "busy.png").mode == "RGB"
    for name, native in (("flat", compose(photo, EDIT, WEIGHT == 1)), ("busy", busy)):
        assert np.array_equal(open_photo(tmp_path / f"{name}.png").native, native)
    bilevel = open_photo(SOURCES["bilevel"])
    save_photo(bilevel, bilevel.native, tmp_path / "bits.png")
    assert Image.open(tmp_path / "bits.png").mode == "1"


def test_gif_is_exact_or_refused(tmp_path: Path) -> None:
    data = encode(Image.fromarray(SCENE).quantize(100), "GIF", transparency=5)
    photo = open_photo(data)
    assert get_output_format(photo) == "PNG"
    save_photo(photo, photo.native, tmp_path / "a.gif")
    again = open_photo(tmp_path / "a.gif")
    shown = photo.alpha == 255 if photo.alpha is not None else np.ones(photo.size, bool)
    assert np.array_equal(again.rgb[shown], photo.rgb[shown])
    assert again.alpha is not None and photo.alpha is not None and np.array_equal(again.alpha, photo.alpha)
    busy = compose(photo, np.random.default_rng(0).uniform(0, 255, EDIT.shape), WEIGHT)
    with pytest.raises(DataError, match="256 colours"):
        save_photo(photo, busy, tmp_path / "a.gif")
    assert np.array_equal(open_photo(tmp_path / "a.gif").native, again.native)


def test_jpeg_keeps_mode_profile_and_exif(tmp_path: Path) -> None:
    exif, profile = pictures.make_exif(8), pictures.get_profile("wide")
    for image in (
        Image.fromarray(SCENE),
        Image.fromarray(SCENE).convert("L"),
        Image.fromarray(SCENE).convert("CMYK"),
    ):
        kept = profile if image.mode == "RGB" else None
        photo = open_photo(encode(image, "JPEG", exif=exif, icc_profile=kept, quality=95))
        save_photo(photo, photo.native, tmp_path / "a.jpg")
        saved = open_photo(tmp_path / "a.jpg")
        assert (saved.mode, saved.size, saved.icc_profile) == (image.mode, (56, 40), kept)
        assert saved.exif == photo.exif
        assert np.abs(saved.rgb.astype(int) - photo.rgb).mean() < 3


def test_formats_that_hold_less_get_what_looks_the_same(tmp_path: Path) -> None:
    for kind in ("cmyk", "lab", "rgba", "rgba16", "wide", "grey_alpha"):
        photo = open_photo(SOURCES[kind])
        assert photo.alpha is None or photo.alpha.min() == 0 or kind == "grey_alpha"
        for suffix in (".png", ".webp", ".bmp", ".jpg"):
            save_photo(photo, photo.native, tmp_path / f"x{suffix}")
            saved = open_photo(tmp_path / f"x{suffix}")
            opaque = np.ones(photo.size, bool) if photo.alpha is None else photo.alpha == 255
            error = np.abs(saved.rgb.astype(int) - photo.rgb)[opaque]
            assert error.size == 0 or error.mean() < 4
            if suffix in (".bmp", ".jpg") and photo.alpha is not None and (photo.alpha == 0).any():
                assert saved.rgb[photo.alpha == 0].min() > 225  # laid on white, not black
            elif photo.alpha is not None:
                assert saved.alpha is None or np.array_equal(saved.alpha, photo.alpha)


def test_alpha_is_kept_outside_and_hidden_colour_does_not_shine_through() -> None:
    alpha = np.full((40, 56), 255, np.uint8)
    alpha[10:24, 20:41] = 0
    rgb = SCENE.copy()
    rgb[alpha == 0] = (0, 255, 0)  # what lies hidden under the hole
    photo = build_photo(rgb, alpha=alpha)
    hole = np.zeros((40, 56), np.float32)
    hole[10:24, 20:41] = 0.5
    native = compose(photo, np.full_like(EDIT, 200), hole)
    assert (native[12, 30] == (200, 200, 200, 128)).all()
    assert np.array_equal(native[hole == 0], photo.native[hole == 0])


def test_16_bit_edit_uses_the_bits() -> None:
    photo = open_photo(SOURCES["rgb16"])
    native = compose(photo, np.full((40, 56, 3), 100.4, np.float32), np.ones((40, 56)))
    assert (native == round(100.4 * 257)).all()


def test_nan_and_wrong_sizes_are_refused() -> None:
    photo = build_photo(SCENE, name="p.png")
    edit = EDIT.copy()
    edit[12, 25] = np.nan
    for args in ((edit, WEIGHT), (EDIT[1:], WEIGHT), (EDIT, WEIGHT[1:]), (EDIT, np.full((40, 56), np.nan))):
        if args[1].shape == (40, 56) and np.isnan(args[1]).all():
            assert np.array_equal(compose(photo, *args), photo.native)  # NaN marks nothing
            continue
        with pytest.raises(DataError, match=r"p\.png"):
            compose(photo, *args)


@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_crop_edit_paste_back_is_identity_outside_the_region(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, 70)), data.draw(st.integers(1, 70))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    kind = data.draw(st.sampled_from(["box", "dots", "soft", "full", "edge"]))
    mask = np.zeros((height, width), np.float32)
    if kind == "box":
        y, x = rng.integers(0, height), rng.integers(0, width)
        mask[y : y + rng.integers(1, 30), x : x + rng.integers(1, 30)] = 1
    elif kind == "dots":
        mask[rng.integers(0, height, 3), rng.integers(0, width, 3)] = 1
    elif kind == "soft":
        mask[rng.random((height, width)) > 0.7] = rng.random()
        mask[0, 0] = 1
    elif kind == "edge":
        mask[:, -1] = 1
    else:
        mask[:] = 1
    dtype = data.draw(st.sampled_from([np.uint8, np.uint16]))
    native = rng.integers(0, np.iinfo(dtype).max + 1, (height, width, 3)).astype(dtype)
    rgb = native if dtype == np.uint8 else ((native.astype(np.uint32) + 128) // 257).astype(np.uint8)
    photo = Photo(rgb, None, native, "RGB" if dtype == np.uint8 else "RGB;16", "PNG", "p", "RGB")
    feather = data.draw(st.sampled_from([0.0, 1.5, 6.0]))

    crop = get_zoom_crop(mask, size=data.draw(st.sampled_from([8, 32, 65, (24, 48), (40, 16)])))
    patch = crop_image(photo.rgb, crop)
    assert patch.shape == (*crop.out, 3) and crop_mask(mask, crop).shape == crop.out
    edited = paste_back(photo.rgb, rng.uniform(0, 255, patch.shape).astype(np.float32), crop)
    weight = get_blend_weight(mask, feather)
    result = compose(photo, edited, weight)

    rows, columns = np.nonzero(mask >= 1)
    y, x = np.mgrid[0:height, 0:width]
    nearest = np.sqrt(((y[..., None] - rows) ** 2 + (x[..., None] - columns) ** 2).min(axis=2))
    region = (mask > 0) | (nearest < feather)
    assert result.shape == native.shape and result.dtype == dtype
    assert np.array_equal(result[~region], native[~region])
    assert np.array_equal(weight > 0, region)


@pytest.mark.parametrize("shape", [(1, 4096), (4096, 1), (7, 7)])
def test_extreme_sizes_make_the_whole_way(tmp_path: Path, shape: tuple[int, int]) -> None:
    scene = make_scene(*shape)
    photo = open_photo(encode(scene, "PNG"))
    mask = np.zeros(shape, np.float32)
    mask[shape[0] // 2, shape[1] // 3 :] = 1
    crop = get_zoom_crop(mask, size=64)
    edited = paste_back(photo.rgb, 255 - crop_image(photo.rgb, crop), crop)
    native = compose(photo, edited, get_blend_weight(mask, 2.0))
    save_photo(photo, native, tmp_path / "o.png")
    saved = open_photo(tmp_path / "o.png")
    assert saved.size == shape
    assert np.array_equal(
        saved.rgb[get_blend_weight(mask, 2.0) == 0], scene[get_blend_weight(mask, 2.0) == 0]
    )


def test_recipe_travels_with_the_file(tmp_path: Path) -> None:
    recipe = json.dumps({"seed": 7, "prompt": "a <cat> & \u00e9"})
    photo = build_photo(SCENE)
    for suffix in (".png", ".jpg", ".webp", ".tiff", ".avif"):
        save_photo(photo, SCENE, tmp_path / f"o{suffix}", metadata=Metadata({"a2": recipe}))
        data = (tmp_path / f"o{suffix}").read_bytes()
        assert b"compositeWithTrainedAlgorithmicMedia" in data
        open_photo(data)
    assert json.loads(Image.open(tmp_path / "o.png").text["a2"]) == json.loads(recipe)  # type: ignore[attr-defined]
    deep = open_photo(SOURCES["rgb16"])
    image = Image.open(io.BytesIO(encode_png(deep, deep.native, metadata=Metadata({"a2": recipe}))))
    assert image.text["a2"] == recipe  # type: ignore[attr-defined]
    save_photo(photo, SCENE, tmp_path / "bare.png")
    assert b"a2" not in (tmp_path / "bare.png").read_bytes()[:120]
    with pytest.raises(DataError, match="cannot name"):
        save_photo(photo, SCENE, tmp_path / "x.png", metadata=Metadata({"a 2>": "x"}))


def test_save_to_a_pipe_and_by_suffix(tmp_path: Path) -> None:
    photo = build_photo(SCENE)
    pipe = io.BytesIO()
    save_photo(photo, SCENE, pipe, format="PNG")
    assert pipe.getvalue() == encode_png(photo, SCENE)
    save_image(SCENE, tmp_path / "a b\n\u00e9.webp")
    assert open_photo(tmp_path / "a b\n\u00e9.webp").format == "WEBP"
    with pytest.raises(DataError, match=r"\.xyz"):
        save_image(SCENE, tmp_path / "o.xyz")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a b\n\u00e9.webp"]


def test_mask_is_saved_as_grey(tmp_path: Path) -> None:
    soft = np.linspace(0, 1, 40 * 56, dtype=np.float32).reshape(40, 56)
    save_mask(soft, tmp_path / "m.png")
    save_mask(soft > 0.5, tmp_path / "b.png")
    assert np.abs(open_photo(tmp_path / "m.png").native / 255.0 - soft).max() <= 0.5 / 255 + 1e-6
    assert set(np.unique(open_photo(tmp_path / "b.png").native)) == {0, 255}


def test_longest_names_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("\u00fc" * 125 + "n.png")
    assert len(path.name.encode()) == 255
    save_image(SCENE, path)
    assert open_photo(path).size == (40, 56)
