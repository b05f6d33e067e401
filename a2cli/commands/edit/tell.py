"""What is said of a run: results on stdout, failures and their count on stderr."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from a2cli.commands.console import Console
from a2cli.config.edit import EditConfig

if TYPE_CHECKING:
    from a2cli.batch.worker import Outcome

EXIT_SOME_FAILED = 3


def tell(outcomes: Iterator[Outcome], config: EditConfig, console: Console) -> int:
    """Results on stdout, a line a failure on stderr, and a last one that counts them; the exit code."""
    done = skipped = failed = 0
    try:
        for outcome in outcomes:
            done, skipped = done + (not outcome.skipped), skipped + outcome.skipped
            if outcome.error is not None:
                failed += 1
                console.fail(f"{outcome.error} ({outcome.hint})" if outcome.hint else outcome.error)
            for result in outcome.results:
                if config.out != "-":
                    record = {"id": outcome.job.id, **result.to_dict(), "skipped": outcome.skipped}
                    console.result(result.path, record if config.json else None)
    except (KeyboardInterrupt, SystemExit):
        if done + skipped and not config.dry_run:
            console.note(f"stopped: {done - failed} done; the same command with --resume goes on")
        raise
    if failed or skipped:
        console.note(_sum_up(config, done - failed, skipped, failed))
    return EXIT_SOME_FAILED if failed else 0


def _sum_up(config: EditConfig, done: int, skipped: int, failed: int) -> str:
    from a2cli.batch.forms import get_records_folder

    words = [f"{done} planned" if config.dry_run else f"{done} done"]
    if skipped:
        words.append(f"{skipped} left as they were")
    if failed:
        words.append(f"{failed} failed")
    if failed and not config.dry_run:
        words.append(f"see {get_records_folder(config) / 'failures.jsonl'}")
    return ", ".join(words)
