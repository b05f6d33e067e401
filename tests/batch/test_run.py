"""A batch from beginning to end: records, what is skipped, what stops it, two of them at once."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from batches import BOX, Catalogue

from a2cli import __version__
from a2cli.batch.run import run_batch
from a2cli.errors import A2Error, BackboneError, ConfigError


def test_a_folder_is_made_and_recorded(catalogue: Catalogue) -> None:
    catalogue.add(4, bad=1)
    seen: list[tuple[str, int, int | None]] = []
    outcomes = list(run_batch(catalogue.build(), lambda: b"", lambda *step: seen.append(step)))
    assert [o.error is None for o in outcomes] == [True, False, True, True]
    assert seen == [("items", i, 4) for i in (1, 2, 3, 4)]
    rows = catalogue.read("results.jsonl")
    assert len({row["id"] for row in rows}) == 3 and {row["a2"] for row in rows} == {__version__}
    for row, outcome in zip(rows, (outcomes[0], *outcomes[2:]), strict=True):
        (result,) = outcome.results
        assert (catalogue.out / row["out"]).samefile(result.path) and row["source"] == result.source
        assert (row["width"], row["height"], row["seed"]) == (56, 40, outcome.job.seed)
        assert (
            0 < row["region_share"] < 1 and row["seconds"] > 0 and row["fingerprint"] == outcome.fingerprint
        )
        assert row["inputs"]["source"]["size"] == os.path.getsize(result.source)
    assert len({row["seed"] for row in rows}) == 3
    (failure,) = catalogue.read("failures.jsonl")
    assert failure["id"] == outcomes[1].job.id and failure["kind"] == "data"
    assert failure["source"].endswith("0001.png") and "0001.png" in failure["reason"]
    assert len(catalogue.read_outputs()) == 3  # no claim, no temporary is left


def test_an_item_alone_equals_the_item_in_a_batch(catalogue: Catalogue) -> None:
    catalogue.add(3)
    catalogue.run()
    (alone,) = catalogue.run(sources=("photos/0001.png",), out="alone.png")
    assert Path(alone.results[0].path).read_bytes() == catalogue.read_outputs()["0001.a2.png"]
    assert not (catalogue.folder / "results.jsonl").exists()  # a plain edit keeps no records


def test_a_plain_edit_raises_and_shows_its_steps(catalogue: Catalogue) -> None:
    catalogue.add(2, bad=1)
    seen: list[str] = []
    config = catalogue.build(sources=("photos/0000.png",), out="alone.png", steps=2)
    list(run_batch(config, lambda: b"", lambda label, done, total: seen.append(f"{label} {done}/{total}")))
    assert seen[-2:] == ["editing 1/2", "editing 2/2"]
    with pytest.raises(A2Error, match=r"0001\.png"):
        catalogue.run(sources=("photos/0001.png",), out="broken.png")


def list_made(catalogue: Catalogue, **changes: Any) -> list[str]:
    """Which items a run makes anew."""
    return [Path(o.job.source or "").stem for o in catalogue.run(**changes) if not o.skipped and not o.error]


def test_skip_existing_goes_by_content(catalogue: Catalogue) -> None:
    catalogue.add(3)
    everything = ["0000", "0001", "0002"]
    assert list_made(catalogue) == everything
    before = catalogue.read_outputs()
    for photo in catalogue.photos.iterdir():
        os.utime(photo, ns=(5, 5))
    skipped = catalogue.run(skip_existing=True)
    assert all(o.skipped and o.results[0].width == 56 for o in skipped)
    (catalogue.out / "0001.a2.png").unlink()
    assert list_made(catalogue, skip_existing=True) == ["0001"]
    shutil.copy(catalogue.photos / "0000.png", catalogue.photos / "0002.png")
    assert list_made(catalogue, skip_existing=True) == ["0002"]
    assert list_made(catalogue, skip_existing=True, prompt="a cat") == everything
    assert list_made(catalogue, skip_existing=True) == everything
    assert list_made(catalogue) == everything
    assert len(catalogue.read("results.jsonl")) == 3 and before.keys() == catalogue.read_outputs().keys()


def test_what_was_made_is_left_only_with_all_that_is_asked_for(catalogue: Catalogue) -> None:
    """A map that was not saved, or not in that place, and a picture that another edit has replaced."""
    catalogue.add(2)
    assert list_made(catalogue) == ["0000", "0001"]
    assert list_made(catalogue, resume=True, save_region="regions/") == ["0000", "0001"]
    assert list_made(catalogue, resume=True, save_region="regions/") == []
    assert list_made(catalogue, resume=True) == []
    (catalogue.folder / "regions/0001.png").unlink()
    assert list_made(catalogue, resume=True, save_region="regions/") == ["0001"]
    (catalogue.out / "0000.a2.png").write_bytes(b"of another edit")
    assert list_made(catalogue, resume=True) == ["0000"]
    rows = [row | {"bytes": None} for row in catalogue.read("results.jsonl")]  # taken away as it was made
    (catalogue.out / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (catalogue.out / "0000.a2.png").unlink()
    assert list_made(catalogue, resume=True) == ["0000", "0001"]


def test_resume_trusts_size_and_time(catalogue: Catalogue) -> None:
    catalogue.add(2)
    catalogue.run()
    photo = catalogue.photos / "0000.png"
    state, data = photo.stat(), bytearray(photo.read_bytes())
    data[-1] ^= 1
    photo.write_bytes(data)
    os.utime(photo, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert list_made(catalogue, resume=True) == []
    os.utime(photo, ns=(5, 5))
    photo.write_bytes((catalogue.photos / "0001.png").read_bytes())
    assert list_made(catalogue, resume=True) == ["0000"]


def test_failures_are_tried_again_and_their_rows_go(catalogue: Catalogue) -> None:
    catalogue.add(4, bad=2)
    catalogue.run()
    assert len(catalogue.read("failures.jsonl")) == 2
    shutil.copy(catalogue.photos / "0000.png", catalogue.photos / "0001.png")
    again = catalogue.run(resume=True)
    assert [(o.skipped, o.error is None) for o in again] == [
        (True, True),
        (False, True),
        (True, True),
        (False, False),
    ]
    (failure,) = catalogue.read("failures.jsonl")
    assert "0003.png" in failure["source"]
    (catalogue.photos / "0000.png").write_bytes(b"")
    catalogue.run()
    assert len(catalogue.read("failures.jsonl")) == 2 and len(catalogue.read("results.jsonl")) == 2


def test_refusals_of_a_manifest_are_listed_by_line_until_they_are_mended(catalogue: Catalogue) -> None:
    catalogue.add(2)
    good = (
        '{"id": "a", "source": "photos/0000.png"}\n{"id": "b", "source": "photos/0001.png", "prompt": "x"}\n'
    )
    manifest = catalogue.folder / "jobs.jsonl"
    manifest.write_text("{broken\n" + good + '{"id": "a", "source": "photos/0000.png"}\n')
    outcomes = catalogue.run(sources=(), manifest="jobs.jsonl")
    assert [(o.kind, o.line) for o in outcomes] == [("refused", 1), ("", None), ("", None), ("refused", 4)]
    assert [(row["line"], row["kind"]) for row in catalogue.read("failures.jsonl")] == [
        (1, "refused"),
        (4, "refused"),
    ]
    manifest.write_text(good)
    assert [o.skipped for o in catalogue.run(sources=(), manifest="jobs.jsonl", resume=True)] == [True, True]
    assert catalogue.read("failures.jsonl") == []


def test_a_dry_run_plans_and_writes_nothing(catalogue: Catalogue) -> None:
    catalogue.add(4, bad=1)
    outcomes = catalogue.run(dry_run=True)
    assert [o.error is None for o in outcomes] == [True, False, True, True]
    assert all(result.planned for o in outcomes for result in o.results)
    assert not catalogue.out.exists()


def test_several_pictures_an_item_are_rows_of_one_item(catalogue: Catalogue) -> None:
    catalogue.add(2)
    catalogue.run(num_images=2)
    rows = catalogue.read("results.jsonl")
    assert [row["image"] for row in rows] == [0, 1, 0, 1] and len({row["out"] for row in rows}) == 4
    (catalogue.out / rows[1]["out"]).unlink()
    assert list_made(catalogue, num_images=2, resume=True) == ["0000"]


def test_a_model_that_cannot_be_loaded_stops_the_run(catalogue: Catalogue) -> None:
    catalogue.add(4, bad=1)
    with pytest.raises(BackboneError, match="no such model folder"):
        catalogue.run(model="/no/such/model")
    assert catalogue.read("results.jsonl") == [] and catalogue.read_outputs() == {}


def test_closing_early_keeps_what_was_done(catalogue: Catalogue) -> None:
    """What a broken pipe on stdout does."""
    catalogue.add(4)
    outcomes = run_batch(catalogue.build(), lambda: b"")
    next(outcomes), next(outcomes)
    outcomes.close()
    assert len(catalogue.read("results.jsonl")) == 2 == len(catalogue.read_outputs())
    assert list_made(catalogue, resume=True) == ["0002", "0003"]


def test_what_another_process_has_in_hand_is_looked_at_again(catalogue: Catalogue) -> None:
    from a2cli.batch.locks import Locks

    catalogue.add(3)
    catalogue.run()
    first = catalogue.read("results.jsonl")[0]["id"]
    catalogue.out.joinpath("0000.a2.png").unlink()
    outcomes = catalogue.start(resume=True)
    with Locks(catalogue.out).claim(first) as held:
        assert held
        assert [next(outcomes).job.source for _ in range(2)] == ["photos/0001.png", "photos/0002.png"]
    (last,) = outcomes
    assert last.job.id == first and not last.skipped and catalogue.out.joinpath("0000.a2.png").exists()


@pytest.mark.parametrize("resume", [True, False])
def test_two_batches_on_one_folder_share_the_work(catalogue: Catalogue, resume: bool) -> None:
    """Without --resume as well: what the other one made since this one began is left as it is."""
    catalogue.add(6, bad=1)
    ours, theirs = catalogue.start(resume=resume), catalogue.start(resume=resume)
    made = [next(ours), next(theirs), next(theirs), next(theirs), *ours, *theirs]
    ids = [o.job.id for o in made if not o.skipped and not o.error]
    anew = [] if resume else ["photos/0000.png"]  # made before the second one began
    assert sorted(ids) == sorted([*set(ids), *anew]) and len(set(ids)) == 5
    assert sum(o.skipped for o in made) == 5 - len(anew) and sum(o.error is not None for o in made) == 2
    assert len(catalogue.read("results.jsonl")) == 5 and len(catalogue.read("failures.jsonl")) == 1
    assert len(catalogue.read_outputs()) == 5


def test_the_preview_never_replaces_an_input(catalogue: Catalogue) -> None:
    catalogue.add(2)
    before = {p: p.read_bytes() for p in catalogue.photos.iterdir()}
    with pytest.raises(ConfigError, match=r"0001\.png: would replace an input"):
        catalogue.run(preview="photos/0001.png")
    for name, message in (("sheet.txt", "not a picture's name"), ("no/sheet.png", "no such folder")):
        with pytest.raises(ConfigError, match=message):
            catalogue.run(preview=name)
    assert {p: p.read_bytes() for p in catalogue.photos.iterdir()} == before


def test_names_of_every_kind_end_in_one_right_output_each(catalogue: Catalogue) -> None:
    from pictures import encode, make_scene

    names = ["a b.png", "-dash.png", "new\nline.png", "caf\u00e9.png", "n" * 251 + ".png", "x.jpg", "x.png"]
    for name in names:
        data = encode(make_scene(), "JPEG" if name.endswith("jpg") else "PNG")
        (catalogue.photos / name).write_bytes(data)
    outcomes = catalogue.run(mask=BOX)
    assert all(o.error is None for o in outcomes), [o.error for o in outcomes]
    assert len({o.results[0].path for o in outcomes}) == len(names) == len(catalogue.read_outputs())
    assert all(o.skipped for o in catalogue.run(resume=True))
