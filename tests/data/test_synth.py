"""Synthesised pairs: a pure function of seed and index, nothing held out ever trained on."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields
from functools import cache, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from a2cli.cli import main
from a2cli.data.folder import write_synthesised
from a2cli.data.glyphs import find_emoji_font, load_glyph
from a2cli.data.photos import HELD_OUT, load_photos
from a2cli.data.records import Pair
from a2cli.data.synth import SynthConfig, get_heldout_pairs, get_split_glyphs, repose, synthesise
from a2cli.data.taxonomy import CATEGORIES, get_glyph_names
from a2cli.errors import ConfigError, DataError
from a2cli.images.align import place_reference
from a2cli.images.read import open_photo


@cache
def has_font() -> bool:
    try:
        return bool(find_emoji_font())
    except DataError:
        return False


def needs_font(test: Any) -> Any:
    absent = pytest.mark.skipif(not has_font(), reason="fonts-noto-color-emoji is not installed")
    return pytest.mark.debian(absent(test))


SMALL = SynthConfig(size=64)


def digest(pair: Pair) -> str:
    total = hashlib.sha256()
    for field in fields(pair):
        value = getattr(pair, field.name)
        total.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
    return total.hexdigest()


def make_digest(seed: int, index: int) -> str:
    return digest(synthesise(index, seed=seed, config=SMALL))


@needs_font
def test_a_pair_is_a_function_of_seed_and_index() -> None:
    here = [make_digest(7, i) for i in range(12)]
    assert here[::-1] == [make_digest(7, i) for i in reversed(range(12))]
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(partial(make_digest, 7), range(12), chunksize=3)) == here
    others = [make_digest(8, i) for i in range(4)]
    others += [digest(synthesise(i, seed=7, split="test", config=SMALL)) for i in range(4)]
    assert len({*here, *others}) == 20


@needs_font
def test_masks_are_sound_and_pictures_agree_with_them() -> None:
    for index in range(48):
        pair = synthesise(index, seed=1, config=SMALL)
        assert pair.category == CATEGORIES[index % 8]
        assert pair.prompt == f"a photo of {pair.subcategory}" and pair.id == f"train-1-{index:07d}"
        for rgb, mask in ((pair.ref_rgb, pair.ref_mask), (pair.tar_rgb, pair.tar_mask)):
            assert rgb.shape == (64, 64, 3) and rgb.dtype == np.uint8
            assert mask.shape == (64, 64) and mask.dtype == bool
            assert 20 < mask.sum() < 64 * 64 * 0.9
            inner = np.zeros_like(mask)
            inner[1:-1, 1:-1] = True
            assert not (mask & ~inner).any()
        corners = pair.ref_rgb[[0, 0, -1, -1], [0, -1, 0, -1]]
        assert (corners >= 250).all()  # plain ground
        assert pair.scene_rgb is not None
        far = np.ones_like(pair.tar_mask)
        ys, xs = np.nonzero(pair.tar_mask)
        far[max(0, ys.min() - 8) : ys.max() + 9, max(0, xs.min() - 8) : xs.max() + 9] = False
        assert np.array_equal(pair.tar_rgb[far], pair.scene_rgb[far])  # the scene is the photo without it
        assert (pair.tar_rgb[pair.tar_mask] != pair.scene_rgb[pair.tar_mask]).mean() > 0.3


def test_splits_share_no_subject() -> None:
    every: list[str] = []
    for category in CATEGORIES:
        train, test = (get_split_glyphs(category, split) for split in ("train", "test"))
        assert len(test) >= 4 and not set(train) & set(test)
        assert sorted((*train, *test)) == sorted(get_glyph_names(category))
        every += [*train, *test]
    assert len(every) == len(set(every))
    train_photos, test_photos = ({p[0] for p in load_photos(None, split)} for split in ("train", "test"))
    assert test_photos and train_photos and not train_photos & test_photos
    assert test_photos <= set(HELD_OUT) and not train_photos & set(HELD_OUT)


@needs_font
def test_held_out_pictures_are_none_of_the_trained_ones() -> None:
    pictures: dict[str, set[bytes]] = {}
    for split in ("train", "test"):
        names = [name for category in CATEGORIES for name in get_split_glyphs(category, split)]
        pictures[split] = {load_glyph(name).tobytes() for name in names}
        assert len(pictures[split]) == len(names)  # the font draws each of them, and no two alike
    assert not pictures["train"] & pictures["test"]


@needs_font
def test_the_evaluation_set_is_even_and_held_out() -> None:
    pairs = get_heldout_pairs(3, size=64)
    assert [pair.category for pair in pairs] == list(CATEGORIES) * 3
    assert len({pair.id for pair in pairs}) == 24
    held = {name.lower() for category in CATEGORIES for name in get_split_glyphs(category, "test")}
    assert {pair.subcategory for pair in pairs} <= held | set(HELD_OUT)
    assert [digest(p) for p in pairs] == [digest(p) for p in get_heldout_pairs(3, size=64)]


@needs_font
@pytest.mark.parametrize("workers", [1, 2])
def test_the_command_writes_a_folder_that_datasets_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], workers: int
) -> None:
    from datasets import load_dataset

    out = tmp_path / "pairs"
    arguments = ["-n", "9", "--seed", "3", "--size", "64", "--workers", str(workers), "--quiet"]
    assert main(["dataset", "synth", "-o", str(out), *arguments]) == 0
    assert str(out) in capsys.readouterr().out
    rows = [json.loads(line) for line in (out / "metadata.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == [f"train-3-{i:07d}" for i in range(9)]
    assert len(list(out.glob("*.png"))) == 36 and not list(out.glob(".*"))
    for index, row in enumerate(rows):
        pair = synthesise(index, seed=3, config=SMALL)
        assert np.array_equal(open_photo(out / row["tar_image_file_name"]).rgb, pair.tar_rgb)
        assert np.array_equal(open_photo(out / row["ref_image_file_name"]).rgb, pair.ref_rgb)
        mask = open_photo(out / row["tar_mask_file_name"]).rgb[..., 0]
        assert np.array_equal(mask, pair.tar_mask * np.uint8(255))
    read = load_dataset("imagefolder", data_dir=str(out), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(read) == 9 and set(read["category"]) == set(CATEGORIES)
    assert read[0]["tar_image"].size == (64, 64) and read[0]["ref_mask"].size == (64, 64)
    assert main(["dataset", "synth", "-o", str(out), *arguments]) == 2
    assert "already holds a data set" in capsys.readouterr().err


def test_wrong_use_is_named(tmp_path: Path) -> None:
    for wrong, message in (
        ({"split": "val"}, "no split 'val'"),
        ({"category": "animal"}, "no category 'animal'.*'animals'"),
        ({"seed": -1}, "negative"),
    ):
        with pytest.raises(ConfigError, match=message):
            synthesise(0, **{"seed": 0, **wrong})  # type: ignore[arg-type]
    for config in ({"size": 16}, {"glyphs": 1.5}, {"recolour": -0.1}):
        with pytest.raises(ConfigError):
            SynthConfig(**config)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="0 pairs"):
        write_synthesised(tmp_path / "a", 0)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file/a: cannot be made"):
        write_synthesised(tmp_path / "file" / "a", 1)
    with pytest.raises(DataError, match="no such folder of photographs"):
        load_photos(str(tmp_path / "nowhere"), "train")


@needs_font
def test_glyphs_that_cannot_be_drawn_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no character named 'CATT'"):
        load_glyph("CATT")
    (tmp_path / "font.ttf").write_text("no font")
    with pytest.raises(DataError, match=r"font\.ttf: cannot be used"):
        load_glyph("CAT", tmp_path / "font.ttf")
    glyph = load_glyph("CAT")
    assert glyph.dtype == np.uint8 and glyph.shape[2] == 4
    assert glyph[0, :, 3].any() and glyph[:, 0, 3].any() and glyph[-1, :, 3].any() and glyph[:, -1, 3].any()


def test_photographs_of_a_folder_join_the_bundled_ones(tmp_path: Path) -> None:
    from a2cli.images.write import save_image

    for name in ("flower", "china", "harbour", "coffee"):
        save_image(np.full((40, 60, 3), 90, np.uint8), tmp_path / f"{name}.png")
    (tmp_path / "notes.txt").write_text("no photograph")
    train, test = ({p[0]: p for p in load_photos(str(tmp_path), split)} for split in ("train", "test"))
    assert {"china", "harbour"} <= set(train) and "flower" in test and "flower" not in train
    assert train["china"][1] == "architecture" and train["harbour"][1] is None
    assert test["coffee"][2].shape != (40, 60, 3)  # the bundled one goes before
    assert list(train) == sorted(train)


@needs_font
@pytest.mark.parametrize("index", range(4))
def test_a_reposed_pair_shows_the_subject_where_the_reference_is_placed(index: int) -> None:
    pair = synthesise(index, seed=3)
    rows, columns = np.nonzero(pair.tar_mask)
    box = np.zeros_like(pair.tar_mask)
    box[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = True
    posed = repose(pair, box, np.random.default_rng(0))
    assert np.array_equal(posed.tar_rgb[~box], pair.scene_rgb[~box]) and not posed.tar_mask[~box].any()
    colours, cover = place_reference(pair.ref_rgb, pair.ref_mask, box)
    assert np.array_equal(posed.tar_mask, (cover > 0.5) & box)
    solid = cv2.erode((cover > 0.99).astype(np.uint8), np.ones((3, 3))).astype(bool) & box
    lit = np.abs(posed.tar_rgb[solid].astype(float) - colours[solid]).mean()
    assert solid.sum() > 100 and lit < 60  # the same colours but for the light
    assert np.array_equal(posed.ref_rgb, pair.ref_rgb) and posed.prompt == pair.prompt


def test_a_pair_without_its_scene_cannot_be_reposed() -> None:
    blank = np.zeros((8, 8, 3), np.uint8)
    mask = np.ones((8, 8), bool)
    with pytest.raises(DataError, match="scene and light are unknown"):
        repose(Pair("p", "animals", "cat", "", blank, mask, blank, mask), mask, np.random.default_rng(0))
