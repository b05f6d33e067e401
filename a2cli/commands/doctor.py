"""a2 doctor: what is installed, where it can run, and what is broken; which blocks find what a prompt names."""

from __future__ import annotations

from dataclasses import asdict
from json import dumps
from typing import Annotated, Any

from typer import Exit, Option

from a2cli.commands import options as o
from a2cli.commands.console import open_console
from a2cli.errors import ConfigError

CALIBRATION = "Where words are found"
Data = Annotated[
    str | None,
    Option(
        "--localize",
        metavar="DATA",
        help="Score every block's attention on instruction pairs, a folder or `synth`, and name the best range.",
        rich_help_panel=CALIBRATION,
    ),
]
Pairs = Annotated[
    int, Option("-n", min=1, metavar="N", help="How many pairs to look at.", rich_help_panel=CALIBRATION)
]
Write = Annotated[
    bool,
    Option(
        "--write",
        metavar="",
        help="Put the range into the model folder's a2_traits.json, where a2 edit reads it.",
        rich_help_panel=CALIBRATION,
    ),
]


def doctor(
    json: o.Json = False,
    localize: Data = None,
    pairs: Pairs = 64,
    write: Write = False,
    backbone: o.Backbone = "nano",
    model: o.Model = None,
    seed: o.Seed = 0,
    device: o.Device = "auto",
) -> None:
    """Show versions, devices, memory and plugin errors; exit 1 when something a2 needs is broken."""
    if localize is not None:
        return _calibrate(dict(locals()))
    if write or model is not None:
        raise ConfigError("--write and --model go with --localize", hint="--localize synth")
    from a2cli.commands.checks import run_checks

    broken = False
    with open_console() as console:
        for check in run_checks():
            broken = broken or not check.ok
            mark = "ok " if check.ok else "BAD"
            console.result(f"{mark}  {check.name:<24}  {check.detail}", asdict(check) if json else None)
    if broken:
        raise Exit(1)


def _calibrate(given: dict[str, Any]) -> None:
    from a2cli.commands.table import print_table
    from a2cli.engine.calibrate import CalibrateConfig, run_calibrate

    names = ("backbone", "model", "pairs", "seed", "device", "write")
    with open_console() as console:
        config = CalibrateConfig(given["localize"], **{name: given[name] for name in names})
        found = run_calibrate(config, console.progress)
        if found.written:
            console.note(f"written: {found.written}")
    if given["json"]:
        print(dumps(found.to_dict()))
        return
    rows = [("blocks", "IoU", "± se", "AUC"), *(score.list_cells() for score in found.blocks)]
    print_table("", [*rows, ("best: " + found.best.list_cells()[0], *found.best.list_cells()[1:])])
