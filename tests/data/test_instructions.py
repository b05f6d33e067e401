"""Instruction pairs as they are drawn: what is named can be seen and told from the rest, and the mask is the truth."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace
from functools import cache

import cv2
import numpy as np
import pytest
from needs import needs_font
from pair_folders import is_same

from a2cli.data.glyphs import get_split_glyphs
from a2cli.data.instructions.make import draw_instruction
from a2cli.data.instructions.names import (
    _CALLED,
    _FITS,
    get_kind,
    get_other_noun,
    get_thing_noun,
    is_ambiguous,
)
from a2cli.data.instructions.phrases import TASKS, build_instruction
from a2cli.data.instructions.scene import LEAST_AREA, LEAST_SEEN, draw_things, get_name, get_visible
from a2cli.data.photos import is_held_out
from a2cli.data.provenance import parse_provenance
from a2cli.data.records import Pair
from a2cli.data.source import SourceConfig, SynthSource
from a2cli.data.synth import SynthConfig, get_category, get_source, repose, synthesise
from a2cli.data.taxonomy import CATEGORIES
from a2cli.images.align import place_reference
from a2cli.masks.augment import box_of

SMALL = SynthConfig(size=64, instructions=1.0)
GLYPH = "Noto Color Emoji "


@cache
def make_pairs(split: str = "train", count: int = 44) -> tuple[Pair, ...]:
    return tuple(synthesise(number, seed=5, split=split, config=SMALL) for number in range(count))


def grow(mask: np.ndarray, px: int) -> np.ndarray:
    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * px + 1, 2 * px + 1), np.uint8)) > 0


@needs_font
def test_a_pair_is_a_function_of_seed_split_and_number() -> None:
    pair = make_pairs()[7]
    again = synthesise(7, seed=5, config=SMALL)
    assert all(np.array_equal(getattr(pair, f.name), getattr(again, f.name)) for f in fields(Pair))
    for other in (
        synthesise(7, seed=6, config=SMALL),
        synthesise(15, seed=5, config=SMALL),  # of the same category
        synthesise(7, seed=5, split="test", config=SMALL),
    ):
        assert other.category == pair.category
        assert other.src_rgb is not None and not np.array_equal(other.src_rgb, pair.src_rgb)


@needs_font
def test_pairs_without_instructions_are_what_they_were() -> None:
    """Whether a pair is an edit is drawn apart: the others do not change."""
    plain, mixed = (replace(SMALL, instructions=share) for share in (0.0, 0.4))
    kinds: Counter[bool] = Counter()
    for number in range(48):
        one, other = (synthesise(number, seed=8, config=config) for config in (plain, mixed))
        assert one.src_rgb is None and one.task == one.keyword == ""
        kinds[other.src_rgb is not None] += 1
        assert (one.id, one.category) == (other.id, other.category)
        assert other.src_rgb is not None or is_same(one, other)
    assert 6 <= kinds[True] <= 33  # 19 expected, 4 sigma about it


@needs_font
def test_the_mask_is_where_source_and_target_differ() -> None:
    within, beyond = [], []
    for pair in (*make_pairs(), *make_pairs("test")):
        assert pair.src_rgb is not None and pair.src_mask is not None
        difference = cv2.absdiff(pair.src_rgb, pair.tar_rgb).max(axis=2)
        area = pair.tar_mask.sum()
        within.append((difference[pair.tar_mask] > 0).mean())
        beyond.append(((difference > 32) & ~grow(pair.tar_mask, 2)).sum() / area)
        assert not (pair.src_mask & ~pair.tar_mask).any()  # what leaves is part of what changes
        assert pair.task != "recolour" or np.array_equal(pair.src_mask, pair.tar_mask)
    assert min(within) > 0.6 and np.mean(within) > 0.97
    assert max(beyond) < 0.05 and np.mean(beyond) < 0.002


@needs_font
def test_the_mask_is_that_of_the_layers() -> None:
    """The naive twin: far from the named thing and what replaces it not one level differs."""
    for pair in make_pairs()[:40]:
        assert pair.src_rgb is not None
        near = grow(pair.tar_mask, 12)
        assert np.array_equal(pair.src_rgb[~near], pair.tar_rgb[~near])


@needs_font
def test_the_scene_is_the_photo_without_the_named_thing() -> None:
    for pair in make_pairs()[:24]:
        assert pair.scene_rgb is not None and pair.src_rgb is not None and pair.src_mask is not None
        far = ~grow(pair.src_mask, 12)
        assert np.array_equal(pair.scene_rgb[far], pair.src_rgb[far])
        assert (pair.scene_rgb[pair.src_mask] != pair.src_rgb[pair.src_mask]).mean() > 0.3
        assert np.array_equal(pair.scene_rgb, pair.tar_rgb) == (pair.task == "remove")


@needs_font
def test_a_reposed_pair_shows_the_new_thing_where_the_reference_is_placed() -> None:
    tasks: Counter[str] = Counter()
    for number, pair in enumerate(make_pairs()[:24]):
        assert pair.src_rgb is not None and pair.src_mask is not None and pair.scene_rgb is not None
        box = box_of(pair.tar_mask)
        posed = repose(pair, box, np.random.default_rng(number))
        tasks[pair.task] += 1
        if pair.task == "remove":  # nothing is placed
            assert posed is pair
            continue
        cover = place_reference(pair.ref_rgb, pair.ref_mask, box)[1] * box
        assert np.array_equal(posed.tar_mask, (cover > 0.5) | pair.src_mask)
        assert np.array_equal(posed.tar_rgb[~box], pair.src_rgb[~box])
        bare = box & (cover == 0)
        assert np.array_equal(posed.tar_rgb[bare], pair.scene_rgb[bare])  # the named thing is gone there
        assert (posed.tar_rgb[cover > 0.5] != pair.scene_rgb[cover > 0.5]).any(axis=-1).mean() > 0.8
        for name in ("ref_rgb", "src_rgb", "src_mask", "prompt", "keyword"):
            assert getattr(posed, name) is getattr(pair, name)
    assert set(tasks) == set(TASKS)


@needs_font
def test_what_is_named_can_be_seen_and_no_other_thing_is_called_so() -> None:
    ranks: Counter[int] = Counter()
    for number in range(90):
        rng = np.random.default_rng([3, number])
        things, named = draw_things(get_category(number), SMALL, rng, set())
        thing = things[named]
        layers = [one.layer for one in things]
        shares = [
            get_visible(layers, n).sum() / (layer[..., 3] > 0.5).sum() for n, layer in enumerate(layers)
        ]
        assert thing.category == get_category(number) and 2 <= len(things) <= 4
        assert shares[named] >= LEAST_SEEN and get_visible(layers, named).mean() >= LEAST_AREA
        ranks[named] += 1
        others = [one for one in things if one is not thing]
        for name in {get_name(thing, things, rng) for _ in range(12)}:
            words = set(name.split()) - set(thing.colour.split())
            assert not any(words <= set(one.noun.split()) for one in others), (name, others)
        assert not any(is_ambiguous(thing.noun, one.noun) for one in others)
    assert ranks[0] > 20 and ranks[1] > 20 and ranks[2] > 6 and ranks[3] > 2  # before others and behind them


@needs_font
def test_every_prompt_holds_its_keyword_and_fits_its_task() -> None:
    tasks: Counter[str] = Counter()
    for pair in make_pairs():
        assert pair.keyword and f"the {pair.keyword}" in pair.prompt
        assert pair.category in CATEGORIES and pair.task in TASKS
        tasks[pair.task] += 1
        removed = np.array_equal(pair.ref_rgb, pair.tar_rgb)
        assert removed == (pair.task == "remove")
        assert pair.ref_mask.any() and pair.tar_mask.any()
    assert tasks["replace"] > tasks["remove"] > 3 and tasks["recolour"] > 3


@needs_font
def test_the_test_split_shows_what_training_never_did() -> None:
    known = {name for category in CATEGORIES for name in get_split_glyphs(category, "train")}
    held = {name for category in CATEGORIES for name in get_split_glyphs(category, "test")}
    tasks: Counter[str] = Counter()
    for split, new in (("test", held), ("train", known)):
        for pair in make_pairs(split):
            about = parse_provenance(pair.provenance)
            thing, comes, ground = about.rights.source, about.ref, about.tar.removeprefix("scikit-image ")
            assert thing.removeprefix(GLYPH) in known  # what is named is known in both
            assert is_held_out(ground) == (split == "test")
            tasks[pair.task] += 1
            if pair.task != "replace":
                assert comes == thing
            elif comes.startswith(GLYPH):
                assert comes.removeprefix(GLYPH) in new
            else:
                assert is_held_out(comes.removeprefix("scikit-image ")) == (split == "test")
    assert min(tasks.values()) > 10


@needs_font
def test_groups_tell_the_named_thing_and_join_no_two_splits() -> None:
    groups = {}
    for split in ("train", "test"):
        groups[split] = {parse_provenance(pair.provenance).group for pair in make_pairs(split)}
        for number in range(6):
            found = parse_provenance(make_pairs(split)[number].provenance)
            assert found.group == get_source(number, seed=5, split=split, config=SMALL)
            assert found.group.startswith(found.rights.source)
    assert not groups["train"] & groups["test"]


@needs_font
def test_the_ground_shows_no_other_thing_of_the_kind() -> None:
    shown = {
        "astronaut": "portraits",
        "chelsea": "animals",
        "rocket": "vehicles",
        "coffee": "furniture",
        "grass": "plants",
    }
    grounds: Counter[str] = Counter()
    for split in ("train", "test"):
        for number in range(28):
            rng = np.random.default_rng([4, number])
            scene = draw_instruction(get_category(number), split, SMALL, rng)
            ground = scene.ground_rights.source.removeprefix("scikit-image ")
            assert shown.get(ground) != get_category(number)
            grounds[ground] += 1
    assert grounds["astronaut"] > 1 and grounds["chelsea"] > 1 and grounds["rocket"] > 5


@needs_font
def test_nothing_held_out_comes_in_place_of_a_thing() -> None:
    source = SynthSource(SourceConfig(synth=SMALL, hold_out=("animals", "plants")), seed=2)
    gone = {name for category in ("animals", "plants") for name in get_split_glyphs(category, "train")}
    came = [parse_provenance(pair.provenance).ref for pair in map(source.read, range(32))]
    assert not any(name.removeprefix(GLYPH) in gone for name in came)
    assert not {"scikit-image chelsea", "scikit-image grass"} & set(came)
    free = [parse_provenance(pair.provenance).ref.removeprefix(GLYPH) for pair in make_pairs()]
    assert sum(name in gone for name in free) > 3


def test_sentences_know_where_the_name_stands() -> None:
    rng = np.random.default_rng(0)
    for task in TASKS:
        texts = set()
        for _ in range(60):
            said = build_instruction(task, "red cup", rng, other="a bus", colour="blue")
            assert said.text[said.start : said.end] == "red cup" and said.task == task
            assert "{" not in said.text and "\0" not in said.text
            assert ("blue" in said.text) == (task == "recolour")
            assert task == "replace" or "bus" not in said.text
            texts.add(said.text)
        assert len(texts) >= 5


@pytest.mark.parametrize(
    ("one", "other", "ambiguous"),
    [
        ("cat", "cat face", True),
        ("bus", "minibus", True),
        ("oncoming automobile", "oncoming taxi", True),
        ("woman", "princess", True),
        ("crown", "princess", True),
        ("melon", "watermelon", True),
        ("house", "houses", True),
        ("rat", "mouse", True),
        ("apple", "apple", True),
        ("dog", "cat", False),
        ("boy", "older woman", False),
        ("palm tree", "deciduous tree", False),
        ("man's shoe", "woman's sandal", False),
    ],
)
def test_names_that_fit_two_things(one: str, other: str, ambiguous: bool) -> None:
    assert is_ambiguous(one, other) == is_ambiguous(other, one) == ambiguous


def test_names_are_what_one_sees() -> None:
    assert get_thing_noun("necktie", "red") == "red shirt with a tie"
    assert get_thing_noun("red apple") == "apple"  # it may have been painted green
    assert get_thing_noun("red apple", "green") == "green apple"
    assert get_thing_noun("kaaba") == "Kaaba"
    assert get_other_noun("umbrella") == "an umbrella"
    assert get_other_noun("astronaut", piece=True) == "a cut-out of an astronaut"


def test_a_kind_is_named_where_it_fits_one_thing() -> None:
    assert get_kind("dog", "animals", [("bus", "vehicles")]) == "animal"
    assert get_kind("dog", "animals", [("cat", "animals")]) == ""
    assert get_kind("dog", "animals", [("carousel horse", "architecture")]) == ""
    assert get_kind("coat", "garments", [("top hat", "accessories")]) == ""
    assert get_kind("woman", "portraits", [("Statue of Liberty", "architecture")]) == ""
    assert get_kind("grinning face", "portraits", []) == ""
    assert get_kind("banana", "plants", []) == ""


def test_the_tables_of_names_speak_of_things_there_are() -> None:
    nouns = {
        get_thing_noun(name.lower())
        for category in CATEGORIES
        for name in get_split_glyphs(category, "train")
    }
    assert {name for names in _FITS.values() for name in names.split(";")} <= nouns
    labels = {
        name.lower() for c in CATEGORIES for split in ("train", "test") for name in get_split_glyphs(c, split)
    }
    assert set(_CALLED) <= labels
