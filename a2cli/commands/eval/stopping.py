"""What Ctrl-C says: that the same command goes on, and what is still waited for."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from a2cli.evaluation.config import EvalConfig

AGAIN = "the same command goes on from here"


@contextmanager
def saying_when_stopped(settings: EvalConfig) -> Iterator[None]:
    """Say on stderr, once, that a run was stopped by Ctrl-C.

    With a judge that is paid it is said before calls under way are waited for, which may take as long as the judge.
    """
    kept = AGAIN if settings.out else "nothing was kept (-o OUT keeps it)"
    paid = settings.judge is not None and settings.judge.api != "local"
    said = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal said
        if not said:
            print(f"a2: stopping when paid calls under way have ended; {kept}", file=sys.stderr, flush=True)
        said = True
        raise KeyboardInterrupt

    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, stop) if paid and main else None
    try:
        yield
    except KeyboardInterrupt:
        if not said:
            print(f"a2: stopped; {kept}", file=sys.stderr, flush=True)
        raise
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)
