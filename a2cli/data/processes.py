"""Work on many items in several processes: results in order, a bounded number ahead, nothing left running."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection, get_context, parent_process
from typing import Literal, TypeVar

import cv2

from a2cli.errors import ConfigError, DataError

_Item = TypeVar("_Item")
_T = TypeVar("_T")
AHEAD = 8  # items per process that are on their way
_STOPS = (signal.SIGINT, signal.SIGTERM)


def work_in_order(
    work: Callable[[_Item], _T],
    items: Iterable[_Item],
    workers: int = 1,
    *,
    ahead: int = AHEAD,
    start: Literal["fork", "spawn"] = "spawn",
) -> Generator[tuple[_Item, _T]]:
    """Yield every item with what `work` makes of it, in the items' order; one worker is this process itself.

    `work` must be picklable; `ahead` items per process are held at once. "fork" starts at once, and only where no
    library's threads run yet: those of pyarrow do not live on in a fork. What `work` raises ends the row; processes end
    with the row, with the generator, and when this process is killed. Raises `ConfigError` for no workers, `DataError`
    when one of them dies.
    """
    if workers < 1:
        raise ConfigError(f"workers must be 1 or more, not {workers}")
    if workers == 1:
        yield from ((item, work(item)) for item in items)
        return
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # a forked process inherits OpenCV's pool without its threads, and waits for them
    pool = ProcessPoolExecutor(workers, mp_context=get_context(start), initializer=_settle)
    try:
        begun: deque[tuple[_Item, Future[_T]]] = deque()
        for item in items:
            with _holding_signals():  # a process that starts here first learns what to do with them
                begun.append((item, pool.submit(work, item)))
            if len(begun) >= ahead * workers:
                done, future = begun.popleft()
                yield done, future.result()
        while begun:
            done, future = begun.popleft()
            yield done, future.result()
    except BrokenProcessPool as error:
        raise DataError("a worker process died", hint="out of memory? try fewer --workers") from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        cv2.setNumThreads(threads)


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
