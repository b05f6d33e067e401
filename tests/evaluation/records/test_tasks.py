"""What a method gets of a case, and what is measured of its edit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from a2cli.batch.job import get_item_seed
from a2cli.errors import DataError
from a2cli.evaluation.records.cases import Case
from a2cli.evaluation.records.protocols import parse_protocol
from a2cli.evaluation.records.tasks import build_shot, build_task
from a2cli.metrics.shots import GREY

RNG = np.random.default_rng(0)
PHOTO, REFERENCE = (RNG.integers(0, 256, size, np.uint8) for size in ((40, 50, 3), (20, 20, 3)))
MASK = np.zeros((40, 50), bool)
MASK[10:20, 10:30] = True
CASE = Case(
    id="a",
    category="animals",
    source=PHOTO,
    mask=MASK,
    hole=True,
    target=PHOTO,
    ref_rgb=REFERENCE,
    ref_mask=np.ones((20, 20), bool),
    prompt="a cat",
    instruction="put a cat there",
    source_prompt="a sofa",
)


def test_the_hole_is_grey_under_the_given_mask_and_the_rest_is_the_photo() -> None:
    before = PHOTO.copy()
    task = build_task(CASE, parse_protocol("dilate:3", "8%"), seed=1)
    assert (task.protocol, task.case) == ("dilate-3", CASE) and task.mask.sum() > MASK.sum()
    assert (task.source[task.mask] == GREY).all()
    assert np.array_equal(task.source[~task.mask], PHOTO[~task.mask])
    task.source[:] = 0
    task.mask[:] = False
    assert np.array_equal(PHOTO, before) and MASK.sum() == 200


def test_without_a_hole_the_whole_source_is_seen() -> None:
    task = build_task(replace(CASE, hole=False), parse_protocol("fine", "8%"), seed=1)
    assert np.array_equal(task.source, PHOTO) and task.source is not PHOTO


def test_seeds_depend_on_the_run_and_the_id_alone_masks_on_the_case_alone() -> None:
    moved = parse_protocol("shift:8", "8%")
    tasks = [build_task(replace(CASE, id=id), moved, seed=seed) for id in "ab" for seed in (1, 2)]
    assert len({task.seed for task in tasks}) == 4
    assert np.array_equal(tasks[0].mask, tasks[1].mask)
    assert not np.array_equal(tasks[0].mask, tasks[2].mask)
    assert [task.seed for task in tasks] == [get_item_seed(seed, id) for id in "ab" for seed in (1, 2)]
    assert all(0 <= get_item_seed(seed, "x\udc80") < 2**63 for seed in range(64))


def test_a_mask_of_which_nothing_is_left_is_an_error_of_the_case() -> None:
    with pytest.raises(DataError, match=r"^a: nothing is left"):
        build_task(CASE, parse_protocol("erode:30", "8%"), seed=1)


def test_a_shot_holds_all_that_is_known() -> None:
    mask = parse_protocol("box", "3").apply(MASK, "a")
    shot = build_shot(CASE, mask, PHOTO)
    assert (shot.id, shot.prompt, shot.instruction, shot.hole) == ("a", "a cat", "put a cat there", True)
    assert shot.source_prompt == "a sofa"
    assert shot.mask is mask and shot.target is PHOTO and shot.source is PHOTO
    assert shot.ref_rgb is REFERENCE and shot.ref_mask is CASE.ref_mask


def test_an_edit_of_another_size_is_refused_unless_the_data_set_resizes() -> None:
    small = np.full((20, 25, 3), 90, np.uint8)
    with pytest.raises(DataError, match="25 x 20"):
        build_shot(CASE, MASK, small)
    shot = build_shot(replace(CASE, resize_edits=True), MASK, small)
    assert shot.edited.shape == PHOTO.shape and (shot.edited == 90).all()
    assert build_shot(replace(CASE, resize_edits=True), MASK, PHOTO).edited is PHOTO
