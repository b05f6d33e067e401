"""One command line of `a2 edit`: its edits made, their results told, those that failed counted."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from a2cli.commands.console import Console, open_console
from a2cli.commands.edit.given import Given
from a2cli.commands.edit.settings import build_settings, repeat_settings
from a2cli.config.edit import EditConfig, check_source_form

if TYPE_CHECKING:
    from a2cli.batch.worker import Outcome

EXIT_SOME_FAILED = 3


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
            return _tell(outcomes, config, console)


def _read_stdin() -> bytes:
    return sys.stdin.buffer.read()


def _repeat(config: EditConfig, console: Console) -> None:
    from a2cli.engine.edit import run_edit

    for result in run_edit(config, console.progress, console.note):
        if config.out != "-":
            console.result(result.path, result.to_dict() if config.json else None)


def _tell(outcomes: Iterator[Outcome], config: EditConfig, console: Console) -> int:
    """Results on stdout, a line a failure on stderr, and a last one that counts them."""
    done = skipped = failed = 0
    for outcome in outcomes:
        done, skipped = done + (not outcome.skipped), skipped + outcome.skipped
        if outcome.error is not None:
            failed += 1
            console.fail(f"{outcome.error} ({outcome.hint})" if outcome.hint else outcome.error)
        for result in outcome.results:
            if config.out != "-":
                record = {"id": outcome.job.id, **result.to_dict(), "skipped": outcome.skipped}
                console.result(result.path, record if config.json else None)
    if failed or skipped:
        from a2cli.batch.forms import get_records_folder

        words = [f"{done - failed} done", *([f"{skipped} left as they were"] if skipped else [])]
        where = f"{failed} failed, see {get_records_folder(config) / 'failures.jsonl'}"
        console.note(", ".join([*words, *([where] if failed else [])]))
    return EXIT_SOME_FAILED if failed else 0
