"""a2 eval study score: what people said, counted."""

from __future__ import annotations

import json as json_text

from typer import Exit

from a2cli.commands import options as o
from a2cli.commands.console import open_console
from a2cli.commands.eval import options as e
from a2cli.commands.table import print_table


def score(answers: e.AnswerFiles, key: e.StudyKeyIn, json: o.Json = False, quiet: o.Quiet = False) -> None:
    """Count answers: who was preferred how often, with 95 % intervals, and how steady people were.

    Exit code 3 where some answers could not be counted.
    """
    from a2cli.evaluation.study.answers import load_answers
    from a2cli.evaluation.study.config import load_key
    from a2cli.evaluation.study.score import list_tables, score_study, to_record

    with open_console(quiet=quiet) as console:
        opened = load_key(key)
        scores = score_study(opened, load_answers(answers, opened))
        for line in scores.problems:
            console.warn(line)
    if json:
        print(json_text.dumps(to_record(scores), allow_nan=False))
    else:
        for number, (title, rows) in enumerate(list_tables(scores)):
            print("\n" if number else "", end="")
            print_table(title, rows)
    if scores.problems:
        raise Exit(3)
