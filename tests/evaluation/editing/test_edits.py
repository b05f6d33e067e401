"""Edits are made once: what is there stays, what would differ is made anew, what fails is said."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_tasks import make_task
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from a2cli.errors import BackboneError, ConfigError, DataError
from a2cli.evaluation.config import MethodConfig
from a2cli.evaluation.editing.edits import (
    EditDone,
    EditJob,
    digest_task,
    find_edits,
    get_edit_path,
    get_fingerprint,
    load_seconds,
    run_edits,
)
from a2cli.evaluation.editing.recipes import read_recipe
from a2cli.evaluation.methods import Method, build_method
from a2cli.evaluation.records.cases import CaseFailure, Task
from a2cli.files import lock_folder
from a2cli.images.write import save_image

TELEA = build_method(MethodConfig("telea", kind="telea"))


class Painter:
    """A method that paints the mask in the colour of the seed, unless it is told to fail."""

    def __init__(self, fail: Callable[[Task], None] = lambda task: None, **identity: Any) -> None:
        self.name, self.identity = "painter", {"kind": "painter", "baseline": False, **identity}
        self.fail, self.calls = fail, list[str]()

    def edit(self, task: Task) -> np.ndarray:
        self.calls.append(task.case.id)
        self.fail(task)
        task.source[task.mask] = task.seed + 1
        return task.source


def make_jobs(count: int, protocol: str = "fine", **made: Any) -> list[EditJob]:
    def loader(number: int) -> Callable[[], Task]:
        return lambda: replace(make_task(number, **made), protocol=protocol)

    return [EditJob(f"case-{n}", f"stem {n}", protocol, loader(n)) for n in range(count)]


def run(method: Method, jobs: Iterable[EditJob], folder: Path) -> tuple[list[EditDone], list[CaseFailure]]:
    results = list(run_edits(method, jobs, folder))
    return (
        [result for result in results if isinstance(result, EditDone)],
        [result for result in results if isinstance(result, CaseFailure)],
    )


def get_state(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*.png"))
    }


def test_edits_lie_where_the_evaluation_looks_and_are_made_once(tmp_path: Path) -> None:
    jobs = [*make_jobs(3), *make_jobs(2, "box")]
    done, failures = run(TELEA, jobs, tmp_path)
    assert not failures and all(result.made and (result.seconds or 0) > 0 for result in done)
    assert [str(result.path.relative_to(tmp_path)) for result in done] == [
        *(f"telea/fine/stem {n}.png" for n in range(3)),
        *(f"telea/box/stem {n}.png" for n in range(2)),
    ]
    assert np.array_equal(np.asarray(Image.open(done[1].path)), TELEA.edit(make_task(1)))
    before = get_state(tmp_path)
    again, failures = run(TELEA, jobs, tmp_path)
    assert not failures and not any(result.made for result in again) and get_state(tmp_path) == before
    assert [result.seconds for result in again] == [result.seconds for result in done]
    assert load_seconds(tmp_path, "telea")["box", "stem 1"] == done[-1].seconds


CHANGES: dict[str, Callable[[Task], Task]] = {
    "seed": lambda task: replace(task, seed=99),
    "mask": lambda task: replace(task, mask=np.roll(task.mask, 1, 0)),
    "source": lambda task: replace(task, source=255 - task.source),
    "prompt": lambda task: replace(task, case=replace(task.case, prompt="other")),
    "reference": lambda task: replace(task, case=replace(task.case, ref_rgb=None)),
    "subject": lambda task: replace(task, case=replace(task.case, ref_mask=~np.asarray(task.case.ref_mask))),
    "category": lambda task: replace(task, case=replace(task.case, category="plants")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_decides_an_edit_has_it_made_anew(tmp_path: Path, change: str) -> None:
    jobs = make_jobs(2)
    run(Painter(), jobs, tmp_path)
    changed = replace(jobs[0], load=lambda: CHANGES[change](jobs[0].load()))
    done, _ = run(method := Painter(), [changed, jobs[1]], tmp_path)
    assert [result.made for result in done] == [True, False] and method.calls == ["case-0"]
    done, _ = run(method, [changed, jobs[1]], tmp_path)
    assert not any(result.made for result in done)


def test_another_model_makes_its_own_and_the_target_decides_nothing(tmp_path: Path) -> None:
    jobs = make_jobs(2)
    run(Painter(steps=4), jobs, tmp_path)
    done, _ = run(Painter(steps=5), jobs, tmp_path)
    assert all(result.made for result in done)
    task = jobs[0].load()
    unknown = replace(task, case=replace(task.case, target=None))
    assert get_fingerprint(TELEA, unknown) == get_fingerprint(TELEA, task)
    perfect = build_method(MethodConfig("best", kind="target"))
    assert get_fingerprint(perfect, unknown) != get_fingerprint(perfect, task)  # but there it is all


@pytest.mark.parametrize("told", [{"region": "exact"}, {"keyword": "known"}])
def test_what_a_method_is_told_beside_its_mask_decides(told: dict[str, str]) -> None:
    """The exact mask under a box, the words that name the thing; of no matter to a method that hears of neither."""
    task = make_task()
    case = task.case
    other = {"region": replace(case, mask=np.roll(case.mask, 1, 0)), "keyword": replace(case, keyword="cup")}
    changed = replace(task, case=other[next(iter(told))])
    assert digest_task(task, told) != digest_task(changed, told)
    assert digest_task(task, {"kind": "a2"}) == digest_task(changed, {"kind": "a2"})


def spoil(png: bytes, damage: str) -> bytes:
    """An edit's file after an accident, or after another program that kept its texts."""
    if damage == "cut":
        return png[: len(png) // 2]
    if damage == "a bit":
        return png[:-40] + bytes([png[-40] ^ 1]) + png[-39:]
    if damage == "other pixels":
        picture, info = Image.open(BytesIO(png)), PngInfo()
        info.add_text("a2", picture.info["a2"])
        file = BytesIO()
        picture.point(lambda value: 255 - value).save(file, "PNG", pnginfo=info)
        return file.getvalue()
    return b""


@pytest.mark.parametrize("damage", ["cut", "a bit", "other pixels", "emptied", "another picture", "gone"])
def test_a_damaged_edit_is_made_anew_to_the_same_bytes(tmp_path: Path, damage: str) -> None:
    jobs = make_jobs(2)
    done, _ = run(TELEA, jobs, tmp_path)
    path, whole = done[0].path, done[0].path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage == "another picture":
        path.write_bytes(done[1].path.read_bytes())
    else:
        path.write_bytes(spoil(whole, damage))
    again, _ = run(TELEA, jobs, tmp_path)
    assert [result.made for result in again] == [True, False] and path.read_bytes() == whole


def test_an_edit_says_what_it_was_made_from_and_nothing_of_a_model(tmp_path: Path) -> None:
    (done,), _ = run(TELEA, make_jobs(1), tmp_path)
    info = Image.open(done.path).info
    assert list(info) == ["a2"]  # no XMP that calls it the work of a trained model
    recipe = read_recipe(done.path)
    assert recipe == json.loads(info["a2"]) and recipe is not None
    assert (recipe["id"], recipe["seed"], recipe["identity"]) == ("case-0", 0, TELEA.identity)


def find(jobs: Iterable[EditJob], folder: Path, **settings: Any) -> list[str]:
    """What is found: "" for an edit that counts, else why it does not."""
    found = find_edits("painter", settings, jobs, folder)
    return [
        "" if isinstance(one, EditDone) else one.detail.removesuffix(" (add --run to make it anew)")
        for one in found
    ]


def test_what_was_made_otherwise_is_not_found(tmp_path: Path) -> None:
    jobs = make_jobs(3)
    run(Painter(steps=4), jobs[:2], tmp_path)
    assert find(jobs, tmp_path) == find(jobs, tmp_path, steps=4) == ["", "", "not made yet (add --run)"]
    assert find(jobs, tmp_path, steps=5)[:2] == ["made with steps 4, not 5"] * 2
    for change in CHANGES.values():  # a mask of another radius, another seed, ...
        changed = replace(jobs[0], load=lambda change=change: change(jobs[0].load()))
        assert find([changed, jobs[1]], tmp_path) == ["made of another photo, mask, prompt or seed", ""]
    run(Painter(steps=5), jobs[2:], tmp_path)
    assert find(jobs, tmp_path) == ["", "", "made with steps 5, not 4"]  # one row is one method
    save_image(make_task().source, get_edit_path(tmp_path, "painter", "fine", "stem 2"))
    assert find(jobs, tmp_path) == [""] * 3  # put there by hand


def test_an_edit_by_another_region_is_not_found(tmp_path: Path) -> None:
    """Settings of the region are not on record where there are none: those of one side alone differ as well."""
    jobs, held = make_jobs(1), {"localize": {"way": "mask"}}
    run(Painter(kind="a2"), jobs, tmp_path)
    assert find(jobs, tmp_path) == [""]
    assert find(jobs, tmp_path, **held) == ["made with localize none, not {'way': 'mask'}"]
    run(Painter(kind="a2", region="exact", **held), jobs, tmp_path)
    assert find(jobs, tmp_path, region="exact", **held) == [""]
    assert find(jobs, tmp_path, **held) == ["made with region exact, not none"]


def test_a_turn_that_starts_from_no_edit_is_not_found(tmp_path: Path) -> None:
    jobs = make_jobs(2)
    chain = [jobs[0], replace(jobs[1], after="stem 0")]
    run(Painter(), chain, tmp_path)
    assert find(chain, tmp_path) == ["", ""]
    get_edit_path(tmp_path, "painter", "fine", "stem 0").unlink()
    assert find(chain, tmp_path)[1].startswith("case-1: the turn before, stem 0, has no edit")


def test_what_a_killed_run_left_beside_is_removed(tmp_path: Path) -> None:
    run(TELEA, make_jobs(1), tmp_path)
    left = tmp_path / "telea/fine/.a2-0123.tmp"
    left.write_bytes(b"half")
    run(TELEA, make_jobs(1), tmp_path)
    assert not left.exists()


def test_one_that_fails_does_not_end_the_others(tmp_path: Path) -> None:
    def fail(task: Task) -> None:
        errors = {1: BackboneError("the model returned NaN"), 2: RuntimeError("sizes differ\nand more")}
        if task.seed in errors:
            raise errors[task.seed]
        if task.seed == 3:
            raise KeyError()

    def refuse() -> Task:
        raise DataError("case-9: its mask is empty")

    jobs = [*make_jobs(5), EditJob("case-9", "nine", "fine", refuse)]
    done, failures = run(Painter(fail), jobs, tmp_path)
    assert [result.id for result in done] == ["case-0", "case-4"]
    assert [(f.id, f.stage, f.reason) for f in failures] == [
        ("case-1", "edit", "the model failed"),
        ("case-2", "edit", "failed unexpectedly"),
        ("case-3", "edit", "failed unexpectedly"),
        ("case-9", "load", "cannot be used"),
    ]
    assert [f.detail for f in failures[1:3]] == ["RuntimeError: sizes differ", "KeyError"]
    assert {f.method for f in failures} == {"painter"} and {f.protocol for f in failures} == {"fine"}
    assert len(get_state(tmp_path)) == 2  # and no black picture


def test_a_method_that_returns_another_size_has_failed(tmp_path: Path) -> None:
    class Shrinker(Painter):
        def edit(self, task: Task) -> np.ndarray:
            return task.source[::2]

    done, failures = run(Shrinker(), make_jobs(1), tmp_path)
    assert not done and "returned uint8 (25, 70, 3), not uint8 (50, 70, 3)" in failures[0].detail


def test_memory_that_runs_out_is_tried_once_more(tmp_path: Path) -> None:
    left = {0: 0, 1: 1, 2: 2}

    def fail(task: Task) -> None:
        left[task.seed] -= 1
        if left[task.seed] >= 0:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")

    done, failures = run(method := Painter(fail), make_jobs(3), tmp_path)
    assert method.calls == ["case-0", "case-1", "case-1", "case-2", "case-2"]
    assert [result.id for result in done] == ["case-0", "case-1"]
    assert [(f.id, f.reason) for f in failures] == [("case-2", "out of memory")]


def test_what_a_method_writes_into_reaches_nobody(tmp_path: Path) -> None:
    task = make_task()
    source = task.source.copy()
    run(Painter(), [EditJob("a", "a", "fine", lambda: task)], tmp_path)
    assert np.array_equal(task.source, source)


def test_a_turn_goes_on_from_the_one_before(tmp_path: Path) -> None:
    jobs = make_jobs(3)
    chain = [jobs[0], replace(jobs[1], after="stem 0"), replace(jobs[2], after="stem 1")]
    done, _ = run(Painter(), chain, tmp_path)
    last = np.asarray(Image.open(done[2].path))
    for number in range(3):
        own = make_task(number).mask & ~np.any([make_task(n).mask for n in range(number + 1, 3)], axis=0)
        assert own.any() and (last[own] == number + 1).all()
    again, _ = run(Painter(), chain, tmp_path)
    assert not any(result.made for result in again)
    # another first turn: all that follows is made anew
    first = replace(jobs[0], load=lambda: replace(make_task(0), seed=50))
    anew, _ = run(Painter(), [first, *chain[1:]], tmp_path)
    assert all(result.made for result in anew)

    def fail(task: Task) -> None:
        if task.seed == 0:
            raise BackboneError("no")

    done, failures = run(Painter(fail, other=1), chain, tmp_path)  # its old edit lies there still
    assert not done and [f.stage for f in failures] == ["edit", "load", "load"]
    assert "the turn before, stem 0, has no edit" in failures[1].detail


def test_two_processes_do_not_write_the_same_edits(tmp_path: Path) -> None:
    (tmp_path / "telea").mkdir()
    with lock_folder(tmp_path / "telea"), pytest.raises(ConfigError, match="another process"):
        run(TELEA, make_jobs(1), tmp_path)


def test_a_line_cut_short_costs_only_its_own_seconds(tmp_path: Path) -> None:
    run(TELEA, make_jobs(1), tmp_path)
    log = tmp_path / "telea" / "edits.jsonl"
    log.write_bytes(log.read_bytes() + b'{"protocol": "fine", "st')
    done, _ = run(TELEA, make_jobs(2), tmp_path)
    assert [result.made for result in done] == [False, True]
    assert set(load_seconds(tmp_path, "telea")) == {("fine", "stem 0"), ("fine", "stem 1")}


SCRIPT = """
import sys, time
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from test_edits import TELEA, make_jobs
from a2cli.evaluation.editing.edits import run_edits
for _ in run_edits(TELEA, make_jobs(20, height=120, width=160), Path(sys.argv[1])):
    time.sleep(0.05)
"""


def test_a_killed_run_is_finished_to_the_same_bytes(tmp_path: Path) -> None:
    killed, straight = tmp_path / "killed", tmp_path / "straight"
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(killed), *map(str, Path(__file__).parents[:2])],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 60
    while len(get_state(killed)) < 4:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = get_state(killed)
    jobs = make_jobs(20, height=120, width=160)
    assert 4 <= len(before) < len(jobs)
    done, failures = run(TELEA, jobs, killed)
    assert not failures and sum(not result.made for result in done) == len(before)
    after = get_state(killed)
    assert all(after[name] == state for name, state in before.items())  # nothing there was made again
    run(TELEA, jobs, straight)
    assert {name: data for name, (_, data) in after.items()} == {
        name: data for name, (_, data) in get_state(straight).items()
    }
    assert get_edit_path(killed, "telea", "fine", "stem 7").is_file()
