"""a2 as a row that holds, finds or is told its region: what comes out, and what goes on record."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from region_edits import make_edit, make_task

from a2cli.config.localize import LocalizeOptions
from a2cli.errors import ConfigError, DataError
from a2cli.evaluation.config import MethodConfig
from a2cli.evaluation.methods import build_method
from a2cli.evaluation.methods.base import Edit
from a2cli.evaluation.methods.editor import A2Method, blend, get_region

BOX = make_task("box")


@pytest.fixture
def model(tiny_nano: Path) -> Path:
    return tiny_nano


@pytest.fixture
def adapter(tiny_region: Path) -> Path:
    return tiny_region


def open_row(model: Path, adapter: Path | str = "none", **settings: Any) -> A2Method:
    config = MethodConfig("row", model=str(model), adapter=str(adapter), **settings)
    method = build_method(config, device="cpu")
    assert isinstance(method, A2Method)
    return method


def edit(method: A2Method, task: Any = BOX) -> Edit:
    made = method.edit(task)
    assert isinstance(made, Edit) and made.rgb.dtype == np.uint8 and made.region.dtype == np.bool_
    return made


def test_a_blend_is_the_source_outside_and_the_picture_inside() -> None:
    source = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    weight = np.zeros((6, 8), np.float32)
    weight[2:4], weight[4] = 1, 0.4
    made = blend(source, np.full((6, 8, 3), 255.4, np.float32), weight)
    assert np.array_equal(made.rgb[:2], source[:2]) and np.array_equal(made.rgb[5], source[5])
    assert (made.rgb[2:4] == 255).all() and np.array_equal(made.region, weight >= 0.5)
    assert np.abs(made.rgb[4] - (0.6 * source[4] + 0.4 * 255.4)).max() <= 0.5


def test_a_row_without_a_region_is_what_it_was(model: Path, adapter: Path) -> None:
    plain, beside = open_row(model), open_row(model, adapter)
    assert isinstance(plain.edit(BOX), np.ndarray)
    assert np.array_equal(plain.edit(BOX), beside.edit(BOX))  # the adapter is loaded, and off
    assert not {"localize", "region", "region_hash"} & plain.identity.keys()


def test_the_region_that_is_told_decides_and_goes_on_record(model: Path, adapter: Path) -> None:
    exact, box = (open_row(model, adapter, region=name) for name in ("exact", "mask"))
    eroded = open_row(model, adapter, region="exact", region_change="erode:4")
    edits = [np.asarray(row.edit(BOX)) for row in (open_row(model), exact, box, eroded)]
    assert len({one.tobytes() for one in edits}) == 4
    assert all(np.array_equal(one[~BOX.mask], BOX.source[~BOX.mask]) for one in edits)
    known = {"region": "exact", "region_change": "erode:4", "region_hash": eroded.pipeline.region_hash[:16]}
    assert eroded.identity.items() >= known.items() and len(known["region_hash"]) == 16
    assert json.loads(json.dumps(eroded.identity)) == eroded.identity


def test_what_is_told_is_the_exact_mask_its_change_or_the_given_one() -> None:
    case, mask = make_edit(), BOX.mask
    assert mask is not None
    told = {
        (region, change): get_region(MethodConfig("row", region=region, region_change=change), case, mask)  # type: ignore[arg-type]
        for region, change in ((None, None), ("exact", None), ("exact", "erode:3"), ("mask", None))
    }
    assert told[None, None] is None
    assert np.array_equal(told["exact", None], case.mask) and np.array_equal(told["mask", None], mask)
    eroded = told["exact", "erode:3"]
    assert eroded is not None and 0 < eroded.sum() < case.mask.sum() and not (eroded > case.mask).any()
    gone = MethodConfig("row", region="exact", region_change="erode:30")
    with pytest.raises(DataError, match="edit-0: "):
        get_region(gone, case, mask)


def test_a_region_needs_an_adapter_that_edits(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"methods\.row: region is for a region adapter"):
        open_row(model, region="exact")


def test_a_held_mask_edits_part_of_it_and_says_which(model: Path) -> None:
    made = edit(open_row(model, localize="mask"))
    assert np.array_equal(made.rgb[~BOX.mask], BOX.source[~BOX.mask])
    assert made.region.any() and not made.region[~BOX.mask].any()
    assert np.array_equal(made.rgb, edit(open_row(model, localize=LocalizeOptions("mask"))).rgb)
    with pytest.raises(DataError, match="edit-0: no mask"):
        open_row(model, localize="mask").edit(make_task("free"))


@pytest.mark.parametrize("way", ["attention", "predictor"])
def test_a_found_region_looks_at_no_mask(model: Path, adapter: Path, way: str) -> None:
    row = open_row(model, adapter, localize=LocalizeOptions(way, threshold=0.0))  # type: ignore[arg-type]
    made = edit(row, make_task("free"))
    assert made.region.any() and np.array_equal(made.rgb, edit(row, BOX).rgb)
    assert np.array_equal(made.rgb[~made.region], BOX.source[~made.region])
    assert row.identity["localize"]["way"] == way


def test_a_sentence_that_names_no_place_changes_nothing(model: Path) -> None:
    row = open_row(model, localize=LocalizeOptions("attention", threshold=1.0))
    made = edit(row, make_task("free"))
    empty = not made.region.any()
    assert np.array_equal(made.rgb, BOX.source) == empty


def test_words_behind_what_the_model_reads_are_a_miss(model: Path, adapter: Path) -> None:
    """As one that names no place; a predictor makes do with what it reads."""
    late = make_task("free")
    late = replace(late, case=replace(late.case, prompt="please, " * 200 + late.case.prompt))
    made = edit(open_row(model, localize="attention", keyword="known"), late)
    assert not made.region.any() and np.array_equal(made.rgb, BOX.source)
    seen = edit(open_row(model, adapter, localize=LocalizeOptions("predictor", threshold=0.0)), late)
    assert seen.region.any()


def test_a_known_keyword_is_told(model: Path) -> None:
    row = open_row(model, localize="attention", keyword="known")
    assert row.identity["keyword"] == "known"
    wrong = make_task("free")
    wrong = replace(wrong, case=replace(wrong.case, keyword="blue cup"))
    with pytest.raises(ConfigError, match="blue cup"):
        row.edit(wrong)
    assert isinstance(open_row(model, localize="attention").edit(wrong), Edit)  # finds words of its own


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "paste", "localize": "mask"}, "paste takes no localize"),
        ({"kind": "fill", "region": "exact"}, "fill takes no region"),
        ({"keyword": "known"}, "keyword is for localize"),
        ({"localize": "mask", "region": "exact"}, "localize infers the region, and region tells it"),
        ({"region": "mask", "region_change": "erode:3"}, "region_change changes the exact region"),
        ({"region": "exact", "region_change": "shrink:3"}, "region_change: 'shrink:3' is no change"),
        ({"adapter": ()}, "adapter: a list of none"),
        (
            {"kind": "diptych", "adapter": ("a", "b")},
            "adapter: a list of none, or of a method that takes one",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        MethodConfig("row", **settings)
    assert message in str(caught.value)
