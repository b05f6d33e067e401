"""Records of photos that a sentence asks to edit: on disk and synthesised, listed by task, opened as edited."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from needs import needs_font
from pair_folders import make_pair, write_imagefolder
from region_edits import make_edit, make_edit_pair

from a2cli.data.provenance import parse_provenance
from a2cli.data.synth import synthesise
from a2cli.errors import ConfigError
from a2cli.evaluation.benchmarks.listing import describe_data, list_cases
from a2cli.evaluation.benchmarks.synthesised import MOST_MISSES, list_synthesised
from a2cli.evaluation.config import DataConfig, HeldOutConfig
from a2cli.evaluation.records.cases import Case, CaseEntry
from a2cli.evaluation.run import run_eval
from a2cli.evaluation.settings import load_eval_config

PHOTOS = str(Path(__file__).parents[3] / "examples" / "photos")
SYNTH = DataConfig(limit=6, synth=HeldOutConfig(size=64, instructions=1.0, photos=PHOTOS))


def take(config: DataConfig) -> list[CaseEntry]:
    return [item for item in list_cases(config) if isinstance(item, CaseEntry)]


def is_same(one: Case, other: Case) -> bool:
    for name, value in vars(one).items():
        if isinstance(value, np.ndarray):
            if not np.array_equal(value, getattr(other, name)):
                return False
        elif value != getattr(other, name):
            return False
    return True


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two replacements, two removals, and a pair without a photo from before."""
    pairs = [make_edit_pair(number, ("replace", "remove")[number % 2]) for number in range(4)]
    return str(
        write_imagefolder(tmp_path_factory.mktemp("d") / "pairs", [*pairs, make_pair(9, "test")], "test")
    )


def test_the_photo_before_is_edited_and_the_one_after_is_the_truth(mixed: str) -> None:
    entries = take(DataConfig(path=mixed))
    assert [entry.task for entry in entries] == ["replace", "remove", "replace", "remove", ""]
    for number, entry in enumerate(entries[:4]):
        case = entry.load()
        assert is_same(case, make_edit(number, entry.task)) and not case.hole and case.named is not None
        assert not np.array_equal(case.source, case.target)
    plain = entries[4].load()
    assert plain.hole and plain.target is not None and np.array_equal(plain.source, plain.target)
    assert (plain.task, plain.keyword, plain.named) == ("", "", None)


def test_tasks_choose_records(mixed: str) -> None:
    config = DataConfig(path=mixed, tasks=("remove",))
    assert [entry.id for entry in take(config)] == ["edit-1", "edit-3"]
    assert [entry.id for entry in take(replace(config, limit=1))] == ["edit-1"]
    assert describe_data(config)["tasks"] == {"remove": 2}
    assert "tasks" not in describe_data(config, take(DataConfig(path=mixed))[4:])
    with pytest.raises(ConfigError, match="no record of task recolour"):
        take(replace(config, tasks=("recolour",)))


def test_the_target_is_perfect_and_the_source_is_not(mixed: str, tmp_path: Path) -> None:
    """A run of baselines: what is kept is compared with the photo before, what is made with the one after."""
    options: dict[str, Any] = {
        "data.path": mixed,
        "data.tasks": ["replace", "remove"],
        "run": True,
        "gallery": 0,
    }
    options |= {"methods": ["target", "mean"], "metrics": ["l1", "region", "preservation", "adherence"]}
    outcome = run_eval(
        load_eval_config(None, (), options | {"protocols": ["box"], "out": str(tmp_path / "o")})
    )
    assert outcome.failures == [] and len(outcome.rows) == 8
    for row in outcome.rows:
        values = row.values
        assert values["outside_pixels"] == 0 and "region_iou" not in values
        if row.method == "target":
            assert (
                values["l1"] == values["changed_outside"] == values["leak"] == 0 and values["adherence"] < 1
            )
        else:  # all of the box is one colour
            case = make_edit(int(row.id[-1]), "remove" if int(row.id[-1]) % 2 else "replace")
            assert values["l1@mask"] > 0 and 0 < values["changed_outside"] < 1.2 / case.mask.mean()
    assert "no method told which region it edited" in outcome.results.missing["region_iou"]


@needs_font
def test_synthesised_edits_are_listed_as_they_are_made() -> None:
    entries = take(SYNTH)
    assert [entry.id[-1] for entry in entries] == list("012345")
    for number, entry in enumerate(entries):
        pair = synthesise(number, seed=2026, split="test", config=SYNTH.synth)
        assert (entry.task, entry.prompt, entry.category) == (pair.task, pair.prompt, pair.category)
        assert entry.group == parse_provenance(pair.provenance).group != ""
        case = entry.load()
        assert pair.src_rgb is not None and np.array_equal(case.source, pair.src_rgb) and not case.hole
        assert case.keyword in case.prompt and case.named is not None and not (case.named & ~case.mask).any()


@needs_font
def test_tasks_of_synthesised_edits_are_filled_up() -> None:
    config = replace(SYNTH, limit=None, per_category=1, tasks=("remove",), categories=("animals", "vehicles"))
    entries = take(config)
    assert Counter(entry.category for entry in entries) == {"animals": 1, "vehicles": 1}
    assert {entry.task for entry in entries} == {"remove"}
    assert [entry.id for entry in take(config)] == [entry.id for entry in entries]


@needs_font
def test_what_is_never_drawn_is_not_waited_for() -> None:
    config = replace(
        SYNTH, tasks=("recolour",), categories=("portraits",), synth=replace(SYNTH.synth, size=32)
    )
    with pytest.raises(ConfigError, match=f"of {MOST_MISSES} portraits not one is asked to recolour"):
        list(list_synthesised(config, "test"))  # people have no colour


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tasks": ("replase",)}, "data.tasks: there is no 'replase' (did you mean 'replace'"),
        ({"tasks": ("replace",), "synth": HeldOutConfig()}, "data.synth.instructions=1"),
    ],
)
def test_tasks_that_are_none_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        take(replace(SYNTH, **change))
    assert message in str(caught.value)
