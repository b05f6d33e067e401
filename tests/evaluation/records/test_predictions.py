"""Finished edits matched to records: by which names, in which folders, and what becomes of the rest."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest
from instructed_sets import write_gedit
from published import write_any_insertion, write_magic_brush, write_viton_hd

from a2cli.curation.layouts.records import get_stem
from a2cli.errors import ConfigError, DataError
from a2cli.evaluation.benchmarks.listing import list_cases
from a2cli.evaluation.config import DataConfig
from a2cli.evaluation.records.cases import Case, CaseEntry
from a2cli.evaluation.records.predictions import Predictions, find_predictions


def load_nothing() -> Case:
    raise AssertionError("no picture is opened")


def make_entry(id: str, *aliases: str) -> CaseEntry:
    return CaseEntry(id, get_stem(id), "animals", "", "", load_nothing, aliases=aliases)


def put(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"a picture")
    return folder


def find(folder: Path, *ids: str, protocols: tuple[str, ...] = ("fine",)) -> Predictions:
    return find_predictions(folder, [make_entry(id) for id in ids], protocols)


def get_matches(found: Predictions, root: Path, protocol: str = "fine") -> dict[str, str]:
    """Paths in the folder by stem."""
    return {
        stem: str(path.relative_to(root)) for (name, stem), path in found.files.items() if name == protocol
    }


def list_entries(path: Path, **settings: Any) -> list[CaseEntry]:
    return [item for item in list_cases(DataConfig(str(path), **settings)) if isinstance(item, CaseEntry)]


def test_stems_ids_and_any_suffix(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "b.JPG", "c d.webp", "v1.2.png", "\u00e9\u2215.tiff", "x%2Fy.png", "e/f.png")
    found = find(tmp_path, "a", "b", "c d", "v1.2", "e\u0301\u2215", "x/y", "e/f", "-g")
    assert get_matches(found, tmp_path) == {
        "a": "a.png",
        "b": "b.JPG",
        "c%20d": "c d.webp",
        "v1%2E2": "v1.2.png",
        get_stem("e\u0301\u2215"): "\u00e9\u2215.tiff",
        "x%2Fy": "x%2Fy.png",
        "e%2Ff": "e/f.png",
    }
    assert found.protocols == ("fine",) and found.extra == ()
    assert [(f.id, f.reason, f.stage, f.protocol) for f in found.failures] == [
        ("-g", "no edit", "find", "fine")
    ]
    assert "%2Dg.png" in found.failures[0].detail
    assert found.files["fine", "a"] == tmp_path / "a.png" and ("box", "a") not in found.files


def test_ids_that_look_like_files_and_dots_that_are_no_suffix(tmp_path: Path) -> None:
    put(tmp_path, "photo.jpg", "other.png.png", "v1.5")
    found = find(tmp_path, "photo.jpg", "other.png", "v1.5")
    assert get_matches(found, tmp_path) == {"photo%2Ejpg": "photo.jpg", "other%2Epng": "other.png.png"}
    assert [failure.id for failure in found.failures] == ["v1.5"]  # a file without a picture's suffix


def test_a_folder_for_each_protocol(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    put(tmp_path, "fine/a.png", "fine/b.png", "dilate-32/a.png", "rough/c.png", "a.png")
    with caplog.at_level(logging.WARNING, "a2cli"):
        found = find(tmp_path, "a", "b", protocols=("fine", "box", "dilate-32"))
    assert found.protocols == ("fine", "dilate-32")
    assert get_matches(found, tmp_path) == {"a": "fine/a.png", "b": "fine/b.png"}
    assert get_matches(found, tmp_path, "dilate-32") == {"a": "dilate-32/a.png"}
    assert [(failure.id, failure.protocol) for failure in found.failures] == [("b", "dilate-32")]
    assert sorted(found.extra) == ["a.png", "rough/c.png"]
    assert "not measured: box" in caplog.text and "2 pictures belong to no record" in caplog.text


def test_edits_without_such_folders_count_to_the_first_protocol(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, "a.png", "b/c.png")
    with caplog.at_level(logging.WARNING, "a2cli"):
        found = find(tmp_path, "a", "b/c", protocols=("rough", "fine"))
    assert found.protocols == ("rough",) and len(found.files) == 2
    assert "all edits count as rough; not measured: fine" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, "a2cli"):
        assert find(tmp_path, "a", "b/c").protocols == ("fine",)
    assert not caplog.text


def test_two_files_of_one_record_are_a_failure_that_names_both(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "a.jpg", "b/c.png", "b%2Fc.png", "d.png")
    found = find(tmp_path, "a", "b/c", "d")
    assert get_matches(found, tmp_path) == {"d": "d.png"}
    assert [failure.reason for failure in found.failures] == ["several edits", "several edits"]
    assert "a.jpg, a.png (move all but one of them out" in found.failures[0].detail and found.extra == ()


def test_the_end_of_an_id_will_do_where_it_is_one_records_alone(tmp_path: Path) -> None:
    put(tmp_path, "12.png", "13.png", "object/7.png", "7.png")
    found = find(tmp_path, "test/object/12", "test/garment/12", "test/garment/13", "test/object/7", "7")
    assert get_matches(found, tmp_path) == {
        "test%2Fgarment%2F13": "13.png",
        "test%2Fobject%2F7": "object/7.png",
        "7": "7.png",
    }
    assert found.extra == ("12.png",)


def test_links_are_not_followed_out_of_the_folder(tmp_path: Path) -> None:
    inside, outside = tmp_path / "edits", put(tmp_path / "else", "a.png", "c.png", "deep/d.png")
    put(inside, "b.png")
    os.symlink(outside / "a.png", inside / "a.png")
    os.symlink(inside / "b.png", inside / "e.png")
    os.symlink(outside, inside / "more")
    os.symlink(inside / "absent.png", inside / "f.png")
    os.mkfifo(inside / "g.png")
    found = find(inside, "a", "b", "c", "e", "f", "g", "more/deep/d")
    assert get_matches(found, inside) == {"b": "b.png", "e": "e.png"}
    reasons = {failure.id: failure.reason for failure in found.failures}
    assert {id: reasons[id] for id in "afg"} == dict.fromkeys("afg", "an edit that must not be opened")
    assert reasons["c"] == reasons["more/deep/d"] == "no edit"
    assert str(outside) not in found.failures[0].detail and "leads outside" in found.failures[0].detail


def test_hidden_files_and_those_that_are_no_pictures_are_none(tmp_path: Path) -> None:
    put(tmp_path, "a.png", ".a.png", "log.txt", ".git/a.png", "a.json")
    found = find(tmp_path, "a")
    assert get_matches(found, tmp_path) == {"a": "a.png"} and found.extra == ()


def test_folders_that_hold_no_edit_at_all_are_refused(tmp_path: Path) -> None:
    put(tmp_path / "other", "x.png", "y.png", "z.png", "w.png", "v\nu.png")
    put(tmp_path / "words", "a.txt")
    with pytest.raises(DataError, match=r"none of its 5 pictures .* and 2 more .*such as a%2Fb\.png"):
        find(tmp_path / "other", "a/b")
    with pytest.raises(DataError, match="no pictures"):
        find(tmp_path / "words", "a")
    with pytest.raises(DataError, match="no such folder"):
        find(tmp_path / "absent", "a")
    with pytest.raises(DataError, match="no such folder"):
        find(tmp_path / ("n" * 300), "a")
    with pytest.raises(ConfigError, match="no protocol"):
        find(tmp_path / "words", "a", protocols=())


def test_magic_brush_names_of_both_ways(tmp_path: Path) -> None:
    data = write_magic_brush(tmp_path / "mb")
    edits = put(
        tmp_path / "edits", *(f"139306/139306_{way}.png" for way in ("1", "inde_2", "iter_2")), "242679-1.png"
    )
    every = find_predictions(edits, list_entries(data), ["fine"])
    assert get_matches(every, edits) == {
        "139306-1": "139306/139306_1.png",
        "139306-2": "139306/139306_inde_2.png",
        "242679-1": "242679-1.png",
    }
    assert every.extra == ("139306/139306_iter_2.png",) and not every.failures
    last = find_predictions(edits, list_entries(data, turns="final"), ["fine"])
    assert get_matches(last, edits) == {
        "139306-2": "139306/139306_iter_2.png",
        "242679-1": "242679-1.png",
    }
    both = put(tmp_path / "both", "139306/139306_1.png", "139306/139306_inde_1.png", "242679-1.png")
    refused = find_predictions(both, list_entries(data), ["fine"]).failures[0]
    assert (refused.id, refused.reason) == ("139306-1", "several edits")
    flat = put(tmp_path / "flat", "139306_1.png", "139306-output2.png")
    assert get_matches(find_predictions(flat, list_entries(data), ["fine"]), flat) == {
        "139306-1": "139306_1.png",
        "139306-2": "139306-output2.png",
    }


def test_names_of_the_other_data_sets(tmp_path: Path) -> None:
    gedit = write_gedit(tmp_path / "gedit")
    edits = put(
        tmp_path / "g",
        "fullset/color_alter/en/a1en.png",
        "fullset/color_alter/en/a1en_SRCIMG.png",
        "b2en.jpg",
    )
    found = find_predictions(edits, list_entries(gedit), ["fine"])
    assert len(found.files) == 2 and len(found.extra) == 1
    garments = write_viton_hd(tmp_path / "viton")
    worn = put(tmp_path / "w", "00006_00.jpg", "00008_00.jpg", "00013_00.jpg")
    for unpaired in (False, True):
        assert len(find_predictions(worn, list_entries(garments, unpaired=unpaired), ["fine"]).files) == 3
    pairs = [line.split() for line in (garments / "test_pairs.txt").read_text("utf-8-sig").splitlines()]
    assert any(person != garment for person, garment in pairs)
    for unpaired, folder in ((False, "paired"), (True, "unpaired")):
        names = [
            f"{person.removesuffix('.jpg')}_{(garment if unpaired else person).removesuffix('.jpg')}.jpg"
            for person, garment in pairs
        ]
        made = put(tmp_path / folder, *names)
        tried = find_predictions(made, list_entries(garments, unpaired=unpaired), ["fine"])
        assert len(tried.files) == len(pairs) and not tried.extra
    objects = write_any_insertion(tmp_path / "any")
    made = put(tmp_path / "o", "garment/9.png", "object/9.png", "9.png")
    found = find_predictions(made, list_entries(objects, split="all"), ["fine"])
    assert set(get_matches(found, made)) == {"test%2Fgarment%2F9", "train%2Fobject%2F9"}
