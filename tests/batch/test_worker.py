"""One worker: out of memory, unexpected failures, a full disk; none of them ends it, and none spoils a later item."""

from __future__ import annotations

import errno
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from batches import Catalogue
from PIL import Image

from a2cli.backbones.flux import NanoBackbone
from a2cli.batch.run import SAME_FAILURES
from a2cli.batch.worker import Outcome, Worker
from a2cli.config.edit import EditConfig
from a2cli.errors import A2Error, DataError

Plant = Callable[[Callable[[int], BaseException | None]], None]


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Let the model fail as told at its n-th edit, counted from 1."""
    build = NanoBackbone.build_condition

    def plant(choose: Callable[[int], BaseException | None]) -> None:
        calls = 0

        def build_or_fail(self: NanoBackbone, *arguments: Any) -> Any:
            nonlocal calls
            calls += 1
            if (error := choose(calls)) is not None:
                raise error
            return build(self, *arguments)

        monkeypatch.setattr(NanoBackbone, "build_condition", build_or_fail)

    return plant


def fail_at(*places: int, error: Callable[[], BaseException]) -> Callable[[int], BaseException | None]:
    return lambda call: error() if call in places else None


def run_out() -> BaseException:
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


def test_out_of_memory_is_retried_smaller_once_and_later_items_are_as_ever(
    catalogue: Catalogue, plant: Plant
) -> None:
    """FAULTS 26: the third item fits when it is smaller, the fifth does not fit at all."""
    catalogue.add(6)
    catalogue.run(out="calm/")
    plant(fail_at(3, 6, 7, error=run_out))
    outcomes = catalogue.run()
    smaller = "at 32 px instead of 64 px"
    assert [o.retried for o in outcomes] == ["", "", smaller, "", "", ""]
    assert [o.kind for o in outcomes] == ["", "", "", "", "memory", ""]
    calm, made = catalogue.read_outputs("calm"), catalogue.read_outputs()
    assert [made.get(name) == calm[name] for name in sorted(calm)] == [True, True, False, True, False, True]
    (row,) = [row for row in catalogue.read("results.jsonl") if row["retried"]]
    assert (row["retried"], row["out"]) == (smaller, "0002.a2.png")
    assert json.loads(Image.open(catalogue.out / row["out"]).info["a2"])["working"] == 32
    (failure,) = catalogue.read("failures.jsonl")
    assert failure["reason"] == f"photos/0004.png: out of memory, also {smaller}" == outcomes[4].error
    assert failure["kind"] == "memory" and "--offload" in failure["hint"]


def test_out_of_memory_while_loading_stops_the_run(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any, **settings: Any) -> None:
        raise run_out()

    catalogue.add(2)
    monkeypatch.setattr(NanoBackbone, "load", refuse)
    with pytest.raises(A2Error, match=r"out of memory while the model was loaded .*--offload"):
        catalogue.run()


def test_unexpected_failures_are_listed_with_their_type(catalogue: Catalogue, plant: Plant) -> None:
    catalogue.add(3)
    plant(fail_at(2, error=lambda: KeyError("latents")))
    outcomes = catalogue.run()
    assert [o.kind for o in outcomes] == ["", "unexpected", ""]
    assert outcomes[1].error == "photos/0001.png: unexpected failure: KeyError: 'latents'"
    (row,) = catalogue.read("failures.jsonl")
    assert row["kind"] == "unexpected" and "KeyError" in row["reason"]


def test_failing_alike_again_and_again_stops_the_run(catalogue: Catalogue, plant: Plant) -> None:
    catalogue.add(9)
    plant(lambda call: RuntimeError("device-side assert triggered") if call > 1 else None)
    seen: list[Outcome] = []
    with pytest.raises(A2Error, match=r"5 items in a row failed alike, .*device-side assert.*--resume"):
        seen.extend(catalogue.start())
    assert (
        len(catalogue.read("failures.jsonl")) == SAME_FAILURES and len(catalogue.read("results.jsonl")) == 1
    )


def test_failing_each_in_its_own_way_does_not(catalogue: Catalogue, plant: Plant) -> None:
    catalogue.add(8)
    plant(lambda call: ValueError(f"reason {call // 3}") if call > 1 else None)
    assert [o.kind for o in catalogue.run()] == ["", *["unexpected"] * 7]


def test_a_full_disk_stops_the_run(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS 23: what was done stays, no temporary is left."""
    catalogue.add(3)
    replace, pictures = os.replace, 0

    def replace_until_full(source: Any, target: Any) -> None:
        nonlocal pictures
        pictures += str(target).endswith(".png")
        if pictures == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(os, "replace", replace_until_full)
    with pytest.raises(DataError, match=r"0001\.a2\.png: cannot be written: No space left on device"):
        catalogue.run()
    monkeypatch.undo()
    os.chdir(catalogue.folder)
    assert list(catalogue.read_outputs()) == ["0000.a2.png"] and len(catalogue.read("results.jsonl")) == 1
    assert [o.skipped for o in catalogue.run(resume=True)] == [True, False, False]


def test_what_a_worker_takes_and_gives_can_be_sent(catalogue: Catalogue) -> None:
    from a2cli.batch.plan import plan_jobs

    catalogue.add(2, bad=1)
    config: EditConfig = pickle.loads(pickle.dumps(catalogue.build(preview="sheet.png")))
    worker = Worker(config)
    (catalogue.folder / "out").mkdir()
    outcomes = [worker(pickle.loads(pickle.dumps(job))) for job in plan_jobs(config, lambda: b"")]  # type: ignore[arg-type]
    again = [pickle.loads(pickle.dumps(outcome)) for outcome in outcomes]
    assert [(o.job, o.results, o.error) for o in again] == [(o.job, o.results, o.error) for o in outcomes]
    assert [o.kind for o in again] == ["", "data"] and len(again[0].preview) == 4


def test_a_damaged_record_costs_an_edit_and_no_more(catalogue: Catalogue) -> None:
    catalogue.add(2)
    catalogue.run()
    path = Path("out/results.jsonl")
    rows = catalogue.read("results.jsonl")
    for damage in (
        {"finished": "now"},
        {"inputs": 3},
        {"inputs": {"source": []}},
        {"out": None},
        {"width": "x"},
    ):
        path.write_text("".join(json.dumps(row | damage) + "\n" for row in rows))
        assert all(o.error is None for o in catalogue.run(resume=True)), damage
    del rows[0]["width"]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [o.skipped for o in catalogue.run(resume=True)] == [False, True]
