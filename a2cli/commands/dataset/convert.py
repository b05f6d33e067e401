"""a2 dataset convert: pairs from a published layout into ours, from ours into others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Exit, Option

from a2cli.commands import options as o
from a2cli.commands.console import open_console

FROM = (
    "Layout of SOURCE: auto, anyinsertion, viton-hd, magicbrush, imagefolder, webdataset, parquet or saved."
)
TO = "Layout of DIR: parquet, imagefolder, webdataset or anyinsertion."


def convert(
    source: Annotated[
        str, Argument(metavar="SOURCE", help="The data set: a folder, a file or a quoted pattern.")
    ],
    out: Annotated[str, Option("--out", "-o", metavar="DIR", help="Folder to write, new or empty.")],
    read: Annotated[str, Option("--from", metavar="LAYOUT", help=FROM)] = "auto",
    write: Annotated[str, Option("--to", metavar="LAYOUT", help=TO)] = "parquet",
    split: Annotated[str | None, Option("--split", metavar="S", help="Only this split.")] = None,
    category: Annotated[str | None, Option("--category", metavar="C", help="Only this category.")] = None,
    limit: Annotated[int | None, Option("--limit", metavar="N", help="Only the first N records.")] = None,
    shard_size: Annotated[int, Option("--shard-size", metavar="N", help="Most records in a shard.")] = 128,
    unpaired: Annotated[
        bool, Option("--unpaired", metavar="", help="VITON-HD: pairs as its file lists them.")
    ] = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Convert pairs between parquet, imagefolder, WebDataset and AnyInsertion; from VITON-HD and MagicBrush.

    Pictures keep their bytes. Records that cannot be used are left out and listed in DIR/failures.jsonl. AnyInsertion
    has no place for the photo from before an edit: it is left out there.
    """
    from a2cli.curation.convert import ConvertConfig, Failure, convert

    config = ConvertConfig(source, Path(out), read, write, split, category, limit, shard_size, unpaired)
    failed = 0
    with open_console(quiet=quiet) as console:

        def show(done: int) -> None:
            console.progress(f"{done} records", done, limit or done)

        for outcome in convert(config, show):
            if isinstance(outcome, Failure):
                failed += 1
                console.warn(outcome.detail)
            else:
                console.result(outcome.path, outcome.to_dict() if json else None)
    if failed:
        raise Exit(3)
