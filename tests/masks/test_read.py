"""A mask in any of its forms says the same; one that cannot be meant is refused."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from a2cli.errors import DataError
from a2cli.images import build_photo, get_blend_weight, open_photo
from a2cli.masks.read import get_hole, has_hole, read_mask

SIZE = (40, 56)
TRUE = np.zeros(SIZE, np.float32)
TRUE[8:30, 12:44] = 1.0
SCENE = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def encode(samples: np.ndarray | Image.Image, format: str = "PNG", **options: Any) -> bytes:
    image = samples if isinstance(samples, Image.Image) else Image.fromarray(samples)
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def make_forms() -> dict[str, bytes]:
    white = (TRUE * 255).astype(np.uint8)
    grey = Image.fromarray(white)
    classes = Image.frombytes("P", SIZE[::-1], TRUE.astype(np.uint8).tobytes())
    classes.putpalette([0, 0, 0, 128, 0, 0] + [0] * 762)
    scribble = np.zeros((*SIZE, 4), np.uint8)
    scribble[TRUE > 0] = (200, 0, 40, 255)
    black_scribble = scribble.copy()
    black_scribble[TRUE > 0] = (0, 0, 0, 255)
    return {
        "grey": encode(grey),
        "rgb": encode(grey.convert("RGB")),
        "rgba_opaque": encode(np.dstack([white, white, white, np.full(SIZE, 255, np.uint8)])),
        "bilevel": encode(grey.convert("1")),
        "palette": encode(grey.convert("P")),
        "class_ids": encode(TRUE.astype(np.uint8)),
        "class_colours": encode(classes),
        "red_on_black": encode(np.dstack([white, white * 0, white * 0])),
        "16_bit": encode(Image.frombytes("I;16", SIZE[::-1], (TRUE * 65535).astype(np.uint16).tobytes())),
        "tiff": encode(grey, "TIFF"),
        "jpeg": encode(grey, "JPEG", quality=90),
        "hole_in_photo": encode(np.dstack([SCENE, 255 - white])),
        "hole_in_black": encode(np.dstack([SCENE * 0, 255 - white])),
        "scribble": encode(scribble),
        "black_scribble": encode(black_scribble),
        "orientation": encode(np.rot90(white, 1), exif=_get_exif(6)),
    }


def _get_exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


FORMS = make_forms()


@pytest.mark.parametrize("form", FORMS)
def test_every_form_says_the_same(tmp_path: Path, form: str) -> None:
    path = tmp_path / "mask of \u00fc.png"
    path.write_bytes(FORMS[form])
    mask = read_mask(path, SIZE)
    assert mask.shape == SIZE and mask.dtype == np.float32
    if form == "jpeg":
        assert np.array_equal(mask > 0.5, TRUE > 0.5)
        assert (mask[:6] == 0).all() and (mask[12:24, 20:36] == 1).all()  # coding noise is no edit
    else:
        assert np.array_equal(mask, TRUE)
    assert np.array_equal(mask, read_mask(FORMS[form], SIZE))


def test_box_is_half_open_clipped_and_checked() -> None:
    assert np.array_equal(read_mask("box:12,8,44,30", SIZE), TRUE)
    assert np.array_equal(read_mask("BOX: 12, 8, 44, 30", SIZE), TRUE)
    assert read_mask("box:-5,-5,1e3,1e300", SIZE).all()
    for spec, cause in (
        ("box:1,2,3", "four numbers"),
        ("box:a,b,c,d", "four numbers"),
        ("box:", "four numbers"),
        ("box:1,2,nan,4", "four numbers"),
        ("box:1,2,inf,4", "four numbers"),
        ("box:9,9,9,12", "empty"),
        ("box:9,9,3,12", "empty"),
        ("box:56,0,70,10", "outside"),
        ("box:-9,0,0,10", "outside"),
    ):
        with pytest.raises(DataError, match=cause) as caught:
            read_mask(spec, SIZE)
        assert "56 x 40" in caught.value.hint


def test_soft_values_are_kept() -> None:
    soft = np.tile(np.linspace(0, 255, 56).astype(np.uint8), (40, 1))
    assert np.allclose(read_mask(encode(soft), SIZE), soft / 255.0, atol=1e-6)
    deep = np.tile(np.linspace(0, 65535, 56).astype(np.uint16), (40, 1))
    mask = read_mask(encode(Image.frombytes("I;16", (56, 40), deep.tobytes())), SIZE)
    assert np.allclose(mask, deep / 65535.0, atol=1e-6)
    faint = np.dstack([SCENE * 0, 255 - soft])
    assert np.allclose(read_mask(encode(faint), SIZE), soft / 255.0, atol=9 / 255)


def test_empty_and_full_masks() -> None:
    assert not read_mask(encode(np.zeros(SIZE, np.uint8)), SIZE).any()
    assert read_mask(encode(np.full(SIZE, 255, np.uint8)), SIZE).all()
    assert not read_mask(encode(np.zeros((*SIZE, 4), np.uint8)), SIZE).any()  # nothing painted
    dot = np.zeros(SIZE, np.uint8)
    dot[0, 55] = 255
    assert read_mask(encode(dot), SIZE).sum() == 1


def test_hole_or_scribble_is_decided_by_what_is_there() -> None:
    wide = np.zeros(SIZE, np.uint8)
    wide[2:38, 2:54] = 255  # most of a photo rubbed out
    rubbed = encode(np.dstack([SCENE, 255 - wide]))
    assert np.array_equal(read_mask(rubbed, SIZE), wide / np.float32(255))
    assert has_hole(open_photo(rubbed))
    scribble = np.zeros((*SIZE, 4), np.uint8)
    scribble[5:9, 3:50] = (10, 240, 10, 255)
    assert not has_hole(open_photo(encode(scribble)))
    for photo in (build_photo(SCENE), build_photo(SCENE, alpha=np.full(SIZE, 255, np.uint8))):
        assert not has_hole(photo) and not get_hole(photo).any()
    assert not has_hole(build_photo(SCENE, alpha=np.zeros(SIZE, np.uint8)))


def test_a_cut_out_as_the_mask_of_a_reference_marks_its_subject() -> None:
    for share in (TRUE, 1 - TRUE):
        cut = encode(np.dstack([SCENE, (share * 255).astype(np.uint8)]))
        assert np.array_equal(read_mask(cut, SIZE, hole=False), share)


def test_rubber_residue_counts_as_gone() -> None:
    alpha = np.where(TRUE > 0, 3, 252).astype(np.uint8)  # a soft brush never quite reaches the ends
    assert np.array_equal(get_hole(build_photo(SCENE, alpha=alpha)), TRUE)


def test_coloured_pictures_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    for format in ("PNG", "JPEG"):
        path.write_bytes(encode(SCENE, format))
        with pytest.raises(DataError, match=r"photo\.png: a coloured picture") as caught:
            read_mask(path, SIZE)
        assert "white" in caught.value.hint


def test_another_size_is_refused_and_fitted_only_on_request() -> None:
    double = encode(np.kron(TRUE, np.ones((2, 2))).astype(np.uint8) * 255)
    with pytest.raises(DataError, match=r"112 x 80.*56 x 40") as caught:
        read_mask(double, SIZE)
    assert "--fit-mask" in caught.value.hint
    assert np.array_equal(read_mask(double, SIZE, fit=True), TRUE)
    large = read_mask(encode((TRUE * 255).astype(np.uint8)), (80, 112), fit=True)
    assert large.shape == (80, 112) and set(np.unique(large)) == {0.0, 1.0}
    assert abs(large.mean() - TRUE.mean()) < 0.02
    assert read_mask(encode((TRUE * 255).astype(np.uint8)), (1333, 1867), fit=True).shape == (1333, 1867)
    soft = encode(np.tile(np.linspace(0, 255, 56).astype(np.uint8), (40, 1)))
    assert len(np.unique(read_mask(soft, (80, 112), fit=True))) > 50
    for shape in ((40, 57), (56, 40), (80, 56)):
        other = encode(np.zeros(shape, np.uint8))
        for fit in (True, False):
            if shape == (40, 57) and fit:
                continue
            with pytest.raises(DataError):
                read_mask(other, SIZE, fit=fit)


def test_turned_source_and_turned_mask_agree() -> None:
    """A phone's photo: stored on its side; the mask was drawn on what the viewer showed, upright."""
    stored = np.rot90(SCENE, 1)
    photo = open_photo(encode(stored, exif=_get_exif(6)))
    assert photo.size == SIZE and np.array_equal(photo.rgb, SCENE)
    assert read_mask(FORMS["grey"], photo.size).shape == photo.size
    with pytest.raises(DataError):
        read_mask(encode(np.rot90(TRUE, 1).astype(np.uint8) * 255), photo.size)


def test_damaged_masks_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    for data in (b"", b"text", FORMS["hole_in_photo"][:200]):
        path.write_bytes(data)
        with pytest.raises(DataError, match=r"m\.png"):
            read_mask(path, SIZE)
    path.write_bytes(FORMS["grey"])
    with pytest.raises(DataError, match="megapixels"):
        read_mask(path, SIZE, max_pixels=100)
    with pytest.raises(DataError, match="no such file"):
        read_mask(tmp_path / "none.png", SIZE)


@pytest.mark.parametrize("kind", ["soft", "dot", "border", "islands"])
def test_awkward_masks_leave_the_outside_at_weight_zero(kind: str) -> None:
    marks = np.zeros(SIZE, np.uint8)
    if kind == "soft":
        marks[10:20, 10:20] = 255
        marks[20:30, 10:20] = np.linspace(250, 5, 10).astype(np.uint8)[:, None]
    elif kind == "dot":
        marks[17, 31] = 255
    elif kind == "border":
        marks[:, -2:] = 255
        marks[0] = 255
    else:
        marks[::9, ::7] = 255
    mask = read_mask(encode(marks), SIZE)
    assert np.array_equal(mask > 0, marks > 0)
    assert np.array_equal(get_blend_weight(mask, 0.0) > 0, marks > 0)
