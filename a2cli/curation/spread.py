"""A function over many records in several processes: results in order, few records in memory."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

import cv2

from a2cli.errors import ConfigError, DataError

_T = TypeVar("_T")
_R = TypeVar("_R")
AHEAD = 4  # records a worker has waiting


def spread(function: Callable[[_T], _R], items: Iterable[_T], workers: int = 1) -> Iterator[tuple[_T, _R]]:
    """Each item with what `function` makes of it, in the items' order whatever `workers` is.

    One worker is this process. Raises what the function raises, `ConfigError` for no workers, `DataError` when one of
    them is killed.
    """
    if workers < 1:
        raise ConfigError(f"workers must be 1 or more, not {workers}")
    if workers == 1:
        for item in items:
            yield item, function(item)
        return
    # Spawned, not forked: the threads of pyarrow and OpenCV do not live on in a fork.
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start)
    waiting: deque[tuple[_T, Future[_R]]] = deque()
    try:
        for item in items:
            waiting.append((item, pool.submit(function, item)))
            if len(waiting) >= AHEAD * workers:
                done, future = waiting.popleft()
                yield done, future.result()
        while waiting:
            done, future = waiting.popleft()
            yield done, future.result()
    except BrokenProcessPool as error:
        raise DataError("a worker process was killed", hint="memory may be short: fewer --workers") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start() -> None:
    """Prepare a worker: an interrupt is its parent's affair, and one core is its share."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
