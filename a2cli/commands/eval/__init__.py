"""a2 eval: measure edits; one file a sub-command, and `evaluate.py` for none."""

from __future__ import annotations

import typer

from a2cli.commands.eval.compare import compare
from a2cli.commands.eval.evaluate import evaluate
from a2cli.commands.eval.localize import localize
from a2cli.commands.eval.metrics import metrics
from a2cli.commands.eval.report import report
from a2cli.commands.eval.study import app as study_app

app = typer.Typer(invoke_without_command=True)
app.callback(
    epilog="Exit codes: 0 done, 2 usage or bad input, 3 some edits or metrics could not be had, "
    "4 a threshold was missed."
)(evaluate)
for command in (compare, localize, report, metrics):
    app.command()(command)
app.add_typer(study_app, name="study")
