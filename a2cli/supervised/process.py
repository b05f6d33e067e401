"""The inside of a supervised worker process: made ready once, then one task after the other."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from a2cli.quiet import quieten_libraries

Make = Callable[[int], Callable[[Any], Any]]
ENDED = 128 + signal.SIGTERM
GRACE_S = 3  # between asking an orphan to end and ending it

_work: Callable[[Any], Any] | Exception | None = None
_busy = False


@dataclass(frozen=True)
class Settings:
    """How workers are made.

    `make(slot)` builds what does the work, with `slot` in [0, workers) held by no other worker that lives; `slots` is
    the file whose byte ranges say so. `share_threads` divides the cores; without it every worker has as many threads
    as a process alone, so that sums are made in the same order. `parent` is the process to end with. `rolls_back`:
    a worker that is asked to end runs its `finally` blocks first.
    """

    make: Make
    workers: int
    slots: str
    parent: int
    share_threads: bool = True
    rolls_back: bool = False


def start(settings: Settings) -> None:
    """Make this process ready; what fails is told by its first task."""
    global _work
    signal.signal(signal.SIGTERM, _end if settings.rolls_back else signal.SIG_DFL)
    with suppress(OSError):
        os.dup2(2, 1)  # results alone go to stdout, whatever a library prints
    _set_threads(settings)
    quieten_libraries()
    threading.Thread(target=_watch, args=(settings.parent,), daemon=True).start()
    try:
        _work = settings.make(_take_slot(settings))
    except Exception as error:
        _work = error


def run(task: Any) -> Any:
    """Do one task."""
    global _busy
    if isinstance(_work, Exception):
        raise _work
    assert _work is not None
    try:
        _busy = True
        return _work(task)
    except SystemExit:  # asked to end; pebble would take it for a result
        os._exit(ENDED)
    finally:
        _busy = False


def _set_threads(settings: Settings) -> None:
    """Before a library counts the cores."""
    if settings.share_threads:
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // settings.workers)))
    else:  # threads that wait must not take the cores of other workers
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import cv2

    cv2.setNumThreads(1)


def _take_slot(settings: Settings) -> int:
    """The first slot that no living worker holds; the kernel frees those of the dead."""
    file = os.open(settings.slots, os.O_RDWR)  # open, and thereby locked, as long as the process lives
    while True:
        for slot in range(settings.workers):
            with suppress(OSError):
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, slot)
                return slot
        time.sleep(0.05)


def _end(*_: object) -> None:
    if _busy:
        raise SystemExit(ENDED)
    os._exit(ENDED)


def _watch(parent: int) -> None:
    """End when the parent is gone: killed with -9, it can tell nobody, and nobody is left to send results to."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os._exit(1)
