"""a2 dataset synth: make training pairs out of glyphs and photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from typer import Option

from a2cli.commands import options as o
from a2cli.commands.console import open_console


def _share(option: str, text: str) -> Any:
    return Option(option, metavar="P", help=text, rich_help_panel="Variation (shares of the pairs, 0 to 1)")


def synth(
    out: Annotated[str, Option("--out", "-o", metavar="DIR", help="Folder to write.")],
    number: Annotated[int, Option("--number", "-n", metavar="N", help="How many pairs.")] = 1000,
    seed: Annotated[int, Option("--seed", metavar="S", help="Seed of every pair.")] = 0,
    split: Annotated[Literal["train", "test"], Option("--split", help="Which subjects.")] = "train",
    size: Annotated[int, Option("--size", metavar="PX", help="Side of the pictures, 32 to 2048.")] = 256,
    photos: Annotated[
        str | None,
        Option(
            "--photos",
            metavar="DIR",
            help="More photographs: backgrounds, and in sub-folders named after categories subjects, best cut out "
            "as transparent PNG.",
        ),
    ] = None,
    licence: Annotated[
        str, Option("--licence", metavar="SPDX", help="Licence of --photos, for the provenance.")
    ] = "",
    format: Annotated[
        Literal["parquet", "imagefolder"], Option("--format", help="Shards, or PNG files and metadata.jsonl.")
    ] = "parquet",
    occlusion: Annotated[float, _share("--occlusion", "Something before the subject.")] = 0.25,
    shadow: Annotated[float, _share("--shadow", "Cast shadows.")] = 0.6,
    distractors: Annotated[float, _share("--distractors", "One to three things beside it.")] = 0.4,
    instructions: Annotated[
        float, _share("--instructions", "Edits of one of several things, as a sentence asks.")
    ] = 0.0,
    captions: Annotated[
        bool, Option("--captions/--no-captions", metavar="", help="Say colour and place, not the name alone.")
    ] = True,
    workers: Annotated[int, Option("--workers", metavar="W", help="Processes.", rich_help_panel=o.RUN)] = 1,
    quiet: o.Quiet = False,
) -> None:
    """Make pairs: emoji glyphs and cut-outs of photographs, each under two poses and lights.

    The same options give the same bytes; a run that was killed goes on where it was.
    """
    from a2cli.data.synth import SynthConfig
    from a2cli.data.synth_run import write_synthesised

    settings = SynthConfig(
        size=size,
        photos=photos,
        occlusion=occlusion,
        shadow=shadow,
        distractors=distractors,
        captions=captions,
        instructions=instructions,
        licence=licence,
    )
    with open_console(quiet=quiet) as console:
        folder = write_synthesised(
            Path(out),
            number,
            seed=seed,
            split=split,
            config=settings,
            format=format,
            workers=workers,
            progress=lambda done, total: console.progress("pairs", done, total),
        )
        console.result(folder)
