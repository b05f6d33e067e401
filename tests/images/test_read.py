"""Pictures nobody should have to think about: every kind of file is read rightly or refused by name."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pictures
import pytest
from pictures import encode, encode16, make_scene
from PIL import Image, ImageCms, ImageOps

from a2cli.errors import DataError
from a2cli.images import FORMATS, open_photo

SCENE = make_scene()


def write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def test_plain_png_is_itself(tmp_path: Path) -> None:
    photo = open_photo(write(tmp_path, "a b\u00e9.png", encode(SCENE, "PNG")))
    assert np.array_equal(photo.rgb, SCENE) and np.array_equal(photo.native, SCENE)
    assert photo.size == (40, 56)
    assert (photo.mode, photo.format, photo.alpha) == ("RGB", "PNG", None)


def test_content_decides_not_the_name(tmp_path: Path) -> None:
    assert open_photo(write(tmp_path, "x.png", encode(SCENE, "JPEG"))).format == "JPEG"


@pytest.mark.parametrize("data, cause", [(b"", "empty"), (b"hello, not a picture\n" * 9, "not a picture")])
def test_empty_and_text_are_refused(tmp_path: Path, data: bytes, cause: str) -> None:
    with pytest.raises(DataError, match=cause) as caught:
        open_photo(write(tmp_path, "photo.png", data))
    assert "photo.png" in str(caught.value) and caught.value.hint


def test_svg_and_formats_off_the_list_are_refused(tmp_path: Path) -> None:
    for data in (b"<svg xmlns='http://www.w3.org/2000/svg'/>", encode(SCENE, "PPM"), encode(SCENE, "ICO")):
        with pytest.raises(DataError, match="not a picture"):
            open_photo(write(tmp_path, "x.png", data))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("share", [0.15, 0.5, 0.9])
def test_truncated_is_never_half_loaded(tmp_path: Path, format: str, share: float) -> None:
    noisy = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    image = Image.fromarray(noisy).convert("P") if format == "GIF" else Image.fromarray(noisy)
    whole = encode(image, format)
    open_photo(whole)
    with pytest.raises(DataError, match="cut"):
        open_photo(write(tmp_path, "cut", whole[: int(len(whole) * share)]))


def test_truncated_16_bit_and_progressive_are_refused() -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (64, 64, 3)).astype(np.uint16)
    for whole in (encode16(deep), encode16(deep, ".tiff"), encode(SCENE, "JPEG", progressive=True)):
        open_photo(whole)
        with pytest.raises(DataError):
            open_photo(whole[: int(len(whole) * 0.8)])


@pytest.mark.parametrize("claim", ["png", "webp", "bmp", "jpeg", "tiff", "gif"])
def test_claimed_400_megapixels_are_refused_before_decoding(claim: str) -> None:
    side = 16_000 if claim == "webp" else 20_000  # WebP's canvas ends at 16,384; 16,000^2 = 256 MP
    data = getattr(pictures, f"claim_{claim}")(side, side)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="megapixels"):
            open_photo(data)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_pixel_limit_is_an_argument() -> None:
    data = encode(SCENE, "PNG")
    assert open_photo(data, max_pixels=40 * 56).size == (40, 56)
    with pytest.raises(DataError, match="limit"):
        open_photo(data, max_pixels=40 * 56 - 1)
    before = Image.MAX_IMAGE_PIXELS
    big = encode(Image.new("1", (14_000, 14_000)), "PNG")  # 196 MP: Pillow's own opener would refuse
    with pytest.raises(DataError, match="196 megapixels"):
        open_photo(big)
    assert open_photo(encode(Image.new("1", (9_600, 9_600)), "PNG"), max_pixels=93_000_000).size == (
        9_600,
        9_600,
    )
    assert before == Image.MAX_IMAGE_PIXELS


def test_16_bit_grey_is_scaled_not_saturated() -> None:
    deep = (SCENE[..., 0].astype(np.uint16) * 257) ^ 0x55
    photo = open_photo(encode(Image.frombytes("I;16", (56, 40), deep.tobytes()), "PNG"))
    assert photo.mode == "I;16" and np.array_equal(photo.native, deep)
    assert abs(photo.rgb.mean() - SCENE[..., 0].mean()) < 1.0


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [3, 4])
def test_16_bit_colour_keeps_every_bit(suffix: str, channels: int) -> None:
    deep = np.random.default_rng(1).integers(0, 65536, (21, 34, channels)).astype(np.uint16)
    photo = open_photo(encode16(deep, suffix))
    assert photo.mode == ("RGB;16" if channels == 3 else "RGBA;16")
    assert np.array_equal(photo.native, deep)
    twin = np.rint(deep[..., :3] / 257.0)
    assert np.array_equal(photo.rgb, twin)
    assert (photo.alpha is None) == (channels == 3)


def test_16_bit_grey_with_alpha_and_with_colour_key() -> None:
    from a2cli.images.formats import encode_png16

    deep = np.random.default_rng(1).integers(0, 65536, (9, 11, 2)).astype(np.uint16)
    photo = open_photo(encode_png16(deep, "LA;16", None, None, {}))
    assert photo.mode == "LA;16" and np.array_equal(photo.native, deep)
    keyed = encode(Image.frombytes("I;16", (11, 9), deep[..., 0].tobytes()), "PNG")
    at = keyed.index(b"IDAT") - 4
    value = int(deep[0, 0, 0])
    keyed = keyed[:at] + pictures.png_chunk(b"tRNS", value.to_bytes(2, "big")) + keyed[at:]
    photo = open_photo(keyed)
    assert photo.mode == "LA;16" and np.array_equal(photo.native[..., 0], deep[..., 0])
    assert np.array_equal(photo.native[..., 1] == 0, deep[..., 0] == value)


def test_32_bit_samples_are_refused_with_a_remedy() -> None:
    for mode, dtype in (("I", np.int32), ("F", np.float32)):
        data = encode(Image.frombytes(mode, (56, 40), SCENE[..., 0].astype(dtype).tobytes()), "TIFF")
        with pytest.raises(DataError, match="convert it"):
            open_photo(data)


def test_grey_palette_bilevel_and_cmyk_become_srgb() -> None:
    image = Image.fromarray(SCENE)
    grey = open_photo(encode(image.convert("L"), "PNG"))
    assert grey.mode == "L" and (grey.rgb == grey.native[..., None]).all()

    palette = image.quantize(64)
    read = open_photo(encode(palette, "PNG"))
    assert (read.mode, read.source_mode) == ("RGB", "P")
    assert np.array_equal(read.rgb, np.asarray(palette.convert("RGB")))

    read = open_photo(encode(image.convert("1"), "PNG"))
    assert (read.mode, read.source_mode) == ("L", "1") and set(np.unique(read.native)) == {0, 255}

    cmyk = image.convert("CMYK")
    for format in ("TIFF", "JPEG"):
        read = open_photo(encode(cmyk, format, quality=98) if format == "JPEG" else encode(cmyk, format))
        assert read.mode == "CMYK" and read.native.shape == (40, 56, 4)
        assert np.abs(read.rgb.astype(int) - SCENE).mean() < 4
    assert np.array_equal(open_photo(encode(cmyk, "TIFF")).native, np.asarray(cmyk))


def test_lab_becomes_srgb_and_its_zero_is_128() -> None:
    lab = ImageCms.applyTransform(
        Image.fromarray(SCENE),
        ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"),
    )
    photo = open_photo(encode(lab, "TIFF"))
    assert photo.mode == "LAB"
    assert np.abs(photo.rgb.astype(int) - SCENE).mean() < 3
    neutral = open_photo(encode(Image.frombytes("LAB", (4, 4), bytes([128, 0, 0]) * 16), "TIFF"))
    assert (neutral.native[..., 1:] == 128).all()
    assert np.ptp(neutral.rgb[0, 0].astype(int)) <= 2


def test_icc_profile_is_applied_kept_and_ignored_when_broken() -> None:
    swapped = open_photo(encode(SCENE, "PNG", icc_profile=pictures.get_profile("wide")))
    flat = np.full((8, 8, 3), (200, 40, 40), np.uint8)
    green = open_photo(encode(flat, "PNG", icc_profile=pictures.get_profile("wide"))).rgb[0, 0]
    assert green[1] > green[0] + 100  # red primary of that profile is sRGB's green
    assert np.array_equal(swapped.native, SCENE) and swapped.icc_profile == pictures.get_profile("wide")

    plain = open_photo(encode(SCENE, "PNG", icc_profile=pictures.get_profile("srgb")))
    assert np.array_equal(plain.rgb, SCENE)
    for profile in (b"not a profile", pictures.get_profile("srgb")[:200]):
        assert np.array_equal(open_photo(encode(SCENE, "PNG", icc_profile=profile)).rgb, SCENE)
    # An RGB profile on a grey picture means nothing.
    grey = encode(Image.fromarray(SCENE).convert("L"), "PNG", icc_profile=pictures.get_profile("wide"))
    assert np.ptp(open_photo(grey).rgb.astype(int), axis=2).max() == 0


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_gives_an_upright_photo(format: str, orientation: int) -> None:
    options = {"WEBP": {"lossless": True}, "AVIF": {"quality": 95}}.get(format, {})
    data = encode(SCENE, format, exif=pictures.make_exif(orientation), **options)
    photo = open_photo(data)
    stored = Image.fromarray(SCENE)
    stored.getexif()[0x0112] = orientation
    upright = np.asarray(ImageOps.exif_transpose(stored))
    assert photo.size == upright.shape[:2]
    error = np.abs(photo.rgb.astype(int) - upright).max() if format in ("PNG", "WEBP", "TIFF") else 0
    assert error == 0
    assert np.abs(photo.rgb.astype(int) - upright).mean() < 6
    assert photo.exif is not None
    block = Image.Exif()
    block.load(photo.exif)
    assert block.get(0x0112, 1) == 1 and block[0x010F] == "Maker"
    assert block.get_ifd(0x8769)[0x9003] == "2020:02:02 02:02:02"


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("orientation", [2, 3, 6, 7, 8])
def test_orientation_of_16_bit_colour(suffix: str, orientation: int) -> None:
    from a2cli.images.exif import turn_upright
    from a2cli.images.formats import encode_png16, encode_tiff

    deep = np.random.default_rng(2).integers(0, 65536, (12, 17, 3)).astype(np.uint16)
    exif = pictures.make_exif(orientation)
    data = (
        encode_png16(deep, "RGB;16", None, exif, {})
        if suffix == ".png"
        else encode_tiff(deep, "RGB;16", None, exif, None)
    )
    assert np.array_equal(open_photo(data).native, turn_upright(deep, orientation))


def test_nonsense_orientation_and_broken_exif_are_survived() -> None:
    for exif in (pictures.make_exif(9), b"Exif\x00\x00II*\x00\xff\xff\xff\xff", b"Exif\x00\x00garbage"):
        assert np.array_equal(open_photo(encode(SCENE, "PNG", exif=exif)).rgb, SCENE)


def test_thumbnail_of_the_unedited_photo_is_blanked() -> None:
    secret = b"\xff\xd8" + b"what the edit takes away" * 20 + b"\xff\xd9"
    data = encode(SCENE, "JPEG", exif=pictures.make_exif(6, thumbnail=secret))
    assert secret in data
    photo = open_photo(data)
    assert photo.exif is not None and b"takes away" not in photo.exif and b"Maker" in photo.exif
    assert photo.size == (56, 40)


def test_alpha_and_colour_keys() -> None:
    alpha = np.tile(np.arange(56, dtype=np.uint8) * 4, (40, 1))
    rgba = np.dstack([SCENE, alpha])
    for format, options in (("PNG", {}), ("WEBP", {"lossless": True, "exact": True}), ("TIFF", {})):
        photo = open_photo(encode(rgba, format, **options))
        assert photo.alpha is not None and np.array_equal(photo.alpha, alpha)
        assert np.array_equal(photo.rgb, SCENE) and photo.mode == "RGBA"
    key = tuple(int(v) for v in SCENE[3, 4])
    photo = open_photo(encode(SCENE, "PNG", transparency=key))
    assert photo.mode == "RGBA" and photo.alpha is not None
    assert np.array_equal(photo.alpha == 0, (key == SCENE).all(axis=2))
    grey = encode(Image.fromarray(SCENE[..., 0]), "PNG", transparency=int(SCENE[0, 0, 0]))
    assert open_photo(grey).mode == "LA"
    gif = Image.fromarray(SCENE).quantize(16)
    photo = open_photo(encode(gif, "GIF", transparency=int(np.asarray(gif)[0, 0])))
    assert (
        photo.mode == "RGBA"
        and photo.alpha is not None
        and photo.alpha[0, 0] == 0
        and photo.alpha.max() == 255
    )


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_several_frames_are_refused_with_a_hint(tmp_path: Path, format: str) -> None:
    frames = [Image.fromarray(make_scene(seed=seed)) for seed in range(3)]
    data = encode(frames[0], format, save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match="frames") as caught:
        open_photo(write(tmp_path, "moving.png", data))
    assert "frame" in caught.value.hint and "moving.png" in str(caught.value)


def test_a_phones_jpeg_with_previews_is_one_photo() -> None:
    image = Image.fromarray(SCENE)
    data = encode(image, "MPO", save_all=True, append_images=[image.resize((20, 20))])
    photo = open_photo(data)
    assert photo.format == "JPEG" and photo.size == (40, 56)


@pytest.mark.parametrize("shape", [(1, 4096), (4096, 1), (7, 7), (1, 1), (33, 17)])
def test_odd_sizes_are_returned_unchanged(shape: tuple[int, int]) -> None:
    scene = make_scene(*shape)
    photo = open_photo(encode(scene, "PNG"))
    assert photo.size == shape and np.array_equal(photo.native, scene)


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for source, cause in (
        (tmp_path / "missing.png", "no such file"),
        (tmp_path, "not a regular file"),
        (tmp_path / "pipe", "not a regular file"),
        (Path("/dev/zero"), "not a regular file"),
        ("nul\0byte.png", "cannot be opened"),
        ("https://example.org/a.png", "addresses are not opened"),
        ("file:///etc/passwd", "addresses are not opened"),
    ):
        with pytest.raises(DataError, match=cause):
            open_photo(source)


def test_awkward_names_make_one_line_messages(tmp_path: Path) -> None:
    for name in ("two\nlines.png", "-dash.png", "\u00fc" * 120 + ".png", "n" * 251 + ".png"):
        path = write(tmp_path, name, encode(SCENE, "PNG"))
        assert open_photo(path).name == str(path)
        path.write_bytes(b"")
        with pytest.raises(DataError) as caught:
            open_photo(path)
        assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("format", FORMATS)
def test_flipped_bytes_give_a_photo_or_a_typed_error(format: str) -> None:
    rng = np.random.default_rng(0)
    scene = make_scene(24, 24)
    whole = encode(Image.fromarray(scene).quantize(32) if format == "GIF" else scene, format)
    outcomes = set()
    for _ in range(60):
        data = bytearray(whole)
        for at in rng.integers(0, min(len(data), 400), 4):
            data[at] = rng.integers(0, 256)
        try:
            photo = open_photo(bytes(data), max_pixels=10_000)
            assert photo.rgb.shape == (*photo.size, 3)
            outcomes.add("photo")
        except DataError:
            outcomes.add("refused")
    assert "refused" in outcomes
