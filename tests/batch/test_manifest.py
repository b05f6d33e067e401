"""Manifests: JSON lines and plain lists, and what is wrong with a line, which costs that line alone."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from planned import BOX, get_refusal, list_jobs, list_outs, list_refusals, plan, touch

from a2cli.batch.job import Job, get_item_seed
from a2cli.errors import ConfigError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(*records: dict[str, Any], name: str = "jobs.jsonl") -> str:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text("".join(json.dumps(record) + "\n" for record in records))
    return name


def test_what_find_prints_is_a_manifest() -> None:
    """The README's pipeline."""
    touch("photos/b.png", "photos/deep/a.png")
    found = subprocess.run(["find", "photos", "-name", "*.png"], capture_output=True, check=True).stdout
    jobs = list_jobs(manifest="-", stdin=found, out="o")
    assert sorted((job.id, job.source, job.mask, job.ref, job.out) for job in jobs) == [
        ("photos/b.png", "photos/b.png", BOX, "r.png", "o/photos/b.a2.png"),
        ("photos/deep/a.png", "photos/deep/a.png", BOX, "r.png", "o/photos/deep/a.a2.png"),
    ]
    assert sorted(list_outs(manifest="-", stdin=found)) == ["photos/b.a2.png", "photos/deep/a.a2.png"]


def test_paths_that_end_in_nul_may_hold_anything() -> None:
    names = ["two\nlines.png", ' {"id"}.png', "-", "-x.png", "\udcff.png", "\r"]
    data = "\0".join([*names, ""]).encode("utf-8", "surrogateescape")
    jobs = list_jobs(manifest="-", null=True, stdin=data, out="o")
    assert [job.source for job in jobs] == [name if name != "-" else "./-" for name in names]
    assert len({job.out for job in jobs}) == len(names)


def test_a_record_says_all_and_the_command_line_says_the_rest(folder: Path) -> None:
    full = {"id": "k7", "source": "a.jpg", "ref": "cat.png", "mask": "m.png", "ref_mask": "rm.png"}
    full |= {"prompt": "a cat", "seed": 5, "out": "there/cat.jpg"}
    bare = {"source": "s/b.jpg", "mask": None}
    path = write(full, bare, {"id": 8, "source": "c.jpg", "prompt": "x"}, name="set/jobs.jsonl")
    first, second, third = list_jobs(manifest=path, seed=3, prompt="all", ref_mask="all.png", out="o")
    assert first == Job(
        "k7", "set/a.jpg", "set/cat.png", "o/there/cat.jpg", "set/m.png", "set/rm.png", "a cat", 5
    )
    assert (second.id, second.source, second.out) == ("s/b.jpg", "set/s/b.jpg", "o/s/b.a2.png")
    assert (second.mask, second.ref, second.ref_mask, second.prompt) == (BOX, "r.png", "all.png", "all")
    assert second.seed == get_item_seed(3, "b.jpg") and third.seed == get_item_seed(3, "8")
    beside = list_outs(manifest=path)
    assert beside == ["set/there/cat.jpg", "set/s/b.a2.png", "set/c.a2.png"]
    os.chdir("set")
    assert [job.source for job in list_jobs(manifest="jobs.jsonl")] == ["a.jpg", "s/b.jpg", "c.jpg"]


def test_records_and_paths_mix_and_blank_lines_are_nothing() -> None:
    lines = '\ufeff{"source": "a.jpg", "mask": "box:1,1,2,2"}\r\n\r\n  \nb.jpg\r\n   {"source": "c.jpg"}'
    jobs = list_jobs(manifest="-", stdin=lines.encode())
    assert [(job.source, job.mask) for job in jobs] == [
        ("a.jpg", "box:1,1,2,2"),
        ("b.jpg", BOX),
        ("c.jpg", BOX),
    ]


def test_several_references_in_a_record() -> None:
    path = write(
        {"source": "a.jpg", "ref": ["x/cat.png", "dog.png"]}, {"source": "b.jpg", "ref": ["cat.png"]}
    )
    assert list_outs(manifest=path) == ["a.cat.a2.png", "a.dog.a2.png", "b.a2.png"]
    named = write({"source": "a.jpg", "ref": ["cat.png", "dog.png"], "out": "x.png"})
    assert list_outs(manifest=named) == ["x.cat.png", "x.dog.png"]
    below = write({"source": "a.jpg", "ref": ["cat.png", "dog.png"], "out": "sub/"})
    assert list_outs(manifest=below) == ["sub/a.cat.a2.png", "sub/a.dog.a2.png"]


def test_one_photo_for_all_records() -> None:
    path = write({"prompt": "a cat", "out": "1.png"}, {"id": "b", "ref": "dog.png"}, {"source": "own.jpg"})
    jobs = list_jobs("p/photo.jpg", manifest=path, out="o")
    assert [(job.source, job.out) for job in jobs] == [
        ("p/photo.jpg", "o/1.png"),
        ("p/photo.jpg", "o/photo.a2.png"),
        ("own.jpg", "o/own.a2.png"),
    ]
    with pytest.raises(ConfigError, match="--manifest names the photos"):
        plan("a.jpg", "b.jpg", manifest=path)
    holed = list_jobs(manifest=write({"mask": "holed.png"}, {"prompt": "x"}), mask="all.png")
    assert [(job.source, job.mask, job.out) for job in holed] == [
        (None, "holed.png", "holed.a2.png"),
        (None, "all.png", "all.a2.png"),
    ]


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("{", "not JSON"),
        ('{"source": "a.jpg"} x', "not JSON"),
        ('{"source": "a.jpg", "seed": NaN}', "NaN is no number"),
        ('{"source": "a.jpg", "seed": Infinity}', "Infinity is no number"),
        ('{"source": "a.jpg", "seed": 1e999}', "seed: inf is no seed"),
        ('{"source": "a.jpg", "seed": 1.5}', "seed: 1.5 is no seed"),
        ('{"source": "a.jpg", "seed": -1}', "seed: -1"),
        ('{"source": "a.jpg", "seed": true}', "seed: True"),
        ('{"source": "a.jpg", "seed": ' + "9" * 5000 + "}", "not JSON"),
        ('{"source": "a.jpg", "source": "b.jpg"}', "a key stands twice"),
        ('{"sorce": "a.jpg"}', "unknown key 'sorce' (did you mean 'source'?)"),
        ('{"source": 5}', "source: not text"),
        ('{"source": ["a.jpg"]}', "source: not text"),
        ('{"source": ""}', "source: it is empty"),
        ('{"source": "a\\u0000b.jpg"}', r"source: a\x00b.jpg is no path"),
        ('{"source": "a\\ud800.jpg"}', "source: no valid Unicode"),
        ('{"source": "a.jpg", "ref": []}', "ref: no list of paths"),
        ('{"source": "a.jpg", "ref": ["b.png", 3]}', "ref: not text"),
        ('{"source": "a.jpg", "prompt": {}}', "prompt: not text"),
        ('{"id": true, "source": "a.jpg"}', "id: not text"),
        ('{"a": ' + "[" * 50_000 + "}", "not JSON"),
        ("{" + '"id": "' + "x" * (1 << 20) + '"}', "more than 1 MiB"),
        ('{"source": "\udcff.jpg"}', "not UTF-8"),
        ("{}", "no photo"),
        ('{"mask": "box:1,2,3,4"}', "no photo"),
        # FAULTS 15
        ('{"source": "../a.jpg"}', "source: ../a.jpg: '..' is not followed"),
        ('{"source": "x/../../a.jpg"}', "'..' is not followed"),
        ('{"source": "/etc/passwd"}', "source: /etc/passwd: an absolute path"),
        ('{"source": "a.jpg", "ref": "/r.png"}', "ref: /r.png: an absolute path"),
        ('{"source": "a.jpg", "ref": ["r.png", "../r.png"]}', "ref: ../r.png: '..'"),
        ('{"source": "a.jpg", "mask": "../m.png"}', "mask: ../m.png: '..'"),
        ('{"source": "a.jpg", "ref_mask": "/m.png"}', "ref_mask: /m.png: an absolute path"),
        ('{"source": "a.jpg", "out": "../o.png"}', "out: ../o.png: '..'"),
        ('{"source": "a.jpg", "out": "/o.png"}', "out: /o.png: an absolute path"),
        ('{"source": "a.jpg", "out": "-"}', "out: - is no file"),
        ('{"source": "a.jpg", "out": ".a2-claims/o.png"}', "there the batch keeps its records"),
        ('{"source": "a.jpg", "out": "./results.jsonl/"}', "there the batch keeps its records"),
        ('{"source": "a.jpg", "out": "failures.jsonl"}', "there the batch keeps its records"),
        ('{"source": "-"}', "source: a manifest names files, not stdin"),
        ('{"source": "pipe"}', "pipe: not a regular file"),
        ('{"source": "a.jpg", "mask": "folder"}', "folder: not a regular file"),
        ('{"source": "a.jpg", "out": "pipe"}', "pipe: not a regular file"),
        ('{"source": "away/a.jpg"}', "away/a.jpg: a link leads out of ."),
        ('{"source": "a.jpg", "ref": "away.png"}', "away.png: a link leads out of ."),
        ('{"source": "a.jpg", "out": "away/o.png"}', "away/o.png: a link leads out of ."),
        # FAULTS 18
        ('{"source": "http://127.0.0.1/a.jpg"}', "http://127.0.0.1/a.jpg: addresses are not read"),
        (
            "https://example.org/a.jpg",
            "addresses are not read (download the picture first, or add --allow-urls)",
        ),
        ('{"source": "file:///etc/passwd"}', "addresses are not read"),
    ],
)
def test_what_is_wrong_with_a_line_is_told_with_its_number(folder: Path, line: str, cause: str) -> None:
    """FAULTS 15, 16, 18."""
    touch("folder/x.png", "outside/away.png")
    os.mkfifo("pipe")
    os.mkdir("inside")
    for link, to in (("away", "outside"), ("away.png", "outside/away.png")):
        os.symlink(folder / to, f"inside/{link}")
    os.rename("pipe", "inside/pipe")
    os.rename("folder", "inside/folder")
    os.chdir("inside")
    assert cause in get_refusal(line)


def test_a_bad_line_costs_itself_alone() -> None:
    """FAULTS 16."""
    lines = [
        '{"id": "a", "source": "a.jpg"}',
        "{bad",
        '{"id": "a", "source": "b.jpg"}',
        "",
        '{"source": "c.jpg"}',
    ]
    planned = plan(manifest="-", stdin="\n".join(lines).encode())
    assert [job.source for job in planned if isinstance(job, Job)] == ["a.jpg", "c.jpg"]
    bad, twice = list_refusals(planned)
    assert (bad.id, bad.line) == ("line 2", 2) and (twice.id, twice.line) == ("a", 3)
    assert twice.reason == 'line 3: a: the id stands twice (give each line its own "id")'
    assert planned.total == 4


def test_links_that_stay_inside_are_followed() -> None:
    touch("set/real/a.jpg")
    os.symlink("real", "set/link")
    assert (
        list_jobs(manifest=write({"source": "link/a.jpg"}, name="set/j.jsonl"))[0].source == "set/link/a.jpg"
    )


def test_a_list_on_stdin_may_lead_anywhere_a_file_may_not(folder: Path) -> None:
    touch("p/a.jpg", "here/x")
    os.chdir("here")
    data = f"{folder}/p/a.jpg\n../p/a.jpg\n"
    jobs = list_jobs(manifest="-", stdin=data.encode(), out="o", num_images=2)
    assert [job.source for job in jobs] == [f"{folder}/p/a.jpg", "../p/a.jpg"]
    assert [job.out for job in jobs] == [
        f"o{folder}/p/a.a2.png",
        "o/p/a.a2.png",
    ]  # mirrored below -o, as tar does
    Path("list.txt").write_text(data)
    reasons = [refusal.reason for refusal in list_refusals(plan(manifest="list.txt"))]
    assert "an absolute path is not followed" in reasons[0] and "--manifest -" in reasons[0]
    assert "line 2: the path: ../p/a.jpg: '..' is not followed" in reasons[1]


def test_a_named_pipe_is_a_list_as_well(folder: Path) -> None:
    """`--manifest <(find ...)`."""
    touch("p/a.jpg")
    os.mkfifo("fifo")
    writer = subprocess.Popen([sys.executable, "-c", "open('fifo', 'w').write('p/a.jpg\\n')"])
    assert [job.source for job in list_jobs(manifest=str(folder / "fifo"))] == ["p/a.jpg"]
    assert writer.wait(30) == 0


def test_a_list_leaves_out_what_an_earlier_run_made_of_it(caplog: pytest.LogCaptureFixture) -> None:
    names = [
        "a.png",
        "a.a2.png",
        "a.cat.a2.png",
        "b.png.a2.png",
        "b.png",
        "c.a2-2.png",
        "c.png",
        "alone.a2.png",
        "b.mask.png",
        "B.MASK.PNG",
        "b.v2.mask.png",
    ]
    with caplog.at_level(logging.WARNING):
        jobs = list_jobs(manifest="-", stdin="\n".join(names).encode())
    assert [job.source for job in jobs] == [
        *("a.png", "b.png", "c.png", "alone.a2.png"),
        *("B.MASK.PNG", "b.v2.mask.png"),  # of no photo in the list
    ]
    assert "left out: 5" in caplog.text
    assert len(list_jobs(manifest="-", stdin=b"a.jpg\na.mask.png\n")) == 1


def test_two_lines_never_write_one_file() -> None:
    same = [{"source": "a.jpg", "prompt": word} for word in ("x", "y")]
    planned = plan(manifest=write(*same))
    assert [job.out for job in planned if isinstance(job, Job)] == ["a.a2.png"]
    assert "line 2: a.jpg: the id stands twice" in list_refusals(planned)[0].reason
    told = [{"id": i, **record} for i, record in enumerate(same)]
    assert list_outs(manifest=write(*told)) == ["a.0.a2.png", "a.1.a2.png"]
    named = [{"out": "x.png", "id": i, **record} for i, record in enumerate(same)]
    planned = plan(manifest=write(*named))
    assert [job.id for job in planned if isinstance(job, Job)] == ["0"]
    assert "its output is x.png, and two lines would write it" in list_refusals(planned)[0].reason
    assert list_outs(manifest=write(*(record | {"out": f"{i}.png"} for i, record in enumerate(same)))) == [
        "0.png",
        "1.png",
    ]
    overwrites = plan(manifest=write({"source": "a.jpg", "out": "b.jpg"}, {"source": "b.jpg"}))
    assert [job.source for job in overwrites if isinstance(job, Job)] == ["b.jpg"]
    assert "an input of this run would be replaced" in list_refusals(overwrites)[0].reason


def test_lines_that_cannot_be_an_edit() -> None:
    path = write(
        {"source": "a.jpg"}, {"source": "b.jpg", "prompt": "the cup"}, {"source": "c.jpg", "mask": "m.png"}
    )
    planned = plan(manifest=path, mask=None)
    assert [job.source for job in planned if isinstance(job, Job)] == ["b.jpg", "c.jpg"]
    assert "line 1: no mask, and no prompt to find the region from" in list_refusals(planned)[0].reason
    (refusal,) = list_refusals(plan(manifest=write({"source": "a.jpg"}, name="bare.jsonl"), refs=()))
    assert "no reference" in refusal.reason
    planned = plan(manifest=path, mask=None, keyword="cup", localize="attention")
    assert [job.source for job in planned if isinstance(job, Job)] == ["b.jpg"]


def test_masks_and_references_in_folders_are_paired_with_lines() -> None:
    touch("m/a.png", "m/s/b.png", "r/a.png", "r/b.png")
    jobs = list_jobs(manifest="-", stdin=b"p/a.jpg\nx/s/b.jpg\n", mask="m", refs=("r",), out="o")
    assert [(job.mask, job.ref) for job in jobs] == [("m/a.png", "r/a.png"), ("m/s/b.png", "r/b.png")]


def test_addresses_are_read_where_they_are_allowed() -> None:
    line = '{"source": "https://example.org/p/a%20b.jpg?x=1", "mask": "http://example.org/m.png"}'
    data = f"{line}\nhttps://example.org/../c.jpg\nhttps://example.org/p%2Fq/x%2f..%2fy.jpg\n".encode()
    jobs = list_jobs(manifest="-", stdin=data, allow_urls=True, out="o")
    assert [job.out for job in jobs] == [
        "o/example.org/p/a b.a2.png",
        "o/example.org/c.a2.png",
        "o/example.org/p_q/x_.._y.a2.png",
    ]
    assert jobs[0].mask == "http://example.org/m.png"
    assert list_outs("https://example.org/p/a.jpg", "b.jpg", allow_urls=True) == ["a.a2.png", "b.a2.png"]
    assert "addresses are not read" in get_refusal('{"source": "ftp://example.org/a.jpg"}', allow_urls=True)


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", "the manifest is empty"),
        (b"\xef\xbb\xbf \r\n", "the manifest is empty"),
        (b'[{"source": "a.jpg"}]', "a JSON array"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "neither JSON lines in UTF-8 nor paths"),
        ('{"source": "a.jpg"}'.encode("utf-16"), "neither JSON lines in UTF-8 nor paths"),
        (b"a.jpg\0b.jpg\0", "needs --null"),
    ],
)
def test_what_is_no_manifest_at_all(data: bytes, cause: str) -> None:
    with pytest.raises(ConfigError, match=cause):
        plan(manifest="-", stdin=data)


def test_a_manifest_that_cannot_be_read() -> None:
    with pytest.raises(ConfigError, match=r"none\.jsonl: the manifest cannot be read: No such file"):
        plan(manifest="none.jsonl")
    os.mkdir("folder")
    with pytest.raises(ConfigError, match="the manifest cannot be read: Is a directory"):
        plan(manifest="folder")
