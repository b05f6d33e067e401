"""Outside the saved region every sample of every kind of photo keeps its bits; inside, the edit is right."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pictures
import pytest
from edits import Studio, encode_mask, read_region
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import encode, encode16, make_scene
from PIL import Image, ImageCms, ImageOps

from a2cli.images import open_photo

BOX = "box:20,12,38,26"
SCENE = make_scene()
RAMP = np.tile(np.arange(56, dtype=np.uint8) * 4, (40, 1))
DEEP = np.random.default_rng(0).integers(0, 65536, (40, 56, 4)).astype(np.uint16)


def get_lab() -> Image.Image:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.applyTransform(
        Image.fromarray(SCENE), ImageCms.buildTransform(srgb, lab, "RGB", "LAB")
    )
    assert converted is not None
    return converted


def get_kinds() -> dict[str, tuple[bytes, str, str]]:
    """Kind of photo -> its file, the name of the output, and the mode a2 must give back."""
    image = Image.fromarray(SCENE)
    grey16 = Image.frombytes("I;16", (56, 40), DEEP[..., 0].tobytes())
    return {
        "8-bit": (encode(SCENE, "PNG"), "out.png", "RGB"),
        "jpeg": (encode(SCENE, "JPEG"), "out.png", "RGB"),
        "webp": (encode(SCENE, "WEBP", lossless=True), "out.webp", "RGB"),
        "bmp": (encode(SCENE, "BMP"), "out.bmp", "RGB"),
        "16-bit": (encode16(DEEP[..., :3]), "out.png", "RGB;16"),
        "16-bit tiff": (encode16(DEEP[..., :3], ".tiff"), "out.tif", "RGB;16"),
        "16-bit grey": (encode(grey16, "PNG"), "out.png", "I;16"),
        "16-bit rgba": (encode16(DEEP), "out.png", "RGBA;16"),
        "rgba": (encode(np.dstack([SCENE, RAMP]), "PNG"), "out.png", "RGBA"),
        "grey": (encode(image.convert("L"), "PNG"), "out.png", "L"),
        "grey with alpha": (encode(np.dstack([SCENE[..., 0], RAMP]), "PNG"), "out.png", "LA"),
        "palette": (encode(image.quantize(64), "PNG"), "out.png", "RGB"),
        "palette gif": (encode(image.quantize(64), "GIF"), "out.png", "RGB"),
        "bilevel": (encode(image.convert("1"), "PNG"), "out.png", "L"),
        "cmyk": (encode(image.convert("CMYK"), "TIFF"), "out.tif", "CMYK"),
        "lab": (encode(get_lab(), "TIFF"), "out.tif", "LAB"),
        "icc": (encode(SCENE, "PNG", icc_profile=pictures.get_profile("wide")), "out.png", "RGB"),
        "no suffix": (encode(image.convert("CMYK"), "TIFF"), "out", "CMYK"),
    }


KINDS = get_kinds()


@pytest.mark.parametrize("kind", KINDS)
def test_outside_the_region_every_sample_is_kept(studio: Studio, kind: str) -> None:
    """FAULTS 4, 5 and 7, and the promise of `a2 edit`."""
    data, name, mode = KINDS[kind]
    source = studio.write("source of \u00fc", data)
    done = studio.edit(source, "--mask", studio.mask, "-o", name, "--save-region", "region.png")
    assert (done.code, done.stderr) == (0, "")
    before, after = open_photo(source), open_photo(studio.folder / name)
    region = read_region(studio.folder / "region.png")
    assert after.mode == mode and after.size == before.size and after.icc_profile == before.icc_profile
    assert np.array_equal(after.native[~region], before.native[~region])
    assert (after.native[studio.marked] != before.native[studio.marked]).any()
    if after.alpha is not None:
        assert (after.alpha[studio.marked] == 255).all()


def test_16_bits_are_scaled_not_saturated(studio: Studio) -> None:
    """FAULTS 4: a 16-bit photo and its 8-bit twin are edited alike."""
    twins = {"8": encode(SCENE, "PNG"), "16": encode16(SCENE.astype(np.uint16) * 257)}
    for name, data in twins.items():
        (studio.folder / name).mkdir()
        source = studio.write(f"{name}/twin.png", data)  # one name, one seed
        assert studio.edit(source, "--mask", BOX, "-o", f"out{name}.png").code == 0
    out8, out16 = (open_photo(studio.folder / f"out{n}.png") for n in ("8", "16"))
    assert out16.mode == "RGB;16" and len(np.unique(out16.native % 257)) > 50  # the edit uses all its bits
    assert np.abs(out16.native / 257.0 - out8.native).max() <= 0.51
    assert abs(out16.native.mean() / 65535 - out8.native.mean() / 255) < 1 / 255


@pytest.mark.parametrize("kind", ["cmyk", "lab", "icc", "grey", "palette"])
def test_the_model_sees_srgb_and_the_edit_comes_back_in_the_photos_colours(studio: Studio, kind: str) -> None:
    """FAULTS 5: seen as sRGB, the edit looks like that of the sRGB twin."""
    data, name, _ = KINDS[kind]
    source = studio.write("own", data)
    (studio.folder / "twin").mkdir()
    twin = studio.write("twin/own", encode(open_photo(source).rgb, "PNG"))  # one name, one seed
    assert studio.edit(source, "--mask", BOX, "-o", name).code == 0
    assert studio.edit(twin, "--mask", BOX, "-o", "twin-out.png").code == 0
    own, wanted = open_photo(studio.folder / name).rgb, open_photo(studio.folder / "twin-out.png").rgb
    if kind == "grey":
        wanted = np.asarray(Image.fromarray(wanted).convert("L").convert("RGB"))
    error = np.abs(own.astype(int) - wanted)[12:26, 20:38]
    assert error.mean() < (12 if kind in ("cmyk", "icc") else 3)  # colours out of gamut cannot come back


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_aligns_photo_and_mask(studio: Studio, orientation: int) -> None:
    """FAULTS 6: the mask is drawn on the upright photo; the output is upright and says so."""
    source = studio.write("phone.png", encode(SCENE, "PNG", exif=pictures.make_exif(orientation)))
    upright = np.asarray(ImageOps.exif_transpose(Image.open(source)))
    marked = np.zeros(upright.shape[:2], bool)
    marked[5:17, 22:36] = True
    mask = studio.write("upright.png", encode_mask(marked))
    done = studio.edit(source, "--mask", mask, "-o", "out.png", "--save-region", "region.png")
    assert done.code == 0, done.stderr
    image = Image.open(studio.folder / "out.png")
    out, region = np.asarray(image), read_region(studio.folder / "region.png")
    assert image.getexif().get(0x0112, 1) == 1 and image.getexif()[0x010F] == "Maker"
    assert out.shape == upright.shape and region[marked].all()
    assert np.array_equal(out[~region], upright[~region])
    assert (out != upright).any(axis=2)[marked].mean() > 0.5


def test_orientation_of_a_mask_drawn_on_the_stored_photo(studio: Studio) -> None:
    source = studio.write("phone.jpg", encode(SCENE, "JPEG", exif=pictures.make_exif(6)))
    marked = np.zeros((40, 56), np.uint8)
    marked[4:12, 6:16] = 255
    mask = studio.write("turned.png", encode(marked, "PNG", exif=pictures.make_exif(6)))
    done = studio.edit(
        source, "--mask", mask, "-o", "out.png", "--save-region", "region.png", "--feather", "0"
    )
    assert done.code == 0, done.stderr
    assert np.array_equal(read_region(studio.folder / "region.png"), np.rot90(marked, -1) > 0)


def test_jpeg_output_keeps_its_format_exif_and_profile(studio: Studio) -> None:
    profile = pictures.get_profile("wide")
    source = studio.write(
        "a.jpg", encode(SCENE, "JPEG", exif=pictures.make_exif(3), icc_profile=profile, quality=98)
    )
    assert studio.edit(source, "--mask", BOX, "-o", "out.jpg").code == 0
    image = Image.open(studio.folder / "out.jpg")
    assert (image.format, image.size, image.info["icc_profile"]) == ("JPEG", (56, 40), profile)
    assert image.getexif().get(0x0112, 1) == 1 and b"a2:a2" in image.info["xmp"]


def soft(marked: np.ndarray) -> np.ndarray:
    return np.clip(np.hypot(*np.mgrid[-20:20, -28:28]) * -9 + 200, 0, 255).astype(np.uint8)


def islands(marked: np.ndarray) -> np.ndarray:
    result = np.zeros(marked.shape, np.uint8)
    result[::7, ::9] = 255
    return result


def dot(marked: np.ndarray) -> np.ndarray:
    result = np.zeros(marked.shape, np.uint8)
    result[17, 31] = 255
    return result


def corner(marked: np.ndarray) -> np.ndarray:
    result = np.zeros(marked.shape, np.uint8)
    result[:9, :14] = 255
    return result


def frame(marked: np.ndarray) -> np.ndarray:
    result = np.full(marked.shape, 255, np.uint8)
    result[1:-1, 1:-1] = 0
    return result


def faint(marked: np.ndarray) -> np.ndarray:
    return (marked * 3).astype(np.uint8) | (np.arange(56) % 2).astype(np.uint8)


@pytest.mark.parametrize("form", [soft, islands, dot, corner, frame, faint])
@pytest.mark.parametrize("feather", [0, 4])
def test_awkward_masks_keep_the_outside(studio: Studio, form: object, feather: int) -> None:
    """FAULTS 11: soft, one-pixel, border-touching, many-island and faint masks."""
    assert callable(form)
    mask = studio.write("awkward.png", encode(form(studio.marked), "PNG"))
    done = studio.edit(
        studio.photo, "--mask", mask, "-o", "o.png", "--save-region", "r.png", "--feather", feather
    )
    assert (done.code, done.stderr) == (0, "")
    out, region = np.asarray(Image.open("o.png")), read_region(Path("r.png"))
    given = np.asarray(Image.open(mask)) > 0
    assert region[given].all() and (feather or np.array_equal(region, given))
    assert np.array_equal(out[~region], SCENE[~region])


def test_full_mask_edits_everything(studio: Studio) -> None:
    """FAULTS 10."""
    mask = studio.write("full.png", encode_mask(np.ones_like(studio.marked)))
    done = studio.edit(studio.photo, "--mask", mask, "-o", "out.png", "--save-region", "region.png")
    assert (done.code, done.stderr) == (0, "")
    out = np.asarray(Image.open("out.png"))
    assert out.shape == SCENE.shape and (out != SCENE).any(axis=2).mean() > 0.9
    assert read_region(Path("region.png")).all()


@pytest.mark.parametrize(
    ("shape", "box"),
    [
        ((1, 4096), "box:100,0,300,1"),
        ((1, 4096), "box:100,0,4000,1"),
        ((4096, 1), "box:0,7,1,9"),
        ((7, 7), "box:2,2,5,5"),
        ((7, 7), "box:0,0,7,7"),
        ((1, 1), "box:0,0,1,1"),
        ((33, 17), "box:16,32,17,33"),
        ((131, 255), "box:3,100,200,131"),
    ],
)
def test_odd_sizes_come_back_unchanged(studio: Studio, shape: tuple[int, int], box: str) -> None:
    """FAULTS 13."""
    scene = make_scene(*shape)
    source = studio.write("odd.png", encode(scene, "PNG"))
    done = studio.edit(source, "--mask", box, "-o", "o.png", "--save-region", "r.png", "--feather", "2")
    assert (done.code, done.stderr) == (0, "")
    out, region = np.asarray(Image.open("o.png")), read_region(Path("r.png"))
    assert out.shape == scene.shape and np.array_equal(out[~region], scene[~region])
    assert (out != scene)[region].any()


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_size_and_any_mask(studio: Studio, data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 90), st.integers(1, 90)))
    seed, share = data.draw(st.integers(0, 999)), data.draw(st.floats(0.0, 1.0))
    rng = np.random.default_rng(seed)
    grey = (rng.random(shape) < share**3) * rng.integers(1, 256, shape)
    grey.flat[int(rng.integers(grey.size))] = 255
    scene = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    source, mask = (
        studio.write(name, encode(samples, "PNG"))
        for name, samples in (("s.png", scene), ("m.png", grey.astype(np.uint8)))
    )
    feather = data.draw(st.sampled_from([0, 1.5, 8]))
    done = studio.edit(source, "--mask", mask, "-o", "-", "--save-region", "r.png", "--feather", feather)
    assert (done.code, done.stderr) == (0, "")
    out, region = np.asarray(Image.open(io.BytesIO(done.stdout))), read_region(Path("r.png"))
    assert out.shape == scene.shape and np.array_equal(out[~region], scene[~region])
