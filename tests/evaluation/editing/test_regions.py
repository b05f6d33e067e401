"""The region that a method chose goes with its edit, and is read back exactly or not at all."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from region_edits import make_edit, make_entry, make_task

from a2cli.evaluation.editing.edits import EditDone, EditJob, run_edits
from a2cli.evaluation.editing.recipes import encode_edit, read_recipe, read_region
from a2cli.evaluation.methods.base import Edit
from a2cli.evaluation.records.candidates import EditFile, list_candidates
from a2cli.evaluation.records.cases import CaseFailure, Task
from a2cli.evaluation.records.protocols import parse_protocols
from a2cli.metrics.leakage import get_leakage_values
from a2cli.metrics.region import get_region_values

RECIPE: dict[str, Any] = {"identity": {}, "task": "t"}


class Chooser:
    """A method that paints a region of its own choosing."""

    name = "chooser"

    def __init__(self, region: np.ndarray) -> None:
        self.region = region
        self.identity: dict[str, Any] = {"kind": "chooser", "baseline": False}

    def edit(self, task: Task) -> Edit:
        return Edit(np.where(self.region[..., None], np.uint8(255), task.source), self.region)


@pytest.mark.parametrize("size", [(1, 1), (7, 13), (64, 64)])
def test_a_region_is_read_back(size: tuple[int, int], tmp_path: Path) -> None:
    rng = np.random.default_rng(size[1])
    rgb, region = rng.integers(0, 256, (*size, 3), np.uint8), rng.random(size) < 0.4
    path = tmp_path / "edit.png"
    path.write_bytes(encode_edit(rgb, RECIPE, region))
    found = read_region(path, size)
    assert found is not None and found.dtype == np.bool_ and np.array_equal(found, region)
    assert (read_recipe(path) or {}).items() >= RECIPE.items()
    assert read_region(path, (size[0] + 8, size[1])) is None  # of another picture


def test_an_edit_without_a_region_tells_none(tmp_path: Path) -> None:
    path = tmp_path / "edit.png"
    path.write_bytes(encode_edit(np.zeros((4, 4, 3), np.uint8), RECIPE))
    assert read_region(path, (4, 4)) is None and read_region(tmp_path / "none.png", (4, 4)) is None


@pytest.mark.parametrize(
    "region",
    [
        7,
        "no base64!",
        base64.b64encode(b"not zlib").decode(),
        base64.b64encode(zlib.compress(b"\0")).decode(),  # too few bits
        base64.b64encode(zlib.compress(bytes(1 << 26))).decode(),  # a bomb: no more than needed is unpacked
    ],
)
def test_a_damaged_region_is_none(region: Any, tmp_path: Path) -> None:
    path = tmp_path / "edit.png"
    path.write_bytes(encode_edit(np.zeros((16, 16, 3), np.uint8), {**RECIPE, "region": region}))
    assert read_region(path, (16, 16)) is None


def test_what_was_chosen_is_what_is_measured(tmp_path: Path) -> None:
    case = make_edit()
    region = np.roll(case.mask, 6, axis=1)
    job = EditJob(case.id, case.id, "free", lambda: make_task("free"))
    (done,) = run_edits(Chooser(region), [job], tmp_path)
    assert isinstance(done, EditDone) and done.made
    (again,) = run_edits(Chooser(region), [job], tmp_path)
    assert isinstance(again, EditDone) and not again.made
    (found,) = list_candidates(
        [make_entry()],
        ["chooser"],
        parse_protocols(["free"], "8%"),
        {("chooser", "free", case.id): EditFile(done.path, "edit.png")},
    )
    assert found.shot is not None and found.shot.region is not None and found.shot.exact is not None
    assert np.array_equal(found.shot.region, region) and np.array_equal(found.shot.mask, case.mask)
    overlap = (region & case.mask).sum() / (region | case.mask).sum()
    assert get_region_values(found.shot) == {"region_iou": overlap}
    assert (
        0 < get_leakage_values(found.shot)["changed_outside"] <= (region & ~case.mask).sum() / case.mask.sum()
    )


@pytest.mark.parametrize("region", [np.zeros((64, 63), bool), np.zeros((64, 64), np.uint8)])
def test_a_region_of_another_kind_is_a_failure(region: np.ndarray, tmp_path: Path) -> None:
    job = EditJob("edit-0", "edit-0", "free", lambda: make_task("free"))

    class Wrong(Chooser):
        def edit(self, task: Task) -> Edit:
            return Edit(task.source, region)

    (failure,) = run_edits(Wrong(region), [job], tmp_path)
    assert isinstance(failure, CaseFailure) and "told a region of" in failure.detail
    assert not list(tmp_path.rglob("*.png"))


def test_the_recipe_stays_json(tmp_path: Path) -> None:
    path = tmp_path / "edit.png"
    path.write_bytes(encode_edit(np.zeros((9, 9, 3), np.uint8), RECIPE, np.eye(9, dtype=bool)))
    recipe = read_recipe(path)
    assert recipe is not None and json.loads(json.dumps(recipe)) == recipe
