"""a2 train: train a backbone or an adapter as a YAML file says."""

from __future__ import annotations

from typing import Annotated

from typer import Option

from a2cli.commands import options as o
from a2cli.commands.console import open_console

Resume = Annotated[
    str | None, Option("--resume", metavar="auto|PATH", help="Go on from the newest or from this checkpoint.")
]
DryRun = Annotated[
    bool, Option("--dry-run", metavar="", help="Check the settings, print all of them, and stop.")
]


def train(
    config: o.ConfigFile,
    overrides: o.Overrides = None,
    resume: Resume = None,
    dry_run: DryRun = False,
    quiet: o.Quiet = False,
) -> None:
    """Train a backbone or an adapter as a YAML file says; KEY=VALUE changes single settings."""
    from a2cli.config.load import apply_overrides, build, dump_yaml, load_yaml

    mapping = apply_overrides(load_yaml(config), overrides or ())  # fails before torch is imported
    if dry_run:
        from a2cli.training.config import TrainConfig

        print(dump_yaml(build(TrainConfig, mapping, where=config)), end="")
        return
    from a2cli.training.run import run_train

    with open_console(quiet=quiet) as console:

        def show(step: int, total: int, metrics: dict[str, float]) -> None:
            console.progress(" ".join(f"{name} {value:.4g}" for name, value in metrics.items()), step, total)

        console.result(run_train(config, tuple(overrides or ()), resume=resume, progress=show))
