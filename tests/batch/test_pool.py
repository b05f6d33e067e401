"""Batches in worker processes, here and on a cluster: the same bytes and records as in one; crashes cost their item."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batches import Catalogue
from test_stops import check_finished, read_line, start

from a2cli.batch.cluster import RayPool, _open_pool
from a2cli.batch.job import Job
from a2cli.batch.locks import FOLDER
from a2cli.batch.plan import plan_jobs
from a2cli.batch.pool import LocalPool, get_worker_device, warn_of_threads
from a2cli.config.edit import EditConfig
from a2cli.errors import ConfigError
from a2cli.supervised.cluster import get_gpu_share


def strip(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without times, in the order of their ids."""
    kept = [{k: v for k, v in row.items() if k not in ("seconds", "finished")} for row in rows]
    return sorted(kept, key=lambda row: str(row["id"]))


def test_a_worker_process_makes_what_this_one_makes(catalogue: Catalogue) -> None:
    catalogue.add(3, bad=1)
    alone = catalogue.run()
    config = catalogue.build(out="there/")
    with LocalPool(config, workers=1) as pool:
        outcomes = list(pool.map(list_jobs(config)))
    assert [(o.job.id, o.kind, o.error, o.fingerprint) for o in outcomes] == [
        (o.job.id, o.kind, o.error, o.fingerprint) for o in alone
    ]
    assert [o.kind for o in outcomes] == ["", "data", ""]
    assert catalogue.read_outputs("there") == catalogue.read_outputs()
    assert strip(catalogue.read("results.jsonl", "there")) == strip(catalogue.read("results.jsonl"))


@pytest.mark.slow
def test_two_workers_give_the_bytes_and_records_of_one(catalogue: Catalogue) -> None:
    catalogue.add(7, bad=1)
    alone = catalogue.run()
    assert [len(o.results) for o in alone] == [1, 0, 1, 1, 1, 1, 1]
    expected, rows = catalogue.read_outputs(), strip(catalogue.read("results.jsonl"))
    failures = strip(catalogue.read("failures.jsonl"))
    assert len(expected) == len(rows) == 6 and len(failures) == 1
    outcomes = catalogue.run(workers=2, out="both/")
    assert [o.job.id for o in outcomes] == [o.job.id for o in alone]
    assert [(o.kind, o.error, o.fingerprint) for o in outcomes] == [
        (o.kind, o.error, o.fingerprint) for o in alone
    ]
    assert catalogue.read_outputs("both") == expected
    assert strip(catalogue.read("results.jsonl", "both")) == rows
    assert strip(catalogue.read("failures.jsonl", "both")) == failures
    # what is done is left alone, whoever did it
    assert all(
        o.skipped for o in catalogue.run(workers=1, skip_existing=True, out="both/") if o.error is None
    )


@pytest.mark.slow
def test_a_killed_worker_costs_no_item(catalogue: Catalogue) -> None:
    catalogue.add(4)
    config = catalogue.build(retries=2)
    jobs = list_jobs(config)

    def list_and_kill() -> Iterator[Job]:
        for number, job in enumerate(jobs):
            if number == 3:  # what is ahead of the results is on its way
                for child in list_children():
                    os.kill(child, signal.SIGKILL)
            yield job

    with LocalPool(config, workers=1) as pool:
        outcomes = list(pool.map(list_and_kill()))
    assert [o.job for o in outcomes] == jobs
    assert [o.error for o in outcomes] == [None] * 4
    assert len(catalogue.read_outputs()) == 4


@pytest.mark.slow
@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stopped_with_workers_it_leaves_none_and_is_finished_by_a_rerun(
    catalogue: Catalogue, blow: signal.Signals
) -> None:
    """FAULTS 22, 29: Ctrl-C reaches all of a terminal's processes, the others the first alone."""
    catalogue.add(12, bad=1)
    catalogue.run(out="calm/")
    process = start(catalogue, batch={"workers": 2})
    while read_line(process).split()[0] != "made":
        assert process.poll() is None
    children = list_children(process.pid)
    assert len(children) == 2
    for one in (*children, process.pid) if blow == signal.SIGINT else (process.pid,):
        os.kill(one, blow)
    assert process.wait(60) == {signal.SIGINT: 130, signal.SIGTERM: 143}.get(blow, -signal.SIGKILL)
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < deadline, "a worker outlives the batch"
        time.sleep(0.05)
    assert 1 <= len(catalogue.read("results.jsonl")) < 11
    if blow != signal.SIGKILL:
        assert not list(catalogue.out.rglob("*.tmp")) and not (catalogue.out / FOLDER).exists()
    catalogue.run(resume=True)
    check_finished(catalogue, "calm", 12, 1)


def list_jobs(config: EditConfig) -> list[Job]:
    return [job for job in plan_jobs(config, lambda: b"") if isinstance(job, Job)]


def list_children(process: int | None = None) -> list[int]:
    """The worker processes of one (None: this), without the tracker of multiprocessing."""
    process = process or os.getpid()
    found = [
        pid for task in Path(f"/proc/{process}/task").glob("*/children") for pid in task.read_text().split()
    ]
    lines = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in found}
    return [pid for pid, line in lines.items() if b"spawn_main" in line]


@pytest.mark.slow
def test_what_takes_too_long_is_listed(catalogue: Catalogue) -> None:
    catalogue.add(2)
    outcomes = catalogue.run(workers=2, timeout_s=0.01, retries=0)
    assert [o.kind for o in outcomes] == ["worker"] * 2
    rows = catalogue.read("failures.jsonl")
    assert [row["reason"] for row in rows] == ["took too long: more than 0.01 s, 1 tries"] * 2
    assert "--timeout" in rows[0]["hint"] and not catalogue.read_outputs()


def test_workers_are_spread_over_the_gpus() -> None:
    assert [get_worker_device("auto", slot, 2) for slot in range(4)] == [
        "cuda:0",
        "cuda:1",
        "cuda:0",
        "cuda:1",
    ]
    assert get_worker_device("cuda", 1, 4) == "cuda:1"
    assert get_worker_device("cuda:1", 0, 4) == "cuda:1"  # named by the user
    assert get_worker_device("cpu", 1, 2) == "cpu"
    assert get_worker_device("auto", 1, 0) == "auto"
    assert [get_gpu_share(gpus, 4) for gpus in (0, 0.5, 1, 2, 3, 4, 8)] == [0, 0, 1 / 4, 1 / 2, 1 / 2, 1, 1]


def test_too_many_threads_are_warned_of(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    cores = os.cpu_count() or 1
    with caplog.at_level(logging.WARNING, "a2cli"):
        monkeypatch.setenv("OMP_NUM_THREADS", str(cores))
        for device, workers in (("cpu", 1), ("cuda:0", 2), ("cuda", 2)):
            warn_of_threads(device, workers)
        assert caplog.messages == []
        warn_of_threads("cpu", 2)
        (said,) = caplog.messages
        assert said.startswith(
            f"2 workers of {cores} threads share {cores} cores; OMP_NUM_THREADS=1 is faster"
        )
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        warn_of_threads("cpu", cores)
        assert caplog.messages == [said]


def test_a_machine_of_another_version_or_without_the_folder_is_named(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"runs a2 .*, this is 0\.0\.1"):
        _open_pool(catalogue.build(), str(tmp_path), "0.0.1")
    from a2cli import __version__

    with pytest.raises(
        ConfigError, match=r"elsewhere: a machine of the cluster does not see it: No such file"
    ):
        _open_pool(catalogue.build(), str(tmp_path / "elsewhere"), __version__)


@pytest.mark.slow
def test_a_ray_cluster_gives_the_same_bytes_and_records(catalogue: Catalogue) -> None:
    catalogue.add(7, bad=1)
    alone = catalogue.run()
    outcomes = catalogue.run(workers=2, engine="ray", out="ray/")
    assert [(o.job.id, o.kind, o.fingerprint) for o in outcomes] == [
        (o.job.id, o.kind, o.fingerprint) for o in alone
    ]
    assert catalogue.read_outputs("ray") == catalogue.read_outputs()
    for name in ("results.jsonl", "failures.jsonl"):
        assert strip(catalogue.read(name, "ray")) == strip(catalogue.read(name))


def test_a_cluster_that_does_not_answer_is_named(catalogue: Catalogue) -> None:
    with pytest.raises(ConfigError, match=r"no Ray cluster at 127\.0\.0\.1:9"):
        RayPool(catalogue.build(workers=2, engine="ray", address="127.0.0.1:9"))
