"""Pictures and masks that cannot be used: one line that names the file and a remedy, and nothing is touched."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pictures
import pytest
from edits import Done, Studio, encode_mask, read_pixels
from pictures import encode, make_scene
from PIL import Image

ROLES = ("source", "mask", "ref", "ref_mask")
SCENE = make_scene()


def refuse(studio: Studio, *arguments: object, names: str, stdin: bytes | None = None) -> str:
    """Run, expect a refusal that touches nothing, and give the line it prints."""
    old = studio.write("out.png", b"the old output")
    before = {name: _get_bytes(studio.folder / name) for name in studio.list_files()}
    done = studio.run(*arguments, "-o", "out.png", "--save-region", "region.png", stdin=stdin)
    check_refusal(done, names)
    assert {name: _get_bytes(studio.folder / name) for name in studio.list_files()} == before
    assert old.read_bytes() == b"the old output"
    return done.stderr


def check_refusal(done: Done, names: str) -> None:
    assert (done.code, done.stdout) == (2, b""), done.stderr
    assert done.stderr.startswith("a2: ") and done.stderr.count("\n") == 1, done.stderr
    assert names in done.stderr and done.stderr.rstrip().endswith(")"), done.stderr  # the remedy, in brackets


def _get_bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def refuse_file(studio: Studio, role: str, data: bytes, *extra: object) -> str:
    """The same with `data` as the source, the mask, the reference or its mask; no model exists to be loaded."""
    bad = studio.write("bad file.png", data)
    files = {"source": studio.photo, "mask": studio.mask, "ref": studio.ref} | {role: bad}
    arguments = [files["source"], "--mask", files["mask"], "--ref", files["ref"], "--model", "/no/model"]
    if role == "ref_mask":
        arguments += ["--ref-mask", bad]
    return refuse(studio, *arguments, *extra, names="bad file.png")


@pytest.mark.parametrize("role", ROLES)
def test_empty_files_and_text_are_refused(studio: Studio, role: str) -> None:
    """FAULTS 1."""
    assert "the file is empty" in refuse_file(studio, role, b"")
    assert "not a picture" in refuse_file(studio, role, b"no picture at all\n" * 20)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_truncated_pictures_are_refused(studio: Studio, role: str, format: str) -> None:
    """FAULTS 2."""
    whole = encode(np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8), format)
    for share in (0.3, 0.95):
        assert "truncated" in refuse_file(studio, role, whole[: int(len(whole) * share)])


@pytest.mark.parametrize("role", ROLES)
def test_claimed_400_megapixels_are_refused_at_once(studio: Studio, role: str) -> None:
    """FAULTS 3."""
    began = time.monotonic()
    assert "400 megapixels" in refuse_file(studio, role, pictures.claim_png(20_000, 20_000))
    assert time.monotonic() - began < 5


def test_the_pixel_limit_is_an_option(studio: Studio) -> None:
    """FAULTS 3."""
    arguments = (studio.photo, "--mask", studio.mask, "-o", "out.png", "--dry-run", "--max-pixels")
    assert studio.edit(*arguments, 56 * 40).code == 0
    done = studio.edit(*arguments, 56 * 40 - 1)
    check_refusal(done, "photo.png")
    assert "limit" in done.stderr


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_several_frames_are_refused_with_a_hint(studio: Studio, role: str, format: str) -> None:
    """FAULTS 8."""
    frames = [Image.fromarray(make_scene(seed=seed)) for seed in range(3)]
    data = encode(frames[0], format, save_all=True, append_images=frames[1:])
    line = refuse_file(studio, role, data)
    assert "several frames" in line and "frame.png" in line


@pytest.mark.parametrize("role", ["mask", "ref_mask"])
def test_a_mask_of_another_size_is_never_stretched(studio: Studio, role: str) -> None:
    """FAULTS 9."""
    size = {"mask": (40, 56), "ref_mask": (48, 40)}[role]
    double = encode_mask(np.kron(np.eye(2), np.ones(size)) > 0)
    line = refuse_file(studio, role, double)
    assert f"{size[1] * 2} x {size[0] * 2}" in line and "--fit-mask" in line
    assert "shapes differ" in refuse_file(studio, role, encode_mask(np.ones((50, 50), bool)), "--fit-mask")


def test_fit_mask_resizes_a_mask_of_the_same_aspect(studio: Studio) -> None:
    """FAULTS 9."""
    double = studio.write("double.png", encode_mask(np.kron(studio.marked, np.ones((2, 2))) > 0))
    for mask, name, extra in ((studio.mask, "a", ()), (double, "b", ("--fit-mask",))):
        assert studio.edit(studio.photo, "--mask", mask, "-o", f"{name}.png", *extra).code == 0
    assert np.array_equal(read_pixels(studio.folder / "a.png"), read_pixels(studio.folder / "b.png"))


@pytest.mark.parametrize("quiet", [False, True])
def test_an_empty_mask_gives_the_source_a_warning_and_no_model_call(studio: Studio, quiet: bool) -> None:
    """FAULTS 10."""
    mask = studio.write("empty.png", encode_mask(np.zeros_like(studio.marked)))
    arguments = ("--ref", studio.ref, "--mask", mask, "--model", "/no/model", "--save-region", "region.png")
    done = studio.run(studio.photo, *arguments, "-o", "out.png", *(["--quiet"] if quiet else []))
    assert (done.code, done.lines) == (0, ["out.png"])
    assert done.stderr == (
        "" if quiet else f"a2: warning: {studio.photo}: the mask is empty, nothing is edited\n"
    )
    assert np.array_equal(np.asarray(Image.open("out.png")), SCENE)
    assert not np.asarray(Image.open("region.png")).any()
    assert "a2" not in Image.open("out.png").info  # nothing was generated


def test_a_warning_is_one_line_whatever_the_name(studio: Studio) -> None:
    source = studio.write("two\nlines.png", studio.photo.read_bytes())
    mask = studio.write("empty.png", encode_mask(np.zeros_like(studio.marked)))
    done = studio.run(source, "--ref", studio.ref, "--mask", mask, "-o", "out.png")
    assert done.code == 0 and done.stderr.count("\n") == 1 and r"two\nlines.png" in done.stderr


@pytest.mark.parametrize(
    ("box", "cause"),
    [
        ("box:1,2,3", "not four numbers"),
        ("box:9,9,9,12", "the box is empty"),
        ("box:60,0,70,10", "outside the source"),
        ("box:a,b,c,nan", "not four numbers"),
    ],
)
def test_boxes_that_mean_nothing(studio: Studio, box: str, cause: str) -> None:
    line = refuse(studio, studio.photo, "--ref", studio.ref, "--mask", box, "--model", "/no/model", names=box)
    assert cause in line and "56 x 40" in line


def test_a_coloured_picture_is_no_mask(studio: Studio) -> None:
    assert "no mask" in refuse_file(studio, "mask", encode(SCENE, "PNG"))


def test_references_without_a_subject_name_ref_mask(studio: Studio) -> None:
    plain = encode(np.full((30, 30, 3), 200, np.uint8), "PNG")
    assert "--ref-mask" in refuse_file(studio, "ref", plain)
    clear = encode(np.zeros((30, 30, 4), np.uint8), "PNG")
    assert "transparent" in refuse_file(studio, "ref", clear)
    nothing = encode_mask(np.zeros((48, 40), bool))
    bad = studio.write("nothing.png", nothing)
    arguments = ("--ref", studio.ref, "--ref-mask", bad, "--mask", studio.mask, "--model", "/no/model")
    assert "marks nothing" in refuse(studio, studio.photo, *arguments, names="cat.png")


@pytest.mark.parametrize("name", ["missing.png", "a folder", "pipe"])
def test_references_that_are_no_files(studio: Studio, name: str) -> None:
    import os

    (studio.folder / "a folder").mkdir()
    os.mkfifo(studio.folder / "pipe")
    refuse(studio, studio.photo, "--ref", name, "--mask", studio.mask, names=name)


def test_a_damaged_photo_on_stdin_is_called_stdin(studio: Studio) -> None:
    for data in (b"", b"text", studio.photo.read_bytes()[:-300]):
        refuse(studio, "-", "--ref", studio.ref, "--mask", studio.mask, names="stdin", stdin=data)


def test_a_read_only_folder_is_a_clear_error(studio: Studio) -> None:
    """FAULTS 23, as far as one edit goes: root may write anywhere, so /proc stands for a folder that refuses."""
    done = studio.edit(studio.photo, "--mask", studio.mask, "-o", "/proc/out.png")
    check_refusal(done, "/proc/out.png: cannot be written")
