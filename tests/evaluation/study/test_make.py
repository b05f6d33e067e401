"""How pairs are drawn: evenly, both sides alike, repeats turned and late, nothing in the page that tells a method."""

from __future__ import annotations

import base64
import json
import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_cases import PROTOCOLS, make_entry, write_edits
from studies import METHODS, make_item, make_study

from a2cli.errors import ConfigError, DataError
from a2cli.evaluation.study.config import StudyConfig, load_key, write_key
from a2cli.evaluation.study.items import list_items
from a2cli.evaluation.study.make import build_study
from a2cli.images.thumbnail import encode_thumbnail


def get_data(page: str) -> dict[str, Any]:
    found = re.search(r"const STUDY = (\{.*?\});\n", page, re.S)
    assert found
    return dict(json.loads(found[1]))


def test_the_page_tells_neither_methods_nor_records() -> None:
    page, key = make_study(8, repeats=0.25, questions=("overall", "blend"))
    assert not [
        name for name in (*METHODS, "case 1", "case") if name in re.sub(r'"[A-Za-z0-9+/=]{200,}"', "", page)
    ]
    data = get_data(page)
    assert [trial["code"] for trial in data["trials"]] == [trial.code for trial in key.trials]
    assert set(data["trials"][0]) == {
        "code", "prompt", "source", "reference", "left", "right", "outline", "zoom",
    }  # fmt: skip
    shown = [trial[name] for trial in data["trials"] for name in ("source", "reference", "left", "right")]
    assert list(dict.fromkeys(shown)) == list(range(len(data["pictures"])))  # numbered as they are shown


def test_sides_are_those_of_the_key() -> None:
    page, key = make_study(6)
    data = get_data(page)
    views = {f"case {i}": make_item(i).load() for i in range(6)}
    for record, trial in zip(data["trials"], key.trials, strict=True):
        assert record["prompt"] == "a thing"
        for side in ("left", "right"):
            edit = views[trial.id].edits[getattr(trial, side)]
            bytes_, (height, width) = encode_thumbnail(edit, 512, quality=92)
            assert data["pictures"][record[side]] == [base64.b64encode(bytes_).decode(), width, height]
        assert record["zoom"] == [24 - 5.6, 16 - 5.6, 16 + 11.2, 16 + 11.2]
        points = np.array([pair.split() for pair in record["outline"].strip("MZ").split("L")], float)
        assert points.min(axis=0) == pytest.approx([24, 16], abs=0.2)
        assert points.max(axis=0) == pytest.approx([40, 32], abs=0.2)


def test_every_two_methods_meet_as_often_and_on_both_sides() -> None:
    _, key = make_study(20, ("a1", "b1", "c1"), pairs=30, repeats=0)
    met = Counter(frozenset((t.left, t.right)) for t in key.trials)
    assert sorted(met.values()) == [10, 10, 10]
    sides = Counter((t.left, t.right) for t in key.trials)
    assert set(sides.values()) == {5} and len(sides) == 6
    assert len({(t.id, frozenset((t.left, t.right))) for t in key.trials}) == 30
    kinds = Counter((t.category, frozenset((t.left, t.right))) for t in key.trials)
    assert set(kinds.values()) == {5}
    _, against = make_study(5, ("a1", "b1", "c1"), against="a1", repeats=0)
    assert len(against.trials) == 10 and all("a1" in (t.left, t.right) for t in against.trials)


@pytest.mark.parametrize("count", [2, 3, 10, 40])
def test_repeats_come_later_with_their_sides_turned(count: int) -> None:
    _, key = make_study(count, repeats=0.25)
    again = [t for t in key.trials if t.repeats]
    assert len(again) == round(0.25 * count)
    places = {t.code: i for i, t in enumerate(key.trials)}
    for trial in again:
        first = key.by_code[trial.repeats]
        assert not first.repeats and (first.left, first.right, first.id) == (
            trial.right,
            trial.left,
            trial.id,
        )
        assert places[trial.code] >= count / 2 and places[first.code] < max(1, count / 2)
    assert len({t.repeats for t in again}) == len(again)


def test_a_study_is_a_function_of_its_seed() -> None:
    assert make_study(6, seed=3) == make_study(6, seed=3)
    keys = [make_study(6, seed=seed)[1] for seed in range(3)]
    assert len({key.study for key in keys}) == 3
    assert len({tuple(t.id for t in key.trials) for key in keys}) > 1
    assert len({code for key in keys for code in key.by_code}) == 3 * len(keys[0].trials)


def test_records_that_cannot_be_opened_are_named_and_left_out() -> None:
    items = [make_item(i, broken=i == 1) for i in range(4)]
    _, key = build_study(StudyConfig(repeats=0), items)
    assert {t.id for t in key.trials} == {"case 0", "case 2", "case 3"}
    assert key.left_out == ("case 1: its photo is gone",)
    with pytest.raises(DataError, match=r"no pair of edits can be shown: case 1: its photo is gone"):
        build_study(StudyConfig(), items[1:2])


def test_settings_that_contradict_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    items = [make_item(0)]
    with pytest.raises(ConfigError, match="no edit by 'quoka'") as caught:
        build_study(StudyConfig(methods=("zebrafish", "quoka")), items)
    assert "quokka" in caught.value.hint
    for wrong in (
        {"methods": ("a",)},
        {"methods": ("a", "a")},
        {"methods": ("a", "b"), "against": "c"},
        {"questions": ()},
        {"questions": ("overall", "overall")},
        {"questions": ("beauty",)},
        {"pairs": 0},
        {"repeats": 0.6},
        {"side": 8},
        {"seed": -1},
    ):
        with pytest.raises(ConfigError):
            StudyConfig(**wrong)  # type: ignore[arg-type]
    monkeypatch.setattr("a2cli.evaluation.study.make.MOST_BYTES", 100)
    with pytest.raises(ConfigError, match="too large"):
        build_study(StudyConfig(), items)


def test_a_key_is_read_as_it_was_written(tmp_path: Path) -> None:
    _, key = make_study(4)
    path = tmp_path / "KEY.json"
    write_key(key, path)
    assert load_key(path) == key
    for text, said in (
        ("{", "no JSON"),
        ('{"format": "x"}', "not the key of a study"),
        (path.read_text().replace('"version": 1', '"version": 9'), "version 9"),
        (path.read_text().replace('"seed"', '"sed"'), "sed"),
        (path.read_text().replace(key.trials[0].code, key.trials[1].code), "twice"),
        ('{"seed": NaN}', "NaN is no number"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=said):
            load_key(path)
    with pytest.raises(DataError, match="no such file"):
        load_key(tmp_path / "none.json")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="pipe: not a regular file"):
        load_key(tmp_path / "pipe")


def test_items_are_the_records_that_two_methods_edited(tmp_path: Path) -> None:
    write_edits(tmp_path, 3, method="ours")
    write_edits(tmp_path, 2, method="theirs")
    (tmp_path / "theirs" / "box" / "case-0.png").write_bytes(b"torn")
    entries = [make_entry(number) for number in range(3)]
    items = list_items(tmp_path, entries, PROTOCOLS)
    assert [(item.id, item.protocol) for item in items] == [
        (f"case {number}", protocol) for number in range(2) for protocol in ("fine", "box")
    ]
    views = items[0].load()
    assert list(views.edits) == ["ours", "theirs"] and views.reference is not None
    case = entries[0].load()
    assert (views.source[views.mask] == 127).all()  # as the methods saw it, not the answer
    assert np.array_equal(views.source[~views.mask], case.source[~views.mask])
    with pytest.raises(DataError, match="case 0"):
        items[1].load()
    _, key = build_study(StudyConfig(repeats=0), items)
    assert len(key.trials) == 3 and len(key.left_out) == 1
    with pytest.raises(ConfigError, match="no edits of 'our'"):
        list_items(tmp_path, entries, PROTOCOLS, ("our", "theirs"))
    with pytest.raises(DataError, match="no record has edits of two methods"):
        list_items(tmp_path, entries, PROTOCOLS, ("ours",))
    with pytest.raises(DataError, match="no record has edits"):
        list_items(tmp_path / "none", entries, PROTOCOLS)


def test_a_mask_of_the_whole_picture_has_no_outline() -> None:
    item = make_item(0)
    whole = replace(item, load=lambda: replace(item.load(), mask=np.ones((48, 64), bool), reference=None))
    record = get_data(build_study(StudyConfig(), [whole])[0])["trials"][0]
    assert (record["outline"], record["zoom"], record["reference"]) == ("", [], None)
