"""Supervised processes: what crashes, hangs or fails in one of them, and what they leave behind."""

from __future__ import annotations

import os
import signal
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from tasks import build_clerk, build_nothing, open_pool, put_aside

from a2cli.errors import ConfigError
from a2cli.supervised.pool import Pool, Rules


def test_a_task_that_crashes_or_hangs_is_put_aside_and_the_rest_is_done(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tasks = ["a", "crash", "b", "stumble", "hang", "c", "d"]
    with open_pool(tmp_path, 2) as pool:
        answers = list(pool.map(iter(tasks)))
    assert [task for task, _ in answers] == tasks
    said = dict(answers)
    assert said["crash"] == "crashed its worker: exit code -9, 2 tries"
    assert said["hang"] == "took too long: more than 0.7 s, 2 tries"
    slots = {said[task].split()[0] for task in ("a", "b", "stumble", "c", "d")}
    assert slots <= {"0", "1"} and (tmp_path / "stumbled").exists()
    assert "noise" not in capfd.readouterr().out


def test_each_worker_has_a_slot_of_its_own_and_its_successor_takes_it(tmp_path: Path) -> None:
    with open_pool(tmp_path, 2) as pool:
        first = {}
        deadline = time.monotonic() + 30
        while len(first) < 2:
            assert time.monotonic() < deadline
            first.update(answer.split() for _, answer in pool.map(["a", "b", "c", "d"]))
        os.kill(int(first["1"]), signal.SIGKILL)
        after: dict[str, str] = {}
        while len(after) < 2:
            assert time.monotonic() < deadline
            after.update(answer.split() for _, answer in pool.map(["e", "f", "g", "h"]))
    assert first.keys() == after.keys() == {"0", "1"}
    assert len(set(first.values())) == len(set(after.values())) == 2
    assert first["1"] not in after.values()


def test_what_the_work_raises_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no task can be done") as caught, open_pool(tmp_path) as pool:
        list(pool.map(["a", "refuse", "b"]))
    assert caught.value.hint == "do none"


def test_a_worker_that_cannot_be_made_says_why() -> None:
    with (
        pytest.raises(ConfigError, match=r"worker 0 cannot be made \(try another day\)"),
        Pool(build_nothing, Rules(1, 30), put_aside) as pool,
    ):
        list(pool.map(["a"]))


def test_a_worker_stopped_in_the_midst_of_a_task_takes_it_back(tmp_path: Path) -> None:
    """FAULTS 29."""
    beside = tmp_path / "beside.tmp"
    seen = []

    def press() -> None:
        deadline = time.monotonic() + 30
        while not beside.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        seen.append(beside.exists())
        os.kill(os.getpid(), signal.SIGINT)

    pool = Pool(partial(build_clerk, tmp_path), Rules(1, 60, rolls_back=True), put_aside)
    watch = threading.Thread(target=press)
    with pytest.raises(KeyboardInterrupt), pool:
        watch.start()
        list(pool.map(["write"]))
    watch.join()
    assert seen == [True] and not beside.exists()
