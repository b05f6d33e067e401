"""a2 dataset validate: open every record and say what is wrong."""

from __future__ import annotations

import json as json_text
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from typer import Argument, Exit, Option

from a2cli.commands import options as o
from a2cli.commands.console import open_console
from a2cli.commands.table import print_table

Paths = Annotated[
    list[str],
    Argument(
        metavar="PATH...", help="Data sets, compared with each other: folders, shards, quoted patterns."
    ),
]


def validate(
    paths: Paths,
    near: Annotated[
        int,
        Option(
            "--near",
            min=-1,
            max=16,
            metavar="BITS",
            help="Bits in which hashes of one picture differ; -1: off.",
        ),
    ] = 4,
    require_licence: Annotated[
        bool, Option("--require-licence", metavar="", help="A record without a licence is a fault.")
    ] = False,
    workers: Annotated[int, Option("--workers", min=1, metavar="W", help="Processes.")] = 1,
    json: Annotated[bool, Option("--json", metavar="", help="One JSON object a fault.")] = False,
    report: Annotated[
        str | None, Option("--report", metavar="FILE", help="Every fault as a line of JSON.")
    ] = None,
    quiet: o.Quiet = False,
) -> None:
    """Open every record: pictures, masks, texts, counts, duplicates, and what two splits share.

    Exit code 3 if there is a fault; warnings alone are none.
    """
    from a2cli.curation.validate import list_tables
    from a2cli.curation.validate import validate as run
    from a2cli.files import write_bytes

    with open_console(quiet=quiet) as console:

        def show(done: int, total: int) -> None:
            console.progress("records", done, total)

        look = near if near >= 0 else None
        found = run(paths, near=look, workers=workers, require_licence=require_licence, progress=show)
    lines = [json_text.dumps(asdict(fault)) for fault in found.faults]
    if json:
        print(*lines, sep="\n", end="\n" if lines else "")
    elif lines:
        for table in list_tables(found):
            print_table("", table)
            print()
    counts = {severity: sum(kinds.values()) for severity, kinds in found.count().items()}
    if not quiet:
        every = {"record": found.records, **counts}
        words = [f"{n or 'no'} {what}{'s' * (n != 1)}" for what, n in every.items() if n or what != "warning"]
        print(f"a2: {', '.join(words)}", file=sys.stderr)
    if report is not None:  # last: what was found is on the screen if it cannot be written
        write_bytes("".join(line + "\n" for line in lines).encode(), Path(report))
    if counts["fault"]:
        raise Exit(3)
