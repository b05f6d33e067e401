"""a2 dataset preview: a data set's pairs, their masks and their faults on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from a2cli.commands import options as o
from a2cli.commands.console import open_console


def preview(
    path: Annotated[
        str, Argument(metavar="PATH", help="Data set: a folder, a parquet file, a quoted pattern.")
    ],
    out: Annotated[str, Option("--out", "-o", metavar="FILE", help="Page to write.")] = "preview.html",
    split: Annotated[
        str | None, Option("--split", metavar="SPLIT", help="One split; all without it.")
    ] = None,
    category: Annotated[str | None, Option("--category", metavar="NAME", help="One category.")] = None,
    limit: Annotated[int, Option("--limit", min=1, metavar="N", help="Most records, drawn evenly.")] = 200,
    size: Annotated[
        int, Option("--size", min=16, max=2048, metavar="PX", help="Longest side of a picture.")
    ] = 256,
    seed: Annotated[int, Option("--seed", metavar="S", help="Seed of the draw.")] = 0,
    quiet: o.Quiet = False,
) -> None:
    """Show pairs with their masks on one HTML page that needs no network, faults included.

    Of more than --limit records an even draw over the categories is shown.
    """
    from a2cli.curation.preview import write_preview

    with open_console(quiet=quiet) as console:
        shown = write_preview(
            path,
            Path(out),
            split=split,
            category=category,
            limit=limit,
            size=size,
            seed=seed,
            progress=lambda done, total: console.progress("records", done, total),
        )
        if shown.faulty:
            console.warn(
                f"{shown.faulty} of {shown.shown} records shown have faults: a2 dataset validate lists all"
            )
        console.result(out)
