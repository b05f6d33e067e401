"""What `SynthConfig` adds to a pair: things before and behind, shadows, captions, provenance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from needs import needs_font

from a2cli import __version__
from a2cli.data.photos import list_photos
from a2cli.data.provenance import Provenance, parse_provenance
from a2cli.data.records import Pair
from a2cli.data.synth import SynthConfig, repose, synthesise
from a2cli.data.taxonomy import find_subcategory, get_subcategories
from a2cli.images.write import build_photo, save_photo

PLAIN = SynthConfig(size=96)
VARIED = replace(PLAIN, occlusion=1.0, shadow=1.0, distractors=1.0, captions=True)


def make(index: int, **changes: object) -> Pair:
    return synthesise(index, seed=12, config=replace(PLAIN, **changes))  # type: ignore[arg-type]


def get_scene(pair: Pair) -> np.ndarray:
    assert pair.scene_rgb is not None
    return pair.scene_rgb


def get_provenance(pair: Pair) -> Provenance:
    return parse_provenance(pair.provenance)


def grow(mask: np.ndarray, by: int = 2) -> np.ndarray:
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * by + 1,) * 2)).astype(bool)


@needs_font
def test_variation_leaves_the_rest_of_a_pair_alone() -> None:
    kept = []
    for index in range(16):
        plain, varied = make(index), synthesise(index, seed=12, config=VARIED)
        assert (varied.id, varied.category) == (plain.id, plain.category)
        assert np.array_equal(varied.ref_rgb, plain.ref_rgb) and np.array_equal(varied.light, plain.light)
        shadowed = make(index, shadow=1.0)
        assert np.array_equal(shadowed.tar_mask, plain.tar_mask)  # a shadow never changes the mask
        inner = ~grow(~plain.tar_mask)
        kept.append((shadowed.tar_rgb[inner] == plain.tar_rgb[inner]).mean())
        assert not (varied.tar_mask & ~plain.tar_mask).any()
        again = synthesise(index, seed=12, config=VARIED)
        assert np.array_equal(again.tar_rgb, varied.tar_rgb) and again.provenance == varied.provenance
    assert np.median(kept) == 1 and min(kept) > 0.5  # a shadow is seen through translucent subjects alone


@needs_font
def test_shares_say_how_many_pairs_vary() -> None:
    scores = [
        get_provenance(
            synthesise(i, seed=3, config=SynthConfig(size=48, shadow=0.5, distractors=0.25))
        ).scores
        for i in range(120)
    ]
    assert 40 <= sum("shadow" in score for score in scores) <= 80
    assert 15 <= sum("distractors" in score for score in scores) <= 48
    assert not any("hidden" in score for score in scores)
    assert get_provenance(make(0)).scores == {}


@needs_font
def test_a_thing_before_the_subject_hides_part_of_it_and_the_mask_is_what_is_left() -> None:
    shares, same = [], []
    for index in range(40):
        plain, pair = make(index), make(index, occlusion=1.0)
        hidden = 1 - pair.tar_mask.sum() / plain.tar_mask.sum()
        assert get_provenance(pair).scores.get("hidden", 0) == pytest.approx(hidden, abs=1e-3)
        assert 0 <= hidden <= 0.45
        shares.append(hidden)
        seen = ~grow(~pair.tar_mask)
        assert np.array_equal(
            pair.tar_rgb[seen], plain.tar_rgb[seen]
        )  # what can be seen is the subject itself
        lost = ~grow(~(plain.tar_mask & ~pair.tar_mask))
        same.append((pair.tar_rgb[lost] == get_scene(pair)[lost]).mean() if lost.any() else 1.0)
        away = ~grow(plain.tar_mask)
        assert np.array_equal(pair.tar_rgb[away], get_scene(pair)[away])
    assert (
        np.mean(same) > 0.95 and np.median(same) == 1
    )  # what hides it stood there before; glass lets it through
    assert np.mean(np.array(shares) > 0.08) > 0.8 and np.std(shares) > 0.05


@needs_font
def test_a_shadow_darkens_the_scene_and_nothing_else() -> None:
    darkened = 0
    for index in range(16):
        plain, pair = make(index), make(index, shadow=1.0)
        assert np.array_equal(get_scene(pair), get_scene(plain))
        outside = ~grow(plain.tar_mask)
        change = pair.tar_rgb[outside].astype(int) - plain.tar_rgb[outside]
        assert change.max() <= 0
        darkened += (change < -10).any()
    assert darkened >= 12


@needs_font
def test_distractors_stand_behind_the_subject_and_are_none_of_its_kin() -> None:
    counts = set()
    for index in range(24):
        plain, pair = make(index), make(index, distractors=1.0)
        assert np.array_equal(pair.tar_mask, plain.tar_mask)
        inner = ~grow(~plain.tar_mask)
        solid = inner & (np.abs(plain.tar_rgb.astype(int) - get_scene(plain)).sum(-1) > 0)
        # Translucent subjects (glass) let what stands behind them through; the others do not change.
        assert np.median(np.abs(pair.tar_rgb[solid].astype(int) - plain.tar_rgb[solid])) == 0
        counts.add(int(get_provenance(pair).scores.get("distractors", 0)))
        changed = (get_scene(pair) != get_scene(plain)).any(-1)
        assert changed.any() == ("distractors" in get_provenance(pair).scores)
        away = ~grow(plain.tar_mask)
        assert np.array_equal(pair.tar_rgb[away], get_scene(pair)[away])
    assert {1, 2, 3} <= counts


@needs_font
def test_captions_tell_colour_and_place() -> None:
    pairs = [synthesise(i, seed=12, config=VARIED) for i in range(24)]
    assert all(pair.prompt.startswith("a photo of ") for pair in pairs)
    for pair in pairs:
        assert ("partly hidden" in pair.prompt) == (get_provenance(pair).scores.get("hidden", 0) >= 0.08)
    assert len({pair.prompt for pair in pairs}) > 20
    assert any("on the left" in p.prompt for p in pairs) and any("on the right" in p.prompt for p in pairs)


@needs_font
def test_provenance_names_source_licences_and_group() -> None:
    groups, listed = set(), 0
    for index in range(24):
        pair = synthesise(index, seed=12, config=VARIED)
        found = get_provenance(pair)
        assert found.group == found.rights.source == found.ref
        assert found.tar.startswith("scikit-image ") and found.tools == {"synth": f"a2 {__version__}"}
        name = found.group.removeprefix("Noto Color Emoji ").removeprefix("scikit-image ")
        label = find_subcategory(name, pair.category)
        assert pair.subcategory == ((label and label.subcategory) or name.lower())
        listed += pair.subcategory in get_subcategories(pair.category)
        licences = found.rights.licence.split(" AND ")
        assert licences == sorted(set(licences))
        assert set(licences) <= {"CC0-1.0", "LicenseRef-public-domain", "OFL-1.1"}
        assert ("OFL-1.1" in licences) >= found.group.startswith("Noto") and found.rights.author
        groups.add(found.group.split(" ")[0])
    assert groups == {"Noto", "scikit-image"} and 8 <= listed < 24


@needs_font
def test_with_captions_a_subcategory_is_a_listed_one_and_the_prompt_keeps_the_name() -> None:
    plain, told = make(3), make(3, captions=True)
    assert (plain.subcategory, plain.prompt) == ("ear of maize", "a photo of ear of maize")
    assert told.subcategory == "corn" and "ear of maize" in told.prompt
    assert np.array_equal(plain.tar_rgb, told.tar_rgb)


@needs_font
def test_a_hidden_subject_is_whole_again_when_reposed() -> None:
    for index in range(4):
        pair = synthesise(index, seed=12, config=VARIED)
        box = grow(pair.tar_mask, 8)
        posed = repose(pair, box, np.random.default_rng(0))
        assert np.array_equal(posed.tar_rgb[~box], get_scene(pair)[~box])
        assert "hidden" not in posed.prompt and posed.prompt == pair.prompt.replace(", partly hidden", "")
        assert posed.tar_mask.any() and not (posed.tar_mask & ~box).any()


@needs_font
def test_a_transparent_picture_is_a_whole_subject(tmp_path: Path) -> None:
    (tmp_path / "plants").mkdir()
    rgb = np.zeros((120, 90, 3), np.uint8)
    rgb[..., 1] = 200
    alpha = np.zeros((120, 90), np.uint8)
    alpha[20:110, 30:60] = 255
    for number in range(8):
        photo = build_photo(rgb, alpha=alpha)
        save_photo(photo, photo.native, tmp_path / "plants" / f"fern {number}.png")
    own = [p for p in list_photos(str(tmp_path), "train", "CC-BY-4.0") if p.path is not None]
    assert 0 < len(own) <= 8
    config = SynthConfig(
        size=96, glyphs=0, recolour=0, photos=str(tmp_path), licence="CC-BY-4.0", captions=True
    )
    pairs = [synthesise(i, seed=1, config=config, category="plants") for i in range(12)]
    ferns = [pair for pair in pairs if pair.subcategory.startswith("fern")]
    assert len(ferns) > 3
    for pair in ferns:
        rows, columns = np.nonzero(pair.ref_mask)
        assert 2.2 < (np.ptp(rows) + 1) / (np.ptp(columns) + 1) < 3.8  # 90 x 30, and nothing of its ground
        assert np.abs(np.median(pair.ref_rgb[pair.ref_mask], axis=0) - (0, 200, 0)).max() < 40
        found = get_provenance(pair)
        assert found.group == f"plants/{pair.subcategory}.png" and "CC-BY-4.0" in found.rights.licence
        assert pair.prompt.startswith("a photo of a green fern")
    unknown = replace(config, licence="")
    every = (synthesise(i, seed=1, config=unknown, category="plants") for i in range(12))
    fern = next(pair for pair in every if pair.subcategory.startswith("fern"))
    assert get_provenance(fern).rights.licence == ""
