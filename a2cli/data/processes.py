"""Numbered work in several processes: results in order, a bounded number of them ahead, nothing left running."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection, parent_process
from typing import TypeVar

import cv2

from a2cli.errors import DataError

_T = TypeVar("_T")
_AT_ONCE = 4  # numbers that a process takes at a time
_AHEAD = 3  # times as many per process are on their way
_STOPS = (signal.SIGINT, signal.SIGTERM)


def make_in_order(make: Callable[[int], _T], numbers: Sequence[int], workers: int) -> Generator[_T]:
    """Yield `make(number)` for every number, in their order, made by `workers` processes; one is this process itself.

    `make` must be picklable. What it raises ends the row; processes end with the row, with the generator, and when this
    process is killed. Raises `DataError` when one of them dies.
    """
    if workers <= 1 or len(numbers) <= 1:
        yield from map(make, numbers)
        return
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # a forked process inherits OpenCV's pool without its threads, and waits for them
    pool = ProcessPoolExecutor(min(workers, len(numbers)), initializer=_settle)
    try:
        ahead: deque[Future[list[_T]]] = deque()
        for start in range(0, len(numbers), _AT_ONCE):
            with _holding_signals():  # a process that starts here first learns what to do with them
                ahead.append(pool.submit(_make_all, make, numbers[start : start + _AT_ONCE]))
            if len(ahead) >= _AHEAD * workers:
                yield from ahead.popleft().result()
        while ahead:
            yield from ahead.popleft().result()
    except BrokenProcessPool as error:
        raise DataError("a worker process died", hint="out of memory? try fewer --workers") from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        cv2.setNumThreads(threads)


def _make_all(make: Callable[[int], _T], numbers: Sequence[int]) -> list[_T]:
    return [make(number) for number in numbers]


@contextmanager
def _holding_signals() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _settle() -> None:
    """Leave Ctrl-C to the parent, end at SIGTERM, and end when the parent is gone, however it went."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
    cv2.setNumThreads(1)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
