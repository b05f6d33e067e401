"""One edit of a batch: its seed, and the settings it is run with."""

from __future__ import annotations

import unicodedata

import pytest
from planned import make

from a2cli.batch.job import Job, get_item_seed, get_job_config, get_photo_seed
from a2cli.errors import ConfigError


def test_a_seed_follows_from_the_runs_seed_and_the_name() -> None:
    assert get_item_seed(0, "a.jpg") == get_item_seed(0, "a.jpg") == 1625082567482804758
    assert len({get_item_seed(seed, name) for seed in range(8) for name in "abc"}) == 24
    assert all(0 <= get_item_seed(seed, "x\udc80") < 2**63 for seed in range(64))


def test_a_photo_has_one_seed_by_whatever_path_it_is_reached() -> None:
    seed = get_item_seed(3, "größe.jpg")
    for path in ("größe.jpg", "./größe.jpg", "/data/größe.jpg", "a/../b/größe.jpg"):
        assert get_photo_seed(3, path) == get_photo_seed(3, unicodedata.normalize("NFD", path)) == seed
    assert get_photo_seed(3, "https://example.org/a/gr%C3%B6%C3%9Fe.jpg?size=2") == seed
    assert get_photo_seed(3, "-") == 3


def test_the_settings_of_one_edit_are_a_jobs_and_the_runs() -> None:
    config = make("photos", out="out/", steps=3, limit=2, resume=True, prompt="the run's")
    job = Job(
        "id", "photos/a.jpg", "cat.png", "out/a.a2.png", "m.png", "rm.png", "its own", 7, "regions/a.png"
    )
    own = get_job_config(config, job)
    assert (own.sources, own.refs, own.mask, own.ref_mask) == (
        ("photos/a.jpg",),
        ("cat.png",),
        "m.png",
        "rm.png",
    )
    assert (own.out, own.seed, own.prompt, own.steps) == ("out/a.a2.png", 7, "its own", 3)
    assert own.save_region == "regions/a.png" and own.make_folders
    assert own.batch == type(own.batch)()
    assert get_job_config(own, Job("id", None, "cat.png", "-", "m.png")).sources == ()
    assert not get_job_config(own, Job("id", "a.jpg", "cat.png", "out/a.a2.png", "m.png")).make_folders


def test_a_contradiction_is_told_where_the_settings_are_made() -> None:
    config = make(manifest="jobs.jsonl", localize="mask", keyword="cup")
    with pytest.raises(ConfigError, match="not in the prompt"):
        get_job_config(config, Job("id", "a.jpg", "cat.png", "x.png", "m.png", prompt="a dog"))
