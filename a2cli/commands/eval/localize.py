"""a2 eval localize: does a model find what a sentence names?"""

from __future__ import annotations

import json as json_text
import sys
from typing import Annotated

from typer import Exit, Option

from a2cli.commands import options as o
from a2cli.commands.console import open_console
from a2cli.commands.eval import options as e
from a2cli.commands.table import print_table
from a2cli.files import show_name


def localize(
    config: e.Config = None,
    changes: e.Set = None,
    data: e.Data = None,
    split: e.Split = None,
    limit: Annotated[
        int | None, Option("-n", "--limit", min=1, metavar="N", help="Records. Default: 200.")
    ] = None,
    tasks: Annotated[
        list[str] | None, Option("--tasks", metavar="A,B", help="replace, remove, recolour. Default: all.")
    ] = None,
    ways: Annotated[
        list[str] | None,
        Option(
            "--ways",
            metavar="A,B",
            help="box (the whole picture), saliency, attention, predictor; attention-once and predictor-once do not "
            "look a second time from nearby. Default: the first four, as far as the model has them.",
        ),
    ] = None,
    backbone: Annotated[str | None, Option("--backbone", metavar="NAME", help="Default: nano.")] = None,
    model: Annotated[str | None, Option("--model", metavar="PATH", help="Model folder or hub id.")] = None,
    adapter: Annotated[
        list[str] | None, Option("--adapter", metavar="DIR", help="Adapter folder; may be repeated.")
    ] = None,
    keyword: Annotated[
        str | None,
        Option("--keyword", metavar="HOW", help="found (in the sentence) or known (the record's)."),
    ] = None,
    report: e.Report = None,
    json: Annotated[bool, Option("--json", metavar="", help="All of it as one JSON object.")] = False,
    device: e.Device = None,
    seed: e.Seed = None,
    quiet: o.Quiet = False,
) -> None:
    """Score regions found from sentences against the things they name: IoU, pointing, AUC, by way and task."""
    from a2cli.evaluation.localization.results import list_cells, list_unread
    from a2cli.evaluation.localization.run import run_localize
    from a2cli.evaluation.localization.settings import load_localize_config

    options = {"data.path": data, "data.split": split, "data.limit": limit, "data.tasks": tasks, "ways": ways}
    options |= {"backbone": backbone, "model": model, "adapter": adapter, "keyword": keyword}
    options |= {"report": report, "device": device, "seed": seed}
    settings = load_localize_config(config, changes or (), options)
    with open_console(quiet=quiet) as console:
        found = run_localize(settings, console.progress)
        for way, why in found.missing.items():
            console.warn(f"{way} is missing: {why}")
        for failure in found.failures[:3]:
            console.warn(show_name(f"{failure.id}: {failure.detail}" if failure.method else failure.detail))
        for line in list_unread(found.rows):
            console.warn(line)
        if settings.report:
            console.note(f"a2: page in {show_name(settings.report)}")
    if json:
        sys.stdout.write(json_text.dumps(found.to_record(), indent=1, allow_nan=False) + "\n")
    else:
        print_table("", list_cells(found.lines))
    if found.failures:
        print(f"a2: {len(found.failures)} failed", file=sys.stderr)
        raise Exit(3)
