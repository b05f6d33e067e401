"""a2 eval metrics: what can be measured, and what is lacking for it."""

from __future__ import annotations

import json as json_text
from dataclasses import asdict
from typing import Annotated

from typer import Option

from a2cli.commands.eval import options as e
from a2cli.commands.table import print_table


def metrics(
    weights: e.Weights = None,
    json: Annotated[bool, Option("--json", metavar="", help="One JSON object a metric.")] = False,
) -> None:
    """List all metrics: direction, unit, regions, what a record must have, what has to be there first."""
    from a2cli.metrics.measure import Weights
    from a2cli.metrics.opening import describe_metrics

    rows = describe_metrics(Weights(folder=weights))
    if json:
        for row in rows:
            print(json_text.dumps(asdict(row)))
        return
    head = ("metric", "better", "unit", "regions", "needs", "lacks", "what it is")
    lines = [
        (r.name, r.better, r.unit, " ".join(r.regions), " ".join(r.needs), r.lacks, r.definition)
        for r in rows
    ]
    print_table("", [head, *lines])
