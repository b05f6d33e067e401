"""Work in several processes: order, errors as they are, nobody left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from a2cli.data.processes import work_in_order
from a2cli.errors import ConfigError, DataError


def make_square(number: int) -> int:
    time.sleep(0.002 * (number % 3))
    return number * number


def make_or_fail(number: int) -> int:
    if number == 9:
        raise DataError("nine.png: cannot be read", hint="try ten")
    return number


def die(number: int) -> int:
    if number == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def note_and_wait(folder: Path, number: int) -> int:
    (folder / str(os.getpid())).touch()
    time.sleep(30)
    return number


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_come_in_order(workers: int) -> None:
    numbers = [3, 1, *range(50, 90)]
    squares = [(number, number**2) for number in numbers]
    assert list(work_in_order(make_square, iter(numbers), workers, start="fork")) == squares
    assert list(work_in_order(make_square, range(0), workers)) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_is_the_same_in_a_worker(workers: int) -> None:
    rows = work_in_order(make_or_fail, range(40), workers, start="fork")
    with pytest.raises(DataError) as caught:
        list(rows)
    assert str(caught.value) == "nine.png: cannot be read (try ten)"


def test_a_worker_that_dies_is_told_in_a_line() -> None:
    with pytest.raises(DataError, match=r"a worker process died \(out of memory"):
        list(work_in_order(die, range(20), 2, start="fork"))


def test_no_worker_is_refused() -> None:
    with pytest.raises(ConfigError, match="workers must be 1 or more, not 0"):
        list(work_in_order(make_square, range(3), 0))


def test_a_few_items_are_ahead_and_no_more() -> None:
    taken: list[int] = []
    items = (taken.append(number) or number for number in range(1000))
    with closing(work_in_order(make_square, items, 2, start="fork")) as rows:
        assert next(rows) == (0, 0)
        assert 2 <= len(taken) <= 20


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_end_with_a_parent_that_was_killed(start: str, tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from functools import partial; from pathlib import Path\n"
        "import test_processes as t\n"
        f"work = partial(t.note_and_wait, Path({str(tmp_path)!r}))\n"
        f"list(t.work_in_order(work, range(40), 2, start={start!r}))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
    workers = [int(path.name) for path in tmp_path.iterdir()]
    parent.kill()
    parent.wait()
    wait_until(lambda: not any(map(is_running, workers)))


def is_running(process: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{process}/stat").read_text()  # a zombie only waits to be noticed
    except FileNotFoundError:
        return False


def wait_until(is_so: partial[bool] | object) -> None:
    deadline = time.monotonic() + 20
    while not is_so():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)
