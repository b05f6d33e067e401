"""a2 eval: score results, or a model, against a data set."""

from __future__ import annotations

from typing import Annotated

from typer import Option

from a2cli.commands.console import not_built

Config = Annotated[str | None, Option("--config", metavar="FILE", help="YAML file with the settings.")]
Pred = Annotated[str | None, Option("--pred", metavar="DIR", help="Folder of results to score.")]
Data = Annotated[str | None, Option("--data", metavar="DIR", help="Data set the results belong to.")]
Metrics = Annotated[str | None, Option("--metrics", metavar="A,B", help="Names of metrics.")]
Protocol = Annotated[
    str, Option("--protocol", metavar="fine|rough|box|all", help="Which masks to test under.")
]
FailUnder = Annotated[
    list[str] | None, Option("--fail-under", metavar="M=V", help="Exit 4 when a metric misses V.")
]
Report = Annotated[str | None, Option("--report", metavar="FILE", help="Also write an HTML report.")]


def evaluate(
    config: Config = None,
    pred: Pred = None,
    data: Data = None,
    metrics: Metrics = None,
    protocol: Protocol = "all",
    fail_under: FailUnder = None,
    report: Report = None,
) -> None:
    """Score results, or a model, against a data set (not built yet)."""
    raise not_built("a2 eval")
