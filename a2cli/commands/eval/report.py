"""a2 eval report: the page once more, from the results alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from a2cli.commands import options as o
from a2cli.commands.console import open_console
from a2cli.commands.eval import options as e


def report(
    results: e.First,
    out: Annotated[
        str | None,
        Option("-o", "--out", metavar="FILE", help="Page to write. Default: report.html beside the results."),
    ] = None,
    quiet: o.Quiet = False,
) -> None:
    """Write the page of an evaluation again, from results.json and samples.jsonl."""
    from a2cli.evaluation.report.page import build_report
    from a2cli.evaluation.results import PAGE
    from a2cli.evaluation.store import load_results, load_rows
    from a2cli.pages.page import write_page

    with open_console(quiet=quiet) as console:
        where = Path(results)
        path = Path(out) if out else (where if where.is_dir() else where.parent) / PAGE
        write_page(build_report(load_results(where), load_rows(where)), path)
        console.result(path)
