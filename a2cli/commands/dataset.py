"""a2 dataset: make, check and look at training pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from a2cli.commands import options as o
from a2cli.commands.console import not_built, open_console
from a2cli.errors import ConfigError

Paths = Annotated[list[str] | None, typer.Argument(metavar="PATH", help="Data sets.", show_default=False)]

app = typer.Typer(help="Make, check and look at training pairs.", no_args_is_help=True)


@app.command()
def synth(
    out: Annotated[str, typer.Option("--out", "-o", metavar="DIR", help="Folder to write.")],
    number: Annotated[int, typer.Option("--number", "-n", metavar="N", help="How many pairs.")] = 1000,
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="Seed of every pair.")] = 0,
    split: Annotated[str, typer.Option("--split", metavar="train|test", help="Which subjects.")] = "train",
    size: Annotated[int, typer.Option("--size", metavar="PX", help="Side of the pictures.")] = 256,
    photos: Annotated[str | None, typer.Option("--photos", metavar="DIR", help="More photographs.")] = None,
    workers: Annotated[int, typer.Option("--workers", metavar="W", help="Processes.")] = 1,
    quiet: o.Quiet = False,
) -> None:
    """Make pairs: emoji glyphs and cut-outs of photographs, each under two poses and lights."""
    if split not in ("train", "test"):
        raise ConfigError(f"--split {split!r} is unknown", hint="train or test")
    from a2cli.data.folder import write_synthesised
    from a2cli.data.synth import SynthConfig

    with open_console(quiet=quiet) as console:

        def show(done: int, total: int) -> None:
            console.progress("pairs", done, total)

        settings = SynthConfig(size=size, photos=photos)
        folder = write_synthesised(
            Path(out), number, seed=seed, split=split, config=settings, workers=workers, progress=show
        )
        console.result(folder)


def _add_unbuilt(name: str, does: str) -> None:
    def command(paths: Paths = None) -> None:
        raise not_built(f"a2 dataset {name}")

    app.command(name, help=f"{does} (not built yet).")(command)


_add_unbuilt("build", "Detect, segment, judge and pair pictures into a data set")
_add_unbuilt("validate", "Check every record of a data set")
_add_unbuilt("stats", "Count records by category, split and source")
_add_unbuilt("split", "Divide a data set without leaking subjects")
_add_unbuilt("preview", "Draw a sheet of samples")
_add_unbuilt("convert", "Read another layout into a2's records")
