"""a2 train: train a backbone or an adapter as a YAML file says."""

from __future__ import annotations

import json
from typing import Annotated, Any

from typer import Option

from a2cli.commands import options as o
from a2cli.commands.console import open_console

Resume = Annotated[
    str | None, Option("--resume", metavar="auto|PATH", help="Go on from the newest or from this checkpoint.")
]
DryRun = Annotated[
    bool,
    Option(
        "--dry-run",
        metavar="",
        help="Check every path, count samples, parameters and memory, print all settings, and stop.",
    ),
]


def train(
    config: o.ConfigFile,
    overrides: o.Overrides = None,
    resume: Resume = None,
    dry_run: DryRun = False,
    json_: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Train a backbone or an adapter as a YAML file says; KEY=VALUE changes single settings."""
    from a2cli.config.load import apply_overrides, load_yaml

    apply_overrides(load_yaml(config), overrides or ())  # fails before torch is imported
    with open_console(quiet=quiet) as console:
        if dry_run:
            from a2cli.training.plan import plan_run

            plan = plan_run(config, tuple(overrides or ()), resume=resume)
            print(json.dumps(plan.to_record()) if json_ else plan.format(), end="\n" if json_ else "")
            return
        from a2cli.training.run import run_train

        def show(step: int, total: int, row: dict[str, Any]) -> None:
            console.progress(_describe(row), step, total)

        run = run_train(config, tuple(overrides or ()), resume=resume, progress=show)
        if run is not None:
            console.result(run, {"run": str(run), "report": str(run / "report.html")} if json_ else None)


def _describe(row: dict[str, Any]) -> str:
    """What stands before the bar: stage, loss, learning rate and speed."""
    return (
        f"{row.get('stage', '')} loss {row['loss']:.4f} lr {row['lr']:.1e} {row['samples_per_s']:.3g} samples/s"
    ).lstrip()
