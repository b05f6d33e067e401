"""One command line of `a2 edit`: its edits made, their results told, those that failed counted."""

from __future__ import annotations

import sys
from contextlib import closing

from a2cli.commands.console import Console, open_console
from a2cli.commands.edit.given import Given
from a2cli.commands.edit.settings import build_settings, repeat_settings
from a2cli.commands.edit.tell import tell
from a2cli.config.edit import EditConfig, check_source_form
from a2cli.errors import ConfigError


def run(given: Given) -> int:
    """Make the edits and give the exit code; A2Error where a single one, or what all of them need, fails."""
    picture = given.values["from_"]
    with open_console(quiet=given.values["quiet"]) as console:
        if picture is not None:
            _repeat(repeat_settings(given, picture, console.note), console)
            return 0
        config = build_settings(given)
        if given.values["pick"]:
            from a2cli.picking.resolve import resolve_pick

            config = resolve_pick(config, port=given.values["pick_port"])
        check_source_form(config)
        from a2cli.batch.run import run_batch

        # Closed at once, so that Ctrl-C rolls back what is in hand before anything else is said.
        with closing(run_batch(config, _read_stdin, console.progress, console.note)) as outcomes:
            return tell(outcomes, config, console)


def _read_stdin() -> bytes:
    if sys.stdin is None:
        raise ConfigError("stdin: it is closed", hint="pipe the manifest in, or name its file")
    return sys.stdin.buffer.read()


def _repeat(config: EditConfig, console: Console) -> None:
    from a2cli.engine.edit import run_edit

    for result in run_edit(config, console.progress, console.note):
        if config.out != "-":
            console.result(result.path, result.to_dict() if config.json else None)
