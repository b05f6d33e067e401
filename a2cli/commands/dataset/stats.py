"""a2 dataset stats: count what a data set holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from a2cli.commands import options as o
from a2cli.commands.console import open_console
from a2cli.commands.table import print_table


def stats(
    path: Annotated[str, Argument(metavar="PATH", help="Data set: a folder, a shard or a quoted pattern.")],
    split: Annotated[str | None, Option("--split", metavar="NAME", help="One split. Default: all.")] = None,
    html: Annotated[
        str | None, Option("--html", metavar="FILE", help="Also write a page with charts.")
    ] = None,
    json: Annotated[bool, Option("--json", metavar="", help="One JSON object instead of tables.")] = False,
    quiet: o.Quiet = False,
) -> None:
    """Count records by split, category, licence and source, and measure their pictures and masks.

    Records that cannot be used are counted apart.
    """
    from a2cli.curation.stats import count_dataset, list_tables

    with open_console(quiet=quiet) as console:

        def show(done: int, total: int) -> None:
            console.progress("records", done, total)

        found = count_dataset(path, split, progress=show)
        for message in found.messages:
            console.warn(message)
        if html is not None:
            from a2cli.curation.stats_page import write_stats_page

            write_stats_page(found, Path(html))
        if json:
            console.result("", found.to_dict())
    if not json:
        for number, (title, rows) in enumerate(list_tables(found)):
            print("\n" if number else "", end="")
            print_table(title, rows)
