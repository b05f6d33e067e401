"""Supervised worker processes: one that crashes or hangs is replaced, and its task put aside after its retries."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.resource_tracker import ensure_running
from typing import Any, Generic, Protocol, TypeVar

from pebble import ProcessExpired, ProcessPool

from a2cli.errors import DataError
from a2cli.supervised.process import Make, Settings, run, start

AHEAD = 3  # tasks a worker that wait: enough to keep it busy, few enough to stay in memory
MOST_BREAKS = 6  # times in a row that all workers end without a result, before it is they that are broken

Task = TypeVar("Task")
Result = TypeVar("Result")


class Engine(Protocol[Task, Result]):
    """Turns tasks into results, in order, and puts a task aside rather than fail for it; a context manager."""

    def __enter__(self) -> Engine[Task, Result]: ...

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None: ...

    def map(self, tasks: Iterable[Task]) -> Iterator[Result]: ...


@dataclass(frozen=True)
class Rules:
    """How many workers, how long a task may take (s), and how often it is tried again after a crash or that time.

    `share_threads` and `rolls_back` as in `process.Settings`.
    """

    workers: int = 1
    timeout_s: float = 600.0
    retries: int = 1
    share_threads: bool = True
    rolls_back: bool = False


@dataclass
class _Running(Generic[Task, Result]):
    """A task on its way, and how often it was tried."""

    task: Task
    future: Future[Result]
    tries: int = 1


class Pool(Generic[Task, Result]):
    """Worker processes that run what `make(slot)` builds in each of them; a context manager.

    `make` travels to the processes. `put_aside(task, reason, detail)` is the result of a task that crashed its worker
    or took too long on every try. What the work itself raises ends `map`. Leaving the block with an error stops the
    workers in the midst of their tasks.
    """

    def __init__(self, make: Make, rules: Rules, put_aside: Callable[[Task, str, str], Result]) -> None:
        self.rules, self._put_aside = rules, put_aside
        self._slots = tempfile.NamedTemporaryFile(prefix="a2-slots-")  # noqa: SIM115, open as long as the pool
        self._settings = Settings(
            make, rules.workers, self._slots.name, os.getpid(), rules.share_threads, rules.rolls_back
        )
        self._pool = self._open()
        self._breaks = 0

    def _open(self) -> ProcessPool:
        pool = ProcessPool(
            max_workers=self.rules.workers,
            initializer=start,
            initargs=(self._settings,),
            context=multiprocessing.get_context("spawn"),
        )
        with _hold_interrupts():
            started: bool = pool.active  # asking starts it
        assert started
        return pool

    def __enter__(self) -> Pool[Task, Result]:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if error is None:
            self._pool.close()
        else:
            self._pool.stop()
        self._pool.join()
        self._slots.close()

    def map(self, tasks: Iterable[Task]) -> Iterator[Result]:
        """Do tasks, a few ahead of the results; those come in the order of the tasks."""
        waiting: deque[_Running[Task, Result]] = deque()
        for task in tasks:
            waiting.append(_Running(task, self._submit(task)))
            if len(waiting) >= AHEAD * self.rules.workers:
                yield self._finish(waiting.popleft(), waiting)
        while waiting:
            yield self._finish(waiting.popleft(), waiting)

    def _submit(self, task: Task) -> Future[Result]:
        while True:
            try:
                future: Future[Result] = self._pool.schedule(run, args=[task], timeout=self.rules.timeout_s)
                return future
            except RuntimeError:  # all workers ended while nothing ran
                self._replace()

    def _finish(self, running: _Running[Task, Result], waiting: Iterable[_Running[Task, Result]]) -> Result:
        while True:
            try:
                done = running.future.result()
                self._breaks = 0
                return done
            except FutureTimeout:
                reason, detail = "took too long", f"more than {self.rules.timeout_s:g} s"
            except ProcessExpired as error:
                reason, detail = "crashed its worker", f"exit code {error.exitcode}"
            except (
                BrokenProcessPool
            ):  # so early that pebble cannot tell whose crash it was: the oldest task's
                reason, detail = "crashed its worker", "at once"
                for other in waiting:
                    if not other.future.done() or isinstance(other.future.exception(), BrokenProcessPool):
                        other.future = self._submit(other.task)
            if running.tries > self.rules.retries:
                return self._put_aside(running.task, reason, f"{detail}, {running.tries} tries")
            running.tries += 1
            running.future = self._submit(running.task)

    def _replace(self) -> None:
        """New workers for those that are gone."""
        self._breaks += 1
        if self._breaks > MOST_BREAKS:
            raise DataError(
                "the worker processes end before they do anything", hint="check memory and limits"
            )
        self._pool.stop()
        self._pool.join()
        self._pool = self._open()


@contextmanager
def _hold_interrupts() -> Iterator[None]:
    """Ctrl-C reaches this thread after the block, and never the threads and processes that are started in it."""
    ensure_running()  # starting multiprocessing's tracker would lift the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
