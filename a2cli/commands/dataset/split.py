"""a2 dataset split: divide a data set so that splits share nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Exit, Option

from a2cli.commands import options as o
from a2cli.commands.console import open_console
from a2cli.commands.table import print_table
from a2cli.errors import ConfigError

Near = Annotated[
    int,
    Option(
        "--near", min=-1, max=16, metavar="BITS", help="Bits in which hashes of one picture differ; -1: off."
    ),
]
Together = Annotated[
    str, Option("--keep-together", metavar="group|source", help="Also keep records of one source together.")
]


def split(
    path: Annotated[str, Argument(metavar="PATH", help="Data set: a folder, a shard or a quoted pattern.")],
    out: Annotated[str, Option("--out", "-o", metavar="DIR", help="New folder for the shards.")],
    test: Annotated[str, Option("--test", metavar="N|all", help="Test records of each category.")] = "25",
    validation: Annotated[
        int, Option("--validation", min=0, metavar="N", help="Likewise for validation.")
    ] = 0,
    hold_out: Annotated[
        str, Option("--hold-out", metavar="A,B", help="Categories never trained on: they are the test set.")
    ] = "",
    seed: Annotated[int, Option("--seed", metavar="S", help="Seed of the choice.")] = 0,
    near: Near = 4,
    keep_together: Together = "group",
    shard_size: Annotated[int, Option("--shard-size", min=1, metavar="N", help="Records a shard.")] = 128,
    workers: Annotated[int, Option("--workers", min=1, metavar="W", help="Processes.")] = 1,
    dry_run: Annotated[bool, Option("--dry-run", metavar="", help="Only count.")] = False,
    json: Annotated[bool, Option("--json", metavar="", help="One JSON object instead of a table.")] = False,
    quiet: o.Quiet = False,
) -> None:
    """Divide a data set: no object, video or picture stands in two splits.

    What belongs together and is beyond a category's need goes into no split and is counted as put aside.
    """
    if test != "all" and not test.isdecimal():
        raise ConfigError(f"--test {test!r}: neither a number from 0 nor all")
    from a2cli.curation.divide import divide_dataset
    from a2cli.curation.split import SplitConfig

    config = SplitConfig(
        test=None if test == "all" else int(test),
        validation=validation,
        hold_out=tuple(name.strip() for name in hold_out.split(",") if name.strip()),
        seed=seed,
        near=near if near >= 0 else None,
        keep_together=keep_together,  # type: ignore[arg-type]
    )
    with open_console(quiet=quiet) as console:
        division = divide_dataset(
            path,
            Path(out),
            config,
            dry_run=dry_run,
            shard_size=shard_size,
            workers=workers,
            progress=console.progress,
        )
        for message in (*division.bad, *division.plan.warnings):
            console.warn(message)
        if json:
            console.result("", division.to_dict(path, config))
    if not json:
        print_table("", division.plan.list_rows())
    if division.bad:
        raise Exit(3)
