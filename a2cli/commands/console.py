"""What a command shows: results on stdout, progress and warnings on stderr.

Progress appears only when stderr is a terminal; `--quiet` silences warnings as well.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from a2cli.errors import ConfigError
from a2cli.quiet import quieten_libraries

if TYPE_CHECKING:
    from rich.progress import Progress


def not_built(what: str) -> ConfigError:
    """The one line about a part that has its place in the command line but no code behind it."""
    return ConfigError(f"{what} is not built yet")


class Console:
    """The screen of one command."""

    def __init__(self, bar: Progress | None = None, *, quiet: bool = False) -> None:
        self._bar, self._quiet = bar, quiet
        self._task: Any = None

    def progress(self, label: str, done: int, total: int) -> None:
        """Show that `done` of `total` parts of `label` are ready."""
        if self._bar is None:
            return
        self._bar.start()
        if self._task is None:
            self._task = self._bar.add_task(label, total=total)
        self._bar.update(self._task, description=label, completed=done, total=total)

    def result(self, path: str | os.PathLike[str], record: dict[str, Any] | None = None) -> None:
        """Print one result on stdout: its path, or `record` as a line of JSON."""
        if self._bar is not None:
            self._bar.stop()
        print(os.fspath(path) if record is None else json.dumps(record), flush=True)

    def note(self, message: str) -> None:
        """Say something worth knowing on stderr; not with --quiet."""
        if not self._quiet:
            print(message, file=sys.stderr)

    def warn(self, message: str) -> None:
        """Say on stderr what went wrong with one part while the rest goes on."""
        logging.getLogger("a2cli").warning(message)


class _Warnings(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        print(f"a2: {record.levelname.lower()}: {record.getMessage()}", file=sys.stderr)


@contextmanager
def open_console(*, quiet: bool = False) -> Iterator[Console]:
    """A Console for the length of a command; the engine's log records of level WARNING go to stderr."""
    quieten_libraries()
    logger, handler = logging.getLogger("a2cli"), _Warnings(logging.ERROR if quiet else logging.WARNING)
    logger.addHandler(handler)
    bar = None
    if not quiet and sys.stderr.isatty():
        from rich.console import Console as RichConsole
        from rich.progress import Progress

        bar = Progress(console=RichConsole(stderr=True), transient=True, redirect_stdout=False)
    try:
        yield Console(bar, quiet=quiet)
    finally:
        if bar is not None:
            bar.stop()
        logger.removeHandler(handler)
