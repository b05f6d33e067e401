"""Which photos a command line names: files, folders, patterns, each once, mirrored and never flattened."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from planned import list_jobs, list_outs, list_refusals, make, plan, touch

from a2cli.batch.job import Job
from a2cli.batch.plan import plan_jobs
from a2cli.errors import ConfigError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_is_searched_to_the_bottom_and_mirrored(caplog: pytest.LogCaptureFixture) -> None:
    touch(
        "p/b.jpg", "p/a.PNG", "p/.hidden.jpg", "p/.cache/c.jpg", "p/notes.txt", "p/a.a2.png", "p/a.a2-2.png"
    )
    touch("p/deep/er/c.webp", "p/deep/a.cat.a2.png", "p/a.mask.png", "p/deep/venice.mask.png")
    with caplog.at_level(logging.WARNING):
        jobs = list_jobs("p/", out="out")
    photos = ["p/a.PNG", "p/b.jpg", "p/deep/venice.mask.png", "p/deep/er/c.webp"]
    assert [job.id for job in jobs] == photos  # a mask is one beside its photo
    outs = ["a.a2.png", "b.a2.png", "deep/venice.mask.a2.png", "deep/er/c.a2.png"]
    assert [job.out for job in jobs] == [f"out/{out}" for out in outs]
    assert "left out: 4" in caplog.text
    assert list_outs("p") == [f"p/{out}" for out in outs]
    assert [job.id for job in list_jobs("./p/../p")] == [job.id for job in jobs]


def test_folders_of_masks_references_and_outputs_are_not_photos() -> None:
    touch("p/a.jpg", "p/masks/a.png", "p/refs/a.png", "p/out/a.a2.png", "p/out/old.png", "p/regions/a.png")
    jobs = list_jobs("p", mask="p/masks", refs=("p/refs",), out="p/out", save_region="p/regions")
    assert [(job.source, job.mask, job.ref) for job in jobs] == [("p/a.jpg", "p/masks/a.png", "p/refs/a.png")]
    patterned = list_jobs("p/**/*", mask="p/masks", refs=("p/refs",), out="p/out", save_region="p/regions")
    assert [job.id for job in patterned] == [job.id for job in jobs]
    with pytest.raises(ConfigError, match="photos and masks in one folder"):
        plan("p", mask="./p/")


def test_patterns_are_relative_to_the_folder_above_the_first_wildcard() -> None:
    touch("p/x/1.jpg", "p/y/1.jpg", "p/y/z/2.jpg", "p/y/z/2.a2.png", "p/y/z/2.mask.png", "p/y/3.txt")
    assert list_outs("p/**/*", out="o") == ["o/x/1.a2.png", "o/y/1.a2.png", "o/y/z/2.a2.png"]
    assert list_outs("p/*/1.jpg", out="o") == ["o/x/1.a2.png", "o/y/1.a2.png"]
    assert list_outs("p/y/z/*.a2.png", out="o") == ["o/2.a2.a2.png"]  # asked for by name
    with pytest.raises(ConfigError, match="no picture matches"):
        plan("p/*.gif")
    touch("p/odd[1].jpg")
    assert [job.source for job in list_jobs("p/odd[1].jpg")] == ["p/odd[1].jpg"]


def test_sources_mix_and_each_photo_comes_once() -> None:
    touch("p/a.jpg", "p/b.jpg", "c.jpg")
    jobs = list_jobs("c.jpg", "p/*.jpg", "p", "./c.jpg", "-", out="out/")
    assert [job.source for job in jobs] == ["c.jpg", "p/a.jpg", "p/b.jpg", "-"]
    assert [job.out for job in jobs] == [f"out/{name}.a2.png" for name in ("c", "a", "b", "stdin")]


def test_nothing_to_edit_is_told_at_once() -> None:
    os.makedirs("empty/.git")
    touch("done/a.a2.png")
    with pytest.raises(ConfigError, match="no pictures in this folder"):
        plan("empty")
    with pytest.raises(ConfigError, match="outputs or masks of earlier runs"):
        plan("done")


def test_masks_that_are_the_photos_come_from_a_folder() -> None:
    touch("holed/a.png", "holed/s/b.png")
    jobs = list_jobs(mask="holed")
    assert [(job.source, job.mask, job.out) for job in jobs] == [
        (None, "holed/a.png", "holed/a.a2.png"),
        (None, "holed/s/b.png", "holed/s/b.a2.png"),
    ]


def test_names_of_every_kind_give_one_output_each() -> None:
    """FAULTS 14."""
    names = [
        "with space.jpg",
        "größe.jpg",
        "two\nlines.jpg",
        "-dash.jpg",
        "n" * 251 + ".jpg",
        "n" * 250 + "m.jpg",
    ]
    touch(*(f"p/{name}" for name in names))
    os.chdir("p")
    for several in (1, 12):
        outs = list_outs(*names, num_images=several)
        assert len(set(outs)) == len(names)
        longest = max(len(os.fsencode(str(out))) for out in outs)
        assert longest <= 255 - (len("-12") if several == 12 else 0)
    assert list_outs(*names)[:4] == ["with space.a2.png", "größe.a2.png", "two\nlines.a2.png", "-dash.a2.png"]
    assert set(list_outs(".", out="o")) == {f"o/{out}" for out in list_outs(*names)}


def test_a_folder_that_cannot_be_read_costs_itself_alone(folder: Path) -> None:
    """Root reads every folder, so a path longer than the system takes stands for one that is locked."""
    touch("p/a.jpg")
    os.chdir("p")
    for _ in range(20):
        os.mkdir("d" * 240)
        os.chdir("d" * 240)
    os.chdir(folder)
    planned = plan("p")
    assert [job.id for job in planned if isinstance(job, Job)] == ["p/a.jpg"] and planned.total == 2
    assert "cannot be read: File name too long" in list_refusals(planned)[0].reason


def test_sources_of_one_stem_are_kept_apart() -> None:
    """FAULTS 14."""
    touch("p/photo.jpg", "p/photo.png", "p/other.jpg", "p/s/photo.jpg")
    assert list_outs("p") == [
        "p/other.a2.png",
        "p/photo.jpg.a2.png",
        "p/photo.png.a2.png",
        "p/s/photo.a2.png",
    ]
    assert list_outs("p", refs=("cat.png", "dog.png"))[2:4] == [
        "p/photo.jpg.cat.a2.png",
        "p/photo.jpg.dog.a2.png",
    ]
    touch("q/photo.jpg")
    with pytest.raises(ConfigError, match=r"p/photo.jpg: its output is o/photo.jpg.a2.png, and two photos"):
        plan("p/photo.jpg", "q/photo.jpg", out="o")
    assert len(list_outs("p/photo.jpg", "q/photo.jpg")) == 2  # beside their photos all is well


def test_an_output_never_replaces_what_another_edit_reads() -> None:
    touch("x.jpg", "x.a2.png")
    with pytest.raises(ConfigError, match="an input of this run would be replaced"):
        plan("x.jpg", "x.a2.png")
    touch("p/a.jpg", "p/b.jpg", "p/a.png")
    with pytest.raises(ConfigError, match=r"p/a\.jpg: its output is p/a\.png, and an input"):
        plan("p/a.jpg", "p/b.jpg", refs=("p/a.png",), save_region="p")
    regions = [job.save_region for job in list_jobs("p", save_region="p")]
    assert regions == ["p/a.jpg.png", "p/a.png.png", "p/b.png"]


def test_a_plan_is_the_same_each_time_and_holds_names_alone() -> None:
    touch(*(f"p/{i}.jpg" for i in range(30)))
    planned = plan_jobs(make("p", out="o"), lambda: b"")
    assert list(planned) == list(planned) and planned.total == 30
    touch("p/new.jpg")
    assert len(list(planned)) == 30
