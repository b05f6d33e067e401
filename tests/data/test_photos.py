"""Photographs: bundled, of a folder, whole cut-outs; what cannot be read is passed over."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from a2cli.data.photos import BUNDLED, HELD_OUT, is_held_out, list_photos, pick_photo
from a2cli.data.provenance import Rights
from a2cli.errors import DataError
from a2cli.images.write import build_photo, save_image, save_photo


def save_grey(path: Path, size: tuple[int, int] = (40, 60), value: int = 90) -> None:
    path.parent.mkdir(exist_ok=True)
    save_image(np.full((*size, 3), value, np.uint8), path)


def test_bundled_photographs_tell_author_and_licence() -> None:
    photos = [photo for split in ("train", "test") for photo in list_photos(None, split)]
    assert {photo.name for photo in photos} == set(BUNDLED) and len(photos) == len(BUNDLED)
    rights = {photo.name: photo.rights for photo in photos}
    assert rights["chelsea"] == Rights("scikit-image chelsea", "Stéfan van der Walt", "CC0-1.0")
    assert rights["astronaut"].licence == "LicenseRef-public-domain"
    assert all(photo.rights.licence and photo.scene for photo in photos)


def test_photographs_of_a_folder_join_the_bundled_ones(tmp_path: Path) -> None:
    for name in ("flower", "china", "harbour", "coffee"):
        save_grey(tmp_path / f"{name}.png")
    save_grey(tmp_path / "animals" / "harbour.png")
    (tmp_path / "notes.txt").write_text("no photograph")
    save_grey(tmp_path / "elsewhere" / "b.png")
    train, test = (list_photos(str(tmp_path), split, "CC-BY-4.0") for split in ("train", "test"))
    own = {photo.rights.source: photo for photo in (*train, *test) if photo.path is not None}
    assert set(own) == {
        "flower.png",
        "china.png",
        "harbour.png",
        "animals/harbour.png",
    }  # the bundled coffee stays
    assert own["flower.png"] in test and own["china.png"] in train
    assert own["china.png"].category == "architecture" and own["harbour.png"].category is None
    subject = own["animals/harbour.png"]
    assert subject.category == "animals" and not subject.scene and subject.rights.licence == "CC-BY-4.0"
    assert [photo.name for photo in train] == sorted(photo.name for photo in train)
    with pytest.raises(DataError, match="no such folder of photographs"):
        list_photos(str(tmp_path / "nowhere"), "train")


def test_a_fifth_of_a_folder_is_held_out_by_name() -> None:
    names = [f"photo {number}" for number in range(500)]
    held = sum(map(is_held_out, names))
    assert 70 < held < 130 and [is_held_out(name) for name in names] == [is_held_out(name) for name in names]
    assert all(is_held_out(name) == (name in HELD_OUT) for name in (*BUNDLED, "china", "flower"))


def test_the_next_stands_for_one_that_cannot_be_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_grey(tmp_path / "a.png", value=10)
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    save_grey(tmp_path / "c.png", value=30)
    every = [photo for split in ("train", "test") for photo in list_photos(str(tmp_path), split)]
    own = sorted((photo for photo in every if photo.path), key=lambda photo: photo.name)
    with caplog.at_level(logging.WARNING, "a2cli"):
        drawn = [pick_photo(own, np.random.default_rng(seed)) for seed in range(30)]
    assert {photo.name for photo, _, _ in drawn} == {"a", "c"}
    assert all((rgb == {"a": 10, "c": 30}[photo.name]).all() for photo, rgb, _ in drawn)
    assert sum(photo.name == "c" for photo, _, _ in drawn) > sum(photo.name == "a" for photo, _, _ in drawn)
    assert [record.getMessage().count("b.png") for record in caplog.records] == [1]
    with pytest.raises(DataError, match="none of the photographs can be read"):
        pick_photo(own[1:2], np.random.default_rng(0))


def test_large_photographs_are_reduced_and_transparency_is_kept(tmp_path: Path) -> None:
    alpha = np.zeros((1000, 3000), np.uint8)
    alpha[:, 1000:2000] = 255
    rgb = np.full((1000, 3000, 3), 70, np.uint8)
    photo = build_photo(rgb, alpha=alpha)
    save_photo(photo, photo.native, tmp_path / "wide.png")
    every = [photo for split in ("train", "test") for photo in list_photos(str(tmp_path), split)]
    _, found, cover = pick_photo([photo for photo in every if photo.path], np.random.default_rng(0))
    assert found.shape == (683, 2048, 3) and (found == 70).all() and cover is not None
    assert cover.shape == (683, 2048) and cover[300, 1024] == 255 and cover[300, 100] == 0
