"""a2 dataset: make, check and look at training pairs."""

from __future__ import annotations

from typing import Annotated

import typer

from a2cli.commands import options as o
from a2cli.commands.console import not_built, open_console

Config = Annotated[str | None, typer.Option("--config", metavar="FILE", help="YAML file with the settings.")]
Paths = Annotated[list[str] | None, typer.Argument(metavar="PATH", help="Data sets.", show_default=False)]

app = typer.Typer(help="Make, check and look at training pairs.", no_args_is_help=True)


@app.command()
def synth(config: Config = None, overrides: o.Overrides = None, quiet: o.Quiet = False) -> None:
    """Make pairs: emoji glyphs and cut-outs of photographs, each under two poses and lights."""
    from a2cli.config.load import apply_overrides, build, load_yaml

    settings = apply_overrides(load_yaml(config) if config else {}, overrides or ())
    from a2cli.data.synth import SynthConfig, run_synth

    with open_console(quiet=quiet) as console:
        folder = run_synth(build(SynthConfig, settings, where=config or "settings"))
        if folder is not None:
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
