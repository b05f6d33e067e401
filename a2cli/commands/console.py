"""What a command shows: results on stdout, progress, warnings and failures on stderr.

Progress appears only when stderr is a terminal; `--quiet` silences warnings as well, but not failures.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from a2cli.files import show_name
from a2cli.quiet import quieten_libraries

if TYPE_CHECKING:
    from rich.progress import Progress

RATE_SECONDS = 600  # over which the rate is averaged


class Console:
    """The screen of one command."""

    def __init__(self, bar: Progress | None = None, *, quiet: bool = False) -> None:
        self._bar, self._quiet = bar, quiet
        self._task: Any = None

    def progress(self, label: str, done: int, total: int | None) -> None:
        """Show that `done` of `total` parts of `label` are ready; of None as many as come."""
        if self._bar is None:
            return
        self._bar.start()
        if self._task is None:
            self._task = self._bar.add_task(label, total=total)
        self._bar.update(self._task, description=label, completed=done, total=total)

    def result(self, path: str | os.PathLike[str], record: dict[str, Any] | None = None) -> None:
        """Print one result on stdout: its path, or `record` as a line of JSON."""
        if self._bar is not None and sys.stdout.isatty():  # else the bar is not in its way
            self._bar.stop()
        print(os.fspath(path) if record is None else json.dumps(record), flush=True)

    def note(self, message: str) -> None:
        """Say something worth knowing on stderr; not with --quiet."""
        if not self._quiet:
            print(message, file=sys.stderr)

    def warn(self, message: str) -> None:
        """Say on stderr what went wrong with one part while the rest goes on; not with --quiet."""
        logging.getLogger("a2cli").warning(message)

    def fail(self, message: str) -> None:
        """Say on stderr, with --quiet as well, what could not be made while the rest goes on."""
        print(f"a2: {show_name(' '.join(message.splitlines()))}", file=sys.stderr)


class _Warnings(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        print(f"a2: {record.levelname.lower()}: {record.getMessage()}", file=sys.stderr)


@contextmanager
def open_console(*, quiet: bool = False) -> Iterator[Console]:
    """A Console for the length of a command; the engine's log records of level WARNING go to stderr."""
    quieten_libraries()
    logger, handler = logging.getLogger("a2cli"), _Warnings(logging.ERROR if quiet else logging.WARNING)
    logger.addHandler(handler)
    bar = None if quiet or not sys.stderr.isatty() else _build_bar()
    try:
        yield Console(bar, quiet=quiet)
    finally:
        if bar is not None:
            bar.stop()
        logger.removeHandler(handler)


def _build_bar() -> Progress:
    """Label, bar, count, rate and the time that is left."""
    from rich import progress
    from rich.console import Console as RichConsole
    from rich.text import Text

    class Rate(progress.ProgressColumn):
        def render(self, task: progress.Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if not speed else f"{speed:.3g}/s" if speed >= 1 else f"{1 / speed:.3g} s each")

    return progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        Rate(),
        progress.TimeRemainingColumn(compact=True),
        console=RichConsole(stderr=True),
        transient=True,
        redirect_stdout=False,
        speed_estimate_period=RATE_SECONDS,
    )
