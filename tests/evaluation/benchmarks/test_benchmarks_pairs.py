"""Pairs as cases: every layout that can be converted, AnyInsertion, VITON-HD and synthesised pairs."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_pairs import make_pair, write_clean, write_imagefolder, write_saved
from needs import needs_font
from published import (
    make_mask,
    make_rgb,
    write_any_insertion,
    write_any_insertion_shards,
    write_magic_brush,
    write_viton_hd,
)

from a2cli.config.load import build
from a2cli.curation.convert import ConvertConfig, convert
from a2cli.data.provenance import parse_provenance
from a2cli.data.records import Pair
from a2cli.data.synth import SynthConfig, synthesise
from a2cli.errors import A2Error, ConfigError, DataError
from a2cli.evaluation.benchmarks.detect import detect_benchmark
from a2cli.evaluation.benchmarks.listing import describe_data, list_cases
from a2cli.evaluation.config import DataConfig, HeldOutConfig
from a2cli.evaluation.records.cases import Case, CaseEntry, CaseFailure


def get_cases(path: Path | str, **settings: Any) -> dict[str, CaseEntry]:
    """Entries by id, of a data set in which nothing is wrong."""
    items = list(list_cases(DataConfig(str(path), **settings)))
    assert all(isinstance(item, CaseEntry) for item in items), items
    return {item.id: item for item in items if isinstance(item, CaseEntry)}


def check_pair(case: Case, pair: Pair) -> None:
    """A pair's target is both the source with a hole and the truth."""
    assert (case.id, case.category, case.prompt, case.hole) == (pair.id, pair.category, pair.prompt, True)
    assert np.array_equal(case.source, pair.tar_rgb) and case.target is not None
    assert np.array_equal(case.target, pair.tar_rgb) and np.array_equal(case.mask, pair.tar_mask)
    assert case.ref_rgb is not None and np.array_equal(case.ref_rgb, pair.ref_rgb)
    assert case.ref_mask is not None and np.array_equal(case.ref_mask, pair.ref_mask)
    assert case.mask.dtype == case.ref_mask.dtype == bool
    assert case.source.dtype == np.uint8 and not case.resize_edits and not case.instruction


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clean(tmp_path_factory.mktemp("shards"), train=5, test=10)


def test_parquet_gives_its_test_split(shards: Path) -> None:
    assert detect_benchmark(str(shards)) == "pairs"
    cases = get_cases(shards)
    assert list(cases) == [f"test-{number:03d}" for number in range(10)]
    for number, entry in enumerate(cases.values()):
        pair = make_pair(number, "test")
        assert (entry.stem, entry.group, entry.turn) == (pair.id, f"test object {number}", 1)
        assert (entry.category, entry.subcategory, entry.prompt) == (
            pair.category,
            pair.subcategory,
            pair.prompt,
        )
        check_pair(entry.load(), pair)
    assert list(get_cases(shards, split="train")) == [f"train-{number:03d}" for number in range(5)]
    assert len(get_cases(shards, split="all")) == 15


def test_records_open_in_any_order_again_in_other_processes_and_after_pickling(shards: Path) -> None:
    entries = list(get_cases(shards).values())
    for number in (7, 2, 2, 9, 0, 8, 1):
        check_pair(pickle.loads(pickle.dumps(entries[number])).load(), make_pair(number, "test"))
    assert len(pickle.dumps(entries[0])) < 2000  # it holds no picture
    read, write = os.pipe()
    if (child := os.fork()) == 0:  # with places open in the parent
        same = np.array_equal(entries[3].load().source, make_pair(3, "test").tar_rgb)
        os.write(write, b"y" if same else b"n")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 1) == b"y"
    check_pair(entries[4].load(), make_pair(4, "test"))


def test_a_record_that_changed_its_place_is_refused(tmp_path: Path) -> None:
    folder = write_imagefolder(tmp_path / "set", [make_pair(n, "test") for n in range(3)], "test")
    entries = list(get_cases(folder).values())
    lines = (folder / "metadata.jsonl").read_text().splitlines()
    (folder / "metadata.jsonl").write_text("\n".join([lines[1], lines[0]]))
    for entry in entries:
        with pytest.raises(DataError, match=f"{entry.id} is no longer where it was"):
            entry.load()


def test_an_imagefolder_with_a_list_of_file_names_and_no_split_is_measured_whole(tmp_path: Path) -> None:
    pairs = [make_pair(number, "test") for number in range(4)]
    folder = write_imagefolder(tmp_path / "set", pairs, None)
    line = json.loads((folder / "metadata.jsonl").read_text().splitlines()[0])
    assert {"id", "category", "tar_image_file_name", "ref_mask_file_name"} <= set(
        line
    ) and "split" not in line
    for pair, entry in zip(pairs, get_cases(folder).values(), strict=True):
        check_pair(entry.load(), pair)
    assert describe_data(DataConfig(str(folder)))["split"] == "all"


def test_saved_data_sets_and_tars(tmp_path: Path, shards: Path) -> None:
    saved = write_saved(tmp_path / "saved", {"train": [make_pair(0)], "test": [make_pair(1, "test")]})
    check_pair(get_cases(saved)["test-001"].load(), make_pair(1, "test"))
    list(convert(ConvertConfig(str(shards), tmp_path / "tars", write="webdataset")))
    assert detect_benchmark(str(tmp_path / "tars")) == "pairs"
    cases = get_cases(tmp_path / "tars")
    assert list(cases) == [f"test-{number:03d}" for number in range(10)]
    check_pair(cases["test-006"].load(), make_pair(6, "test"))
    check_pair(cases["test-001"].load(), make_pair(1, "test"))


@pytest.mark.parametrize("write", [write_any_insertion, write_any_insertion_shards])
def test_any_insertion_gives_its_test_set(tmp_path: Path, write: Any) -> None:
    folder = write(tmp_path / "set")
    assert detect_benchmark(str(folder)) == "anyinsertion"
    cases = get_cases(folder)
    assert list(cases) == ["test/garment/9"] and cases["test/garment/9"].stem == "test%2Fgarment%2F9"
    case = cases["test/garment/9"].load()
    assert case.category == "garments" and case.hole and case.target is not None
    assert len(get_cases(folder, split="all")) == 7
    shutil.rmtree(folder / "test", ignore_errors=True)
    for file in folder.glob("test-*"):
        file.unlink()
    assert len(get_cases(folder)) == 6  # no test split: all of it


def test_viton_hd_paired_and_unpaired(tmp_path: Path) -> None:
    folder = write_viton_hd(tmp_path / "viton")
    assert detect_benchmark(str(folder)) == "viton-hd"
    paired = get_cases(folder)
    assert list(paired) == ["test/00006_00", "test/00008_00", "test/00013_00"]
    case = paired["test/00008_00"].load()
    assert case.hole and case.target is not None and np.array_equal(case.target, case.source)
    assert np.array_equal(case.mask, make_mask(3))
    unpaired = get_cases(folder, unpaired=True)
    assert list(unpaired)[1] == "test/00008_00+00013_00"
    other = unpaired["test/00008_00+00013_00"].load()
    assert other.target is None and other.hole
    assert np.array_equal(other.source, case.source) and np.array_equal(other.mask, case.mask)
    third = paired["test/00013_00"].load().ref_rgb
    assert other.ref_rgb is not None and third is not None and np.array_equal(other.ref_rgb, third)
    assert "00008_00" in "".join(unpaired["test/00008_00+00013_00"].aliases)
    told = describe_data(DataConfig(str(folder), unpaired=True))
    assert told["pairs"] == "unpaired" and told["target"].startswith("none")
    assert len(get_cases(folder, split="train")) == 2


def test_synth_alone_is_the_held_out_set_whatever_else_is_set_of_it() -> None:
    photos = build(DataConfig, {"synth": {"photos": "mine"}}).synth
    assert photos == replace(DataConfig().synth, photos="mine")
    assert (photos.size, photos.recolour, photos.glyphs) == (256, 0.0, SynthConfig().glyphs)


@needs_font
def test_synthesised_pairs_are_those_that_were_held_out() -> None:
    config = HeldOutConfig(size=48)
    cases = get_cases("synth", per_category=1, synth=config, seed=7)
    pairs = [synthesise(i, seed=7, split="test", config=config) for i in range(8)]
    assert list(cases) == [pair.id for pair in pairs]
    for pair in pairs[:3]:
        assert cases[pair.id].category == pair.category
        check_pair(cases[pair.id].load(), pair)
    assert [entry.group for entry in cases.values()] == [
        parse_provenance(pair.provenance).group for pair in pairs
    ]
    some = get_cases("synth", limit=3, categories=("animals", "plants"), synth=config, seed=7)
    assert [entry.category for entry in some.values()].count("animals") in (1, 2)
    assert {entry.category for entry in some.values()} == {"animals", "plants"}
    assert next(iter(some.values())).load().category == next(iter(some.values())).category
    settings = DataConfig("synth", limit=3, synth=HeldOutConfig(48, photos="/some/where/mine"))
    told = describe_data(settings, some.values())
    assert (told["benchmark"], told["name"], told["split"], told["records"]) == ("synth", "synth", "test", 3)
    assert told["synth"]["photos"] == "mine" and told["seed"] == 2026


def test_the_first_of_each_category_and_the_first_of_all(shards: Path) -> None:
    assert len(get_cases(shards, limit=3)) == 3
    one = get_cases(shards, split="all", per_category=1)
    assert [entry.category for entry in one.values()].count("animals") == 1 and len(one) == 8
    both = get_cases(shards, split="all", per_category=2, limit=5, categories=("animals", "garments"))
    assert {entry.category for entry in both.values()} == {"animals", "garments"} and len(both) == 4


def test_what_is_told_of_the_data_is_json_and_no_path(shards: Path) -> None:
    config = DataConfig(str(shards), limit=3)
    told = describe_data(config)
    assert json.loads(json.dumps(told)) == told
    assert told["name"] == shards.name and str(shards) not in json.dumps(told)
    assert (told["benchmark"], told["split"], told["records"]) == ("pairs", "test", 3)
    assert sum(told["categories"].values()) == 3
    entries = [item for item in list_cases(config) if isinstance(item, CaseEntry)]
    assert describe_data(config, entries) == told
    assert describe_data(config, entries[:2])["records_sha256"] != told["records_sha256"]
    assert "limit" not in told


def test_bad_records_are_failures_and_the_rest_goes_on(tmp_path: Path) -> None:
    pairs = [make_pair(number, "test") for number in range(4)]
    folder = write_imagefolder(tmp_path / "set", pairs, "test")
    (folder / f"{pairs[1].id}.tar_image.png").write_bytes(b"nothing")
    os.unlink(folder / f"{pairs[2].id}.ref_mask.png")
    lines = (folder / "metadata.jsonl").read_text().splitlines()
    lines.insert(1, "{not json")
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    items = list(list_cases(DataConfig(str(folder))))
    failures = [item for item in items if isinstance(item, CaseFailure)]
    assert len(failures) == 1 and "line 2" in failures[0].detail and failures[0].stage == "read"
    entries = [item for item in items if isinstance(item, CaseEntry)]
    assert len(entries) == 4
    for number, column in ((1, "tar_image"), (2, "ref_mask")):
        with pytest.raises(DataError, match=f"{pairs[number].id}.*{column}"):
            entries[number].load()
    check_pair(entries[3].load(), pairs[3])


def test_ids_that_stand_twice_that_are_none_or_no_text_are_failures(tmp_path: Path) -> None:
    folder = write_imagefolder(tmp_path / "a" / "train", [make_pair(0), make_pair(1), make_pair(2)], None)
    shutil.copytree(folder, folder.parent / "test")
    lines = (folder / "metadata.jsonl").read_text().splitlines()
    changed = [
        line.replace(f'train-{number:03d}"', id)
        for number, (line, id) in enumerate(zip(lines, ('"', 'x\\n\\u00e9 y\\u2215."', 'x"'), strict=True))
    ]
    (folder / "metadata.jsonl").write_text("\n".join(changed))
    items = list(list_cases(DataConfig(str(folder.parent), split="all")))
    reasons = [item.reason for item in items if isinstance(item, CaseFailure)]
    assert reasons == ["no id"]
    named = {item.id: item.stem for item in items if isinstance(item, CaseEntry)}
    assert named["x\né y∕."] == "x%0A%C3%A9%20y%E2%88%95%2E" and named["x"] == "x"
    shutil.rmtree(folder)
    shutil.copytree(folder.parent / "test", folder)
    twice = list(list_cases(DataConfig(str(folder.parent), split="all")))
    assert [item.reason for item in twice if isinstance(item, CaseFailure)] == ["an id that stands twice"] * 3
    assert len([item for item in twice if isinstance(item, CaseEntry)]) == 3


def build_settings(path: Path, **settings: Any) -> list[Any]:
    return list(list_cases(DataConfig(str(path), **settings)))


def test_settings_that_the_data_does_not_have(tmp_path: Path, shards: Path) -> None:
    for settings, said in (
        ({"categories": ("animls",)}, "animals"),
        ({"split": "validation"}, "test"),
        ({"unpaired": True}, "viton-hd"),
        ({"session": True}, "magicbrush"),
        ({"turns": "final"}, "magicbrush"),
        ({"benchmark": "synth", "limit": 1}, "synth"),
    ):
        with pytest.raises(ConfigError, match=said):
            build_settings(shards, **settings)
    with pytest.raises(DataError, match=r"no dev records .there are: test; or all"):
        build_settings(write_magic_brush(tmp_path / "mb"), split="dev")
    with pytest.raises(ConfigError, match="--limit"):
        list_cases(DataConfig("synth"))
    with pytest.raises(ConfigError, match="animals"):
        list_cases(DataConfig("synth", limit=1, categories=("animal",)))
    with pytest.raises(ConfigError, match="train or test"):
        list_cases(DataConfig("synth", limit=1, split="dev"))


def test_what_is_no_data_set_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "a.txt").write_text("nothing")
    for name in ("empty", "words", "absent", "n" * 300, "words/a.txt"):
        with pytest.raises(A2Error) as caught:
            build_settings(tmp_path / name)
        assert "\n" not in str(caught.value) and caught.value.hint
    bad = write_imagefolder(tmp_path / "bad", [make_pair(0, "test")], "test")
    (bad / "metadata.jsonl").write_text('{"id": 3\n')
    with pytest.raises(DataError, match="line 1"):
        build_settings(bad)
    for benchmark in ("magicbrush", "viton-hd", "anyinsertion", "emu-edit", "gedit", "pairs"):
        for name in ("words", "absent", "n" * 300):
            with pytest.raises(DataError) as caught:
                build_settings(tmp_path / name, benchmark=benchmark)
            assert caught.value.hint


def test_magic_brush_as_pairs_takes_the_edit_for_the_reference(tmp_path: Path) -> None:
    folder = write_magic_brush(tmp_path / "mb")
    case = get_cases(folder, benchmark="pairs")["139306-2"].load()
    assert case.ref_rgb is not None and case.target is not None and not case.hole
    assert np.array_equal(case.ref_rgb, make_rgb(139308)) and np.array_equal(case.target, make_rgb(139308))
    assert not np.array_equal(case.source, case.target)  # the turn before, which is edited
