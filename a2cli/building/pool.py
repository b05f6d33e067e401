"""Supervised worker processes: one that crashes or hangs is replaced, and its task put aside after its retries."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.resource_tracker import ensure_running
from pathlib import Path
from typing import Any, Protocol

from a2cli.building.chain import Chain, Progress
from a2cli.building.config import BuildConfig
from a2cli.building.records import Item, Reject
from a2cli.errors import DataError
from a2cli.quiet import quieten_libraries

AHEAD = 3  # tasks a worker that wait: enough to keep it busy, few enough to stay in memory
MOST_BREAKS = 6  # times in a row that all workers end without a result, before it is they that are broken
_chain: Chain | None = None  # of a worker process


class Engine(Protocol):
    """Takes tasks through the stages, in order, and never raises for one; a context manager."""

    def __enter__(self) -> Engine: ...

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None: ...

    def map(self, tasks: Iterable[Progress]) -> Iterator[Progress]: ...


@dataclass
class _Running:
    """A task on its way, and how often it was tried."""

    progress: Progress
    future: Future[Progress]
    tries: int = 1


class Pool:
    """`workers` processes that take tasks through the stages `names`; a context manager."""

    def __init__(
        self,
        config: BuildConfig,
        cache: Path,
        names: tuple[str, ...] | None = None,
        workers: int | None = None,
    ) -> None:
        self.config, self.workers = config, workers or config.workers
        self._arguments = (config, cache, names, self.workers, os.getpid())
        self._pool = self._open()
        self._breaks = 0

    def _open(self) -> Any:
        try:
            from pebble import ProcessPool
        except ImportError as error:
            raise DataError("pebble is not installed", hint="pip install 'a2cli[dataset]'") from error
        pool = ProcessPool(
            max_workers=self.workers,
            initializer=_start,
            initargs=self._arguments,
            context=multiprocessing.get_context("spawn"),
        )
        with _hold_interrupts():
            started: bool = pool.active  # asking starts it
        assert started
        return pool

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if error is None:
            self._pool.close()
        else:
            self._pool.stop()
        self._pool.join()

    def map(self, tasks: Iterable[Progress]) -> Iterator[Progress]:
        """Take tasks through the stages; results come in the order of the tasks, and never an exception for one."""
        waiting: deque[_Running] = deque()
        for progress in tasks:
            waiting.append(_Running(progress, self._submit(progress)))
            if len(waiting) >= AHEAD * self.workers:
                yield self._finish(waiting.popleft(), waiting)
        while waiting:
            yield self._finish(waiting.popleft(), waiting)

    def _submit(self, progress: Progress) -> Future[Progress]:
        while True:
            try:
                future: Future[Progress] = self._pool.schedule(
                    _run, args=[progress], timeout=self.config.timeout_s
                )
                return future
            except RuntimeError:  # all workers ended while nothing ran
                self._replace()

    def _finish(self, running: _Running, waiting: Iterable[_Running]) -> Progress:
        from pebble import ProcessExpired

        while True:
            try:
                done = running.future.result()
                self._breaks = 0
                return done
            except FutureTimeout:
                reason, detail = "took too long", f"more than {self.config.timeout_s:g} s"
            except ProcessExpired as error:
                reason, detail = "crashed its worker", f"exit code {error.exitcode}"
            except (
                BrokenProcessPool
            ):  # a crash so early that pebble cannot tell whose it was: the oldest task's
                reason, detail = "crashed its worker", "at once"
                for other in waiting:
                    if not other.future.done() or isinstance(other.future.exception(), BrokenProcessPool):
                        other.future = self._submit(other.progress)
            if running.tries > self.config.retries:
                return _put_aside(running.progress, reason, f"{detail}, {running.tries} tries")
            running.tries += 1
            running.future = self._submit(running.progress)

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


def _put_aside(progress: Progress, reason: str, detail: str) -> Progress:
    state = progress.state
    dropped = state.dropped if isinstance(state, Item) else {}
    reject = Reject(progress.task.input.id, "worker", reason, detail, dropped, failed=True)
    return Progress(progress.task, reject, progress.seconds)


def _start(
    config: BuildConfig, cache: Path, names: tuple[str, ...] | None, workers: int, parent: int
) -> None:
    """Make a worker process ready: its share of the cores, its stages, and an end when its parent is gone."""
    global _chain
    import cv2

    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with suppress(OSError):
        os.dup2(2, 1)  # results alone go to stdout, whatever a library prints
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
    cv2.setNumThreads(1)
    quieten_libraries()
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    _chain = Chain(config, cache, names)


@contextmanager
def _hold_interrupts() -> Iterator[None]:
    """Ctrl-C reaches this thread after the block, and never the threads and processes that are started in it."""
    ensure_running()  # starting multiprocessing's tracker would lift the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)  # killed with -9: nobody is left to send the result to


def _run(progress: Progress) -> Progress:
    assert _chain is not None
    return _chain(progress)
