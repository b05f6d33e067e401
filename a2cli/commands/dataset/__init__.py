"""a2 dataset: make, check and look at training pairs; one file a sub-command."""

from __future__ import annotations

import typer

from a2cli.commands.dataset.build import build
from a2cli.commands.dataset.convert import convert
from a2cli.commands.dataset.preview import preview
from a2cli.commands.dataset.split import split
from a2cli.commands.dataset.stats import stats
from a2cli.commands.dataset.synth import synth
from a2cli.commands.dataset.taxonomy import taxonomy
from a2cli.commands.dataset.validate import validate

app = typer.Typer(help="Make, check and look at training pairs.", no_args_is_help=True)
for command in (synth, build, validate, stats, split, preview, convert, taxonomy):
    app.command()(command)
