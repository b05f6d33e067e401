"""a2 augment-mask: make fine masks sloppier, as training does, or change them as evaluation does."""

from __future__ import annotations

import sys

from typer import Exit

from a2cli.commands import options as o
from a2cli.commands.augment_mask import options as m
from a2cli.commands.console import open_console
from a2cli.config.augment import build_augment_config, parse_changes
from a2cli.errors import ConfigError


def augment_mask(
    masks: m.Masks,
    stage: m.Stage = None,
    dilate: m.Dilate = None,
    perturb: m.Perturb = None,
    radius: m.Radius = None,
    alpha: m.Alpha = None,
    scale: m.Scale = None,
    delta: m.Delta = None,
    seed: o.Seed = 0,
    variants: m.Variants = 1,
    null: m.Null = False,
    out: m.Out = None,
    preview: m.Preview = None,
    image: m.Image = None,
    json: o.Json = False,
    report: m.Report = None,
    quiet: o.Quiet = False,
) -> None:
    """Make masks as sloppy as a training stage does, or change them as evaluation does.

    One of --stage, --dilate and --perturb says how; --dilate and --perturb may be given together.
    """
    config = build_augment_config(
        masks,
        {"radius": radius, "alpha": alpha, "scale": scale, "delta": delta},
        parse_changes(dilate, perturb),
        stage=stage,
        out=out,
        seed=seed,
        variants=variants,
        preview=preview,
        image=image,
        report=report,
        json=json,
        null=null,
    )
    if out == "-" and sys.stdout.isatty():
        raise ConfigError(
            "a mask is not written to a terminal", hint="pipe the output, or name a file with -o"
        )

    from a2cli.engine.augment import AugmentFailure, run_augment

    failed = 0
    with open_console(quiet=quiet) as console:
        for outcome in run_augment(config, console.progress):
            if isinstance(outcome, AugmentFailure):
                failed += 1
                console.warn(str(outcome.error))
            elif out != "-":
                console.result(outcome.output, outcome.to_dict() if json else None)
    if failed:
        raise Exit(3)
