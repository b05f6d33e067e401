"""Progress on a terminal only, warnings on stderr, results on stdout."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

CODE = """
import logging, sys
from a2cli.commands.console import open_console
with open_console(quiet="quiet" in sys.argv) as console:
    for step in range(1, 4):
        console.progress("painting", step, 3)
    console.result("one.png")
    console.warn("half the mask is empty")
    logging.getLogger("a2cli.engine.edit").info("never shown")
    console.progress("painting again", 1, 2)
    console.result("two.png", {"path": "two.png"})
"""
RESULTS = 'one.png\n{"path": "two.png"}\n'


def run_with_terminal(*arguments: str) -> tuple[str, str]:
    """stdout, and what a terminal on stderr showed."""
    main, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    done = subprocess.run(
        [sys.executable, "-c", CODE, *arguments],
        stdout=subprocess.PIPE,
        stderr=terminal,
        text=True,
        env=environment,
    )
    os.close(terminal)
    shown = b""
    while True:
        try:
            chunk = os.read(main, 65536)
        except OSError:
            break
        if not chunk:
            break
        shown += chunk
    os.close(main)
    assert done.returncode == 0
    return done.stdout, shown.decode()


def test_progress_shows_on_a_terminal() -> None:
    stdout, shown = run_with_terminal()
    assert stdout == RESULTS
    assert "painting" in shown and "half the mask is empty" in shown and "never shown" not in shown


def test_quiet_shows_nothing() -> None:
    assert run_with_terminal("quiet") == (RESULTS, "")


def test_without_a_terminal_only_warnings_are_left() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout == RESULTS
    assert done.stderr == "a2: warning: half the mask is empty\n"
    assert json.loads(done.stdout.splitlines()[1]) == {"path": "two.png"}
