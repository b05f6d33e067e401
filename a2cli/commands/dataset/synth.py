"""a2 dataset synth: make training pairs out of glyphs and photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from a2cli.commands import options as o
from a2cli.commands.console import open_console
from a2cli.errors import ConfigError


def synth(
    out: Annotated[str, Option("--out", "-o", metavar="DIR", help="Folder to write.")],
    number: Annotated[int, Option("--number", "-n", metavar="N", help="How many pairs.")] = 1000,
    seed: Annotated[int, Option("--seed", metavar="S", help="Seed of every pair.")] = 0,
    split: Annotated[str, Option("--split", metavar="train|test", help="Which subjects.")] = "train",
    size: Annotated[int, Option("--size", metavar="PX", help="Side of the pictures.")] = 256,
    photos: Annotated[str | None, Option("--photos", metavar="DIR", help="More photographs.")] = None,
    workers: Annotated[int, Option("--workers", metavar="W", help="Processes.")] = 1,
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
