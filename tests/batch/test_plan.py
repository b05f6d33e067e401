"""From a command line to its edits: the one plain edit, parts of the work, records, what cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from planned import list_jobs, list_outs, list_refusals, make, plan, touch

from a2cli.batch.job import Job, get_item_seed
from a2cli.batch.plan import get_records_folder, plan_jobs
from a2cli.errors import ConfigError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    with open(os.devnull) as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
    return tmp_path


def refuse_stdin() -> bytes:
    raise AssertionError("stdin was read")


def test_one_plain_edit_is_as_it_was() -> None:
    touch("p/a.jpg")
    planned = plan_jobs(make("p/a.jpg", seed=4), refuse_stdin)
    (job,) = planned
    assert planned.single and planned.total == 1
    assert isinstance(job, Job) and (job.source, job.out) == ("p/a.jpg", "p/a.a2.png")
    os.mkdir("there")
    for out, wanted in (
        ("x.png", "x.png"),
        ("there", "there/a.a2.png"),
        ("new/", "new/a.a2.png"),
        ("-", "-"),
    ):
        (job,) = plan_jobs(make("p/a.jpg", out=out), refuse_stdin)
        assert isinstance(job, Job) and job.out == wanted
    (job,) = plan_jobs(make(mask="holed.png"), refuse_stdin)
    assert isinstance(job, Job) and (job.source, job.mask, job.out) == (None, "holed.png", "holed.a2.png")
    (job,) = plan_jobs(make("-", out="x.png", seed=4), refuse_stdin)
    assert isinstance(job, Job) and (job.source, job.seed) == ("-", 4)


def test_a_photo_nobody_named_is_left_to_the_edit(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(writer)
    with os.fdopen(reader) as stream:
        monkeypatch.setattr("sys.stdin", stream)
        (job,) = plan_jobs(make(mask="m.png", seed=4), refuse_stdin)
    assert isinstance(job, Job) and (job.source, job.out, job.seed) == (None, None, 4)


def test_an_item_alone_is_the_item_of_a_batch() -> None:
    touch("p/a.jpg", "p/s/b.jpg")
    seeds = [job.seed for job in list_jobs("p", seed=2)]
    assert seeds == [get_item_seed(2, "a.jpg"), get_item_seed(2, "b.jpg")]
    for sources in (("p/a.jpg",), ("p/*.jpg",), ("./p/a.jpg", "p/s/b.jpg")):
        assert list_jobs(*sources, seed=2)[0].seed == seeds[0]
    assert list_jobs(manifest="-", stdin=b"p/a.jpg", seed=2)[0].seed == seeds[0]
    assert list_jobs("p", seed=3)[0].seed not in seeds


def test_what_is_recorded_is_no_plain_edit() -> None:
    touch("a.jpg")
    for changes in ({"resume": True}, {"skip_existing": True}, {"preview": "p.png"}, {"shard": (1, 1)}):
        planned = plan("a.jpg", out="x.png", save_region="region.png", **changes)
        (job,) = planned
        assert (
            not planned.single
            and isinstance(job, Job)
            and (job.out, job.save_region) == ("x.png", "region.png")
        )
    assert plan("a.jpg", limit=1, workers=4).single


def test_a_limit_is_of_edits_and_refusals_pass_by() -> None:
    touch(*(f"p/{i}.jpg" for i in range(5)), "m/1.png", "m/3.png", "m/4.png")
    planned = plan("p", mask="m", limit=2)
    assert [entry.id for entry in planned] == ["p/0.jpg", "p/1.jpg", "p/2.jpg", "p/3.jpg"]
    assert planned.total == 4 and len(list_refusals(planned)) == 2
    assert len(list(plan("p", limit=9))) == 5


def test_parts_of_the_work_are_disjoint_and_keep_what_they_have() -> None:
    touch(*(f"p/{i:02d}.jpg" for i in range(40)), "p/07.png")
    whole = list(plan("p", out="o"))
    parts = [list(plan("p", out="o", shard=(i, 3))) for i in (1, 2, 3)]
    assert sorted((job for part in parts for job in part), key=lambda job: job.id) == whole
    assert all(plan("p", out="o", shard=(i + 1, 3)).total == len(parts[i]) > 5 for i in range(3))
    before = [{job.id for job in part} for part in parts]
    touch("p/new.jpg", "p/00b.jpg")
    after = [{job.id for job in plan("p", out="o", shard=(i, 3))} for i in (1, 2, 3)]
    assert all(old <= new for old, new in zip(before, after, strict=True))
    lines = b'{"id": "a", "source": "a.jpg"}\n{"id": "a", "source": "b.jpg"}\n{bad\n'
    parts = [list(plan(manifest="-", stdin=lines, shard=(i, 2))) for i in (1, 2)]
    assert sorted(type(entry).__name__ for part in parts for entry in part) == ["Job", "Refusal", "Refusal"]


def test_records_lie_with_the_outputs() -> None:
    touch("p/a.jpg", "q/b.jpg")
    cases: tuple[tuple[tuple[str, ...], dict[str, Any], str], ...] = (
        (("p",), {}, "p"),
        (("p",), {"out": "new"}, "new"),
        (("p", "q"), {}, "."),
        (("p/a.jpg", "q/b.jpg"), {"out": "new/"}, "new"),
        (("p/a.jpg",), {"out": "x.png", "resume": True}, "."),
        (("p/a.jpg",), {"out": "q", "resume": True}, "q"),
        ((), {"manifest": "jobs.jsonl"}, "."),
        ((), {"manifest": "jobs.jsonl", "out": "new"}, "new"),
    )
    for sources, changes, wanted in cases:
        assert get_records_folder(make(*sources, **changes)) == Path(wanted)


def test_regions_of_several_edits_go_into_a_folder_that_pairs_again() -> None:
    touch("p/a.jpg", "p/s/b.jpg")
    jobs = list_jobs("p", out="o", save_region="regions", refs=("cat.png", "dog.png"))
    assert [job.save_region for job in jobs][1:3] == ["regions/a.dog.png", "regions/s/b.cat.png"]
    for job in (jobs := list_jobs("p", out="o", save_region="regions")):
        touch(str(job.save_region))
    assert [job.mask for job in list_jobs("p", mask="regions")] == [job.save_region for job in jobs]


@pytest.mark.parametrize(
    ("sources", "changes", "cause"),
    [
        (("a.jpg", "b.jpg"), {"out": "-"}, "writes one PNG, here are several"),
        (("a.jpg", "b.jpg"), {"out": "x.png"}, "a file, several edits need a folder"),
        (("a.jpg", "b.jpg"), {"out": "a.jpg"}, "a file, several edits need a folder"),
        (("a.jpg", "b.jpg"), {"save_region": "r.png"}, "--save-region r.png: a file"),
        (
            ("a.jpg", "b.jpg"),
            {"save_region": "r", "save_attention": "r", "mask": None, "prompt": "x"},
            "two folders",
        ),
        (("-", "b.jpg"), {}, "no name to build on"),
        (("-", "b.jpg"), {"out": "o", "workers": 2}, "workers cannot read a picture from stdin"),
        (("a.jpg", "b.jpg"), {"mask": "-", "engine": "ray"}, "workers cannot read"),
        (("-",), {"out": "x.png", "resume": True}, "cannot be known again"),
        (("a.jpg",), {"out": "-", "skip_existing": True}, "keeps no records"),
        ((), {"refs": ("a.png", "b.png")}, "no photo to edit"),
        (("a.jpg", "b.jpg"), {"mask": None}, "no mask, and no prompt"),
    ],
)
def test_what_cannot_be(sources: tuple[str, ...], changes: dict[str, Any], cause: str) -> None:
    touch("a.jpg", "b.jpg")
    with pytest.raises(ConfigError, match=cause):
        plan(*sources, **changes)


def test_a_mask_on_stdin_serves_all_photos_of_one_process() -> None:
    touch("p/a.jpg", "p/b.jpg")
    assert [job.mask for job in list_jobs("p", mask="-")] == ["-", "-"]
    assert list_outs("p", mask="-", out="o") == ["o/a.a2.png", "o/b.a2.png"]


@pytest.mark.slow
def test_a_hundred_thousand_items_are_names_alone(folder: Path) -> None:
    script = (
        "import resource, sys\n"
        "from a2cli.batch.plan import plan_jobs\n"
        "from a2cli.config.batch import BatchConfig\n"
        "from a2cli.config.edit import EditConfig\n"
        "lines = b''.join(b'photos/%d/img_%06d.jpg\\n' % (i // 1000, i) for i in range(int(sys.argv[1])))\n"
        "config = EditConfig((), ('r.png',), mask='box:0,0,8,8', out='o', batch=BatchConfig(manifest='-'))\n"
        "plan = plan_jobs(config, lambda: lines)\n"
        "assert sum(1 for _ in plan) == plan.total == int(sys.argv[1])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    few, many = (
        int(subprocess.run([sys.executable, "-c", script, count], capture_output=True, check=True).stdout)
        for count in ("1000", "100000")
    )
    assert many - few < 60_000  # KiB
