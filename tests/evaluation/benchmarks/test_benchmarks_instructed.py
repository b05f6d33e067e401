"""MagicBrush, Emu Edit and GEdit-Bench: what a method sees, what it is measured against, how edits are called."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from instructed_sets import write_emu_edit, write_gedit
from published import (
    TURNS,
    encode,
    make_mask,
    make_rgb,
    put,
    write_magic_brush,
    write_magic_brush_shards,
)

from a2cli.errors import ConfigError, DataError
from a2cli.evaluation.benchmarks.detect import detect_benchmark
from a2cli.evaluation.benchmarks.listing import describe_data, list_cases
from a2cli.evaluation.benchmarks.tables import list_tables
from a2cli.evaluation.config import DataConfig, EvalConfig, MethodConfig
from a2cli.evaluation.records.cases import CaseEntry, CaseFailure, add_turns_before
from a2cli.evaluation.records.protocols import parse_protocol
from a2cli.evaluation.run import run_eval
from a2cli.images.read import open_photo


def get_cases(path: Path, **settings: Any) -> dict[str, CaseEntry]:
    """Entries by id, of a data set in which nothing is wrong."""
    items = list(list_cases(DataConfig(str(path), **settings)))
    assert all(isinstance(item, CaseEntry) for item in items), items
    return {item.id: item for item in items if isinstance(item, CaseEntry)}


def test_magic_brush_measures_every_turn_against_its_true_edit(tmp_path: Path) -> None:
    folder = write_magic_brush(tmp_path / "mb")
    assert detect_benchmark(str(folder)) == detect_benchmark(str(folder / "test")) == "magicbrush"
    cases = get_cases(folder)
    assert list(cases) == ["139306-1", "139306-2", "242679-1"]
    second = cases["139306-2"]
    assert (second.stem, second.group, second.turn) == ("139306-2", "magicbrush/139306", 2)
    assert second.prompt == "make the sky pink"
    case = second.load()
    assert np.array_equal(case.source, make_rgb(139307)) and not case.hole
    assert case.target is not None and np.array_equal(case.target, make_rgb(139308))
    assert np.array_equal(case.mask, make_mask(139308)) and case.ref_rgb is None
    assert (case.prompt, case.instruction, case.resize_edits) == (second.prompt, second.prompt, True)


def test_magic_brush_shards_are_measured_on_dev(tmp_path: Path) -> None:
    folder = write_magic_brush_shards(tmp_path / "hub")
    assert detect_benchmark(str(folder)) == "magicbrush"
    cases = get_cases(folder)
    assert list(cases) == ["242679-1"] and describe_data(DataConfig(str(folder)))["split"] == "dev"
    case = cases["242679-1"].load()
    assert np.array_equal(case.source, make_rgb(242679)) and np.array_equal(case.mask, make_mask(242680))
    assert case.target is not None and np.array_equal(case.target, make_rgb(242680))
    assert list(get_cases(folder, split="all", turns="final")) == ["242679-1", "139306-2"]


def test_the_last_turns_are_those_of_each_session(tmp_path: Path) -> None:
    folder = write_magic_brush(tmp_path / "mb")
    last = get_cases(folder, turns="final")
    assert list(last) == ["139306-2", "242679-1"]
    assert last["139306-2"].aliases == ("139306/139306_2", "139306/139306_iter_2")
    assert "139306/139306_inde_2" in get_cases(folder)["139306-2"].aliases
    assert "139306/139306_iter_2" in get_cases(folder, session=True)["139306-2"].aliases
    assert np.array_equal(last["139306-2"].load().mask, make_mask(139308))
    assert list(get_cases(folder, turns="final", limit=1)) == ["139306-2"]
    assert describe_data(DataConfig(str(folder), turns="final"))["turns"] == "the last of each session"


def test_a_session_edits_the_turns_before_the_measured_one(tmp_path: Path) -> None:
    folder, out = write_magic_brush(tmp_path / "mb"), tmp_path / "out"
    data = DataConfig(str(folder), turns="final", session=True)
    last = get_cases(folder, turns="final", session=True)
    assert list(last) == ["139306-2", "242679-1"]
    assert [turn.id for turn in add_turns_before([*last.values(), *last.values()])] == ["139306-1", *last]
    telea = MethodConfig("telea", kind="telea")
    config = EvalConfig(
        data, methods=(telea,), protocols=("fine",), metrics=("l1", "preservation"), out=str(out), run=True
    )
    outcome = run_eval(replace(config, bootstrap=0, gallery=0))
    assert [row.id for row in outcome.rows] == list(last) and not outcome.failures
    assert [row.values["outside_pixels"] for row in outcome.rows] == [0, 0]
    first, second = (
        open_photo(out / "edits" / "telea" / "fine" / f"139306-{turn}.png").rgb for turn in (1, 2)
    )
    assert np.array_equal(first[~make_mask(139307)], make_rgb(139306)[~make_mask(139307)])
    assert np.array_equal(second[~make_mask(139308)], first[~make_mask(139308)])  # not the true first turn


def test_a_turn_that_cannot_be_listed_ends_its_session(tmp_path: Path) -> None:
    folder = write_magic_brush(tmp_path / "mb")
    sessions = folder / "test" / "edit_sessions.json"
    listed = json.loads(sessions.read_text())
    for place, kept in ((0, ["242679-1"]), (1, ["139306-1", "242679-1"])):
        damaged = [{} if number == place else turn for number, turn in enumerate(listed["139306"])]
        sessions.write_text(json.dumps(listed | {"139306": damaged}))
        items = list(list_cases(DataConfig(str(folder), session=True)))
        assert [item.id for item in items if isinstance(item, CaseEntry)] == kept
        failures = {item.id: item.reason for item in items if isinstance(item, CaseFailure)}
        assert failures.keys() == {"139306-1", "139306-2"} - set(kept)
        assert place or failures["139306-2"] == "no turn before"
        final = list_cases(DataConfig(str(folder), turns="final"))  # the first is not the last
        ids = [item.id for item in final if isinstance(item, CaseEntry)]
        assert ids == (["242679-1"] if place else ["139306-2", "242679-1"])


def test_the_prompt_is_what_the_edit_shows_where_that_is_described(tmp_path: Path) -> None:
    folder = write_magic_brush(tmp_path / "mb")
    test = folder / "test"
    words = {"139306": {"139306-input.png": "a horse", "139306-output1.png": "a horse in a hat"}}
    (test / "global_descriptions.json").write_text(
        json.dumps({"139306": {"139306-output1.png": "all of it"}})
    )
    assert get_cases(folder)["139306-1"].prompt == "all of it"
    (test / "local_descriptions.json").write_text(json.dumps(words))
    cases = get_cases(folder)
    case = cases["139306-1"].load()
    assert case.prompt == cases["139306-1"].prompt == "a horse in a hat"
    assert case.instruction == TURNS["139306"][0]
    assert cases["242679-1"].prompt == TURNS["242679"][0]
    (test / "local_descriptions.json").write_text("[1")
    with pytest.raises(DataError, match=r"local_descriptions.json: cannot be read"):
        get_cases(folder)


def test_a_source_of_another_size_is_brought_to_the_true_edits_one_of_another_shape_refused(
    tmp_path: Path,
) -> None:
    folder = write_magic_brush(tmp_path / "mb")
    place = folder / "test" / "images" / "139306"
    small = cv2.resize(make_rgb(139306), (24, 18), interpolation=cv2.INTER_AREA)
    put(place / "139306-input.png", encode(small))
    put(place / "139306-mask1.png", encode(np.eye(18, 24) > 0))
    case = get_cases(folder)["139306-1"].load()
    assert case.target is not None and case.source.shape == case.target.shape == (36, 48, 3)
    assert case.mask.shape == (36, 48) and 24 < case.mask.sum() < 120
    put(place / "139306-input.png", encode(make_rgb(1, (36, 36))))
    with pytest.raises(DataError, match="139306-1: the source is 36 x 36, the true edit 48 x 36"):
        get_cases(folder)["139306-1"].load()
    put(place / "139306-mask1.png", b"")
    with pytest.raises(DataError, match=r"edit_sessions.json: record 139306-1: .*empty"):
        get_cases(folder)["139306-1"].load()


def test_emu_edit_is_measured_against_the_source(tmp_path: Path) -> None:
    folder = write_emu_edit(tmp_path / "emu")
    assert detect_benchmark(str(folder)) == "emu-edit"
    cases = get_cases(folder)
    assert list(cases) == ["test-10", "test-11"] and cases["test-11"].aliases == ("11",)
    assert [entry.category for entry in cases.values()] == ["add", "remove"]
    case = cases["test-11"].load()
    assert np.array_equal(case.source, make_rgb(1)) and not case.hole and case.resize_edits
    assert case.target is not None and np.array_equal(case.target, case.source) and case.ref_rgb is None
    assert (case.prompt, case.instruction) == ("a thing after remove", "please remove")
    assert case.source_prompt == "a thing"
    assert case.mask.all() and case.mask.shape == (36, 48)
    assert parse_protocol("erode:4", "8%").apply(case.mask, case.id).all()
    told = describe_data(DataConfig(str(folder)))
    assert told["target"].startswith("the source") and told["split"] == "test"
    assert list(get_cases(folder, split="val")) == ["validation-10"]
    pattern = folder / "data" / "v*.parquet"
    assert detect_benchmark(str(pattern)) == "emu-edit" and list(get_cases(pattern)) == ["validation-10"]
    assert list(get_cases(folder, split="all", categories=("style",))) == ["validation-10"]


@pytest.mark.parametrize("kind", ["saved", "arrow", "parquet"])
def test_gedit_is_judged_alone_in_one_language(tmp_path: Path, kind: str) -> None:
    folder = write_gedit(tmp_path / "gedit", kind)
    assert detect_benchmark(str(folder)) == "gedit"
    cases = get_cases(folder)
    assert list(cases) == ["color_alter/en/a1en", "subject-add/en/b2en"]
    entry = cases["subject-add/en/b2en"]
    assert (entry.category, entry.subcategory, entry.stem) == ("subject-add", "", "subject-add%2Fen%2Fb2en")
    assert cases["color_alter/en/a1en"].subcategory == "intersection"
    case = entry.load()
    assert np.array_equal(case.source, make_rgb(1)) and case.target is None and case.ref_rgb is None
    assert case.mask.all() and not case.hole and case.prompt == case.instruction == "subject-add in en"
    assert list(get_cases(folder, split="cn")) == ["color_alter/cn/a1cn", "subject-add/cn/b2cn"]
    assert len(get_cases(folder, split="all")) == 4
    with pytest.raises(ConfigError, match="language"):
        list_cases(DataConfig(str(folder), split="zh"))


def test_a_damaged_table_ends_nothing(tmp_path: Path) -> None:
    folder = write_emu_edit(tmp_path / "emu")
    (folder / "data" / "test-00001-of-00002.parquet").write_bytes(b"PAR1 but no more")
    items = list(list_cases(DataConfig(str(folder))))
    assert [item.id for item in items if isinstance(item, CaseEntry)] == ["test-10", "test-11"]
    failures = [item for item in items if isinstance(item, CaseFailure)]
    assert len(failures) == 1 and "test-00001-of-00002.parquet" in failures[0].detail
    for file in list_tables(str(folder)):
        file.write_bytes(b"PAR1 but no more")
    with pytest.raises(DataError, match="none of its records can be used"):
        list(list_cases(DataConfig(str(folder), benchmark="emu-edit", split="all")))


def test_rows_without_what_they_need_are_failures(tmp_path: Path) -> None:
    from pyarrow import Table, parquet

    folder = write_emu_edit(tmp_path / "emu")
    file = list_tables(str(folder))[0]
    table = parquet.read_table(file)
    rows = table.to_pylist()
    rows[0]["image"] = {"bytes": None, "path": "../../else.png"}
    rows[1]["instruction"] = None
    parquet.write_table(Table.from_pylist(rows, table.schema).drop_columns(["input_caption"]), file)
    items = list(list_cases(DataConfig(str(folder), split="all")))
    entries = {item.id: item for item in items if isinstance(item, CaseEntry)}
    assert list(entries) == ["test-10", "validation-10"]  # without input_caption too
    assert [item.id for item in items if isinstance(item, CaseFailure)] == ["test-11"]
    with pytest.raises(DataError, match=r"record test-10: image: .*lies outside"):
        entries["test-10"].load()
    assert np.array_equal(entries["validation-10"].load().source, make_rgb(0))
