"""Work for supervised processes: well-behaved, crashing, hanging, failing, leaving traces."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from a2cli.errors import ConfigError
from a2cli.supervised.pool import Pool, Rules

Answer = tuple[str, str]


def build_clerk(folder: Path, slot: int) -> Callable[[str], Answer]:
    """What answers (task, "slot pid"); it does what a task's first word says."""

    def work(task: str) -> Answer:
        word = task.split()[0]
        if word == "crash" or (word == "stumble" and not (folder / "stumbled").exists()):
            (folder / "stumbled").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if word == "hang":
            time.sleep(600)
        if word == "refuse":
            raise ConfigError("no task can be done", hint="do none")
        if word == "write":
            write_slowly(folder)
        print("noise of a library")
        return task, f"{slot} {os.getpid()}"

    return work


def write_slowly(folder: Path) -> None:
    beside = folder / "beside.tmp"
    beside.touch()
    try:
        time.sleep(600)
    finally:
        beside.unlink()


def build_nothing(slot: int) -> Callable[[str], Answer]:
    raise ConfigError(f"worker {slot} cannot be made", hint="try another day")


def put_aside(task: str, reason: str, detail: str) -> Answer:
    return task, f"{reason}: {detail}"


def open_pool(folder: Path, workers: int = 1) -> Pool[str, Answer]:
    """A pool of clerks that are soon given up."""
    return Pool(partial(build_clerk, folder), Rules(workers, 0.7, 1, rolls_back=True), put_aside)
