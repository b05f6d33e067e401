"""a2 eval study: ask people which of two edits is better, and count what they say."""

from __future__ import annotations

import typer

from a2cli.commands.eval.study.make import make
from a2cli.commands.eval.study.score import score

app = typer.Typer(
    help="Ask people which of two edits is better, and count what they say.", no_args_is_help=True
)
for command in (make, score):
    app.command()(command)
