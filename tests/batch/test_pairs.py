"""Which mask and which references belong to a photo."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from planned import list_jobs, list_outs, list_refusals, plan, touch

from a2cli.batch.job import Job
from a2cli.batch.pairs import get_labels
from a2cli.errors import ConfigError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_masks_are_paired_by_path_and_else_by_name() -> None:
    touch("p/a.jpg", "p/s/a.jpg", "p/s/b.jpg", "p/s/c.jpg", "p/s/c.png")
    touch("m/a.png", "m/s/a.webp", "m/b.png", "m/s/c.jpg.png", "m/s/c.png.png")
    jobs = list_jobs("p", mask="m")
    assert [(job.source, job.mask) for job in jobs] == [
        ("p/a.jpg", "m/a.png"),
        ("p/s/a.jpg", "m/s/a.webp"),
        ("p/s/b.jpg", "m/b.png"),
        ("p/s/c.jpg", "m/s/c.jpg.png"),
        ("p/s/c.png", "m/s/c.png.png"),
    ]
    assert [job.mask for job in list_jobs("p/s/a.jpg", "p/s/b.jpg", mask="m")] == ["m/a.png", "m/b.png"]


def test_names_in_either_unicode_form_are_one() -> None:
    composed, decomposed = (unicodedata.normalize(form, "größe") for form in ("NFC", "NFD"))
    touch(f"p/{decomposed}.jpg", f"m/{composed}.png")
    assert [job.mask for job in list_jobs("p", mask="m")] == [f"m/{composed}.png"]


def test_a_photo_without_a_mask_or_with_two_costs_itself_alone() -> None:
    touch("p/a.jpg", "p/cat.jpg", "p/none.jpg", "m/a.png", "m/cat.png", "m/cat.jpg")
    planned = plan("p", mask="m")
    assert [job.id for job in planned if isinstance(job, Job)] == ["p/a.jpg"] and planned.total == 3
    two, none = list_refusals(planned)
    assert two.id == "p/cat.jpg" and "two masks, m/cat.jpg and m/cat.png" in two.reason
    assert none.id == "p/none.jpg" and "none.jpg: no mask in m (name it none.png)" in none.reason


def test_where_no_photo_has_a_partner_the_run_does_not_start() -> None:
    touch("p/a.jpg", "m/b.png", "empty/notes.txt")
    with pytest.raises(ConfigError, match="m: no mask for any photo"):
        plan("p", mask="m")
    with pytest.raises(ConfigError, match="m: no reference for any photo"):
        plan("p", refs=("m",))
    with pytest.raises(ConfigError, match="empty: no pictures in this folder"):
        plan("p", mask="empty")


def test_several_references_make_an_edit_each() -> None:
    touch("p/a.jpg", "p/b.jpg")
    jobs = list_jobs("p", refs=("x/cat.png", "dog.png", "x/cat.png"), out="o")
    assert [(job.id, job.ref, job.out) for job in jobs] == [
        ("p/a.jpg+cat", "x/cat.png", "o/a.cat.a2.png"),
        ("p/a.jpg+dog", "dog.png", "o/a.dog.a2.png"),
        ("p/b.jpg+cat", "x/cat.png", "o/b.cat.a2.png"),
        ("p/b.jpg+dog", "dog.png", "o/b.dog.a2.png"),
    ]
    assert len({job.seed for job in jobs}) == 2  # a photo's edits can be compared
    assert list_outs("p/a.jpg", refs=("x.png", "y.png")) == ["p/a.x.a2.png", "p/a.y.a2.png"]


def test_references_of_one_name_have_labels_of_their_own() -> None:
    assert get_labels(("a/cat.png", "dog.png")) == ["cat", "dog"]
    assert get_labels(("cat.png", "cat.jpg", "dog.png")) == ["cat.png", "cat.jpg", "dog"]
    assert get_labels(("a/cat.png", "b/cat.png")) == ["cat.png-1", "cat.png-2"]


def test_a_folder_of_references_has_one_or_several_for_a_photo() -> None:
    touch("p/cat.jpg", "p/dog.jpg", "p/s/hat.jpg")
    touch(
        "r/cat.png",
        "r/cat.10.png",
        "r/cat.2.png",
        "r/dog/side.png",
        "r/dog/1.png",
        "r/s/hat/a.png",
        "r/hat.png",
    )
    jobs = list_jobs("p", refs=("r",), out="o")
    assert [(job.ref, job.out) for job in jobs] == [
        ("r/cat.png", "o/cat.a2.png"),
        ("r/cat.2.png", "o/cat.2.a2.png"),
        ("r/cat.10.png", "o/cat.10.a2.png"),
        ("r/dog/1.png", "o/dog.1.a2.png"),
        ("r/dog/side.png", "o/dog.side.a2.png"),
        ("r/s/hat/a.png", "o/s/hat.a.a2.png"),
    ]
    touch("r/dog/1.jpg")
    (refusal,) = list_refusals(plan("p/dog.jpg", "p/cat.jpg", refs=("r",), out="o"))
    assert "two references, r/dog/1.jpg and r/dog/1.png" in refusal.reason


def test_masks_of_references_are_paired_with_the_references() -> None:
    touch("p/a.jpg", "rm/cat.png", "rm/dog.png")
    jobs = list_jobs("p", refs=("x/cat.jpg", "dog.jpg"), ref_mask="rm")
    assert [job.ref_mask for job in jobs] == ["rm/cat.png", "rm/dog.png"]
    (refusal,) = list_refusals(plan("p/a.jpg", "p/a.jpg", refs=("cat.jpg", "owl.jpg"), ref_mask="rm"))
    assert "owl.jpg: no reference mask in rm" in refusal.reason
    assert {job.ref_mask for job in list_jobs("p", refs=("cat.jpg",), ref_mask="box:0,0,2,2")} == {
        "box:0,0,2,2"
    }
