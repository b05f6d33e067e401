"""a2 doctor: what is installed, where it can run, and what is broken; which blocks find what a prompt names."""

from __future__ import annotations

from dataclasses import asdict

from typer import Exit

from a2cli.commands import calibration as c
from a2cli.commands import options as o
from a2cli.commands.console import open_console
from a2cli.errors import ConfigError


def doctor(
    json: o.Json = False,
    localize: c.Data = None,
    pairs: c.Pairs = 64,
    by_head: c.ByHead = False,
    write: c.Write = False,
    backbone: o.Backbone = "nano",
    model: o.Model = None,
    seed: o.Seed = 0,
    device: o.Device = "auto",
) -> None:
    """Show versions, devices, memory and plugin errors; exit 1 when something a2 needs is broken."""
    if localize is not None:
        return c.calibrate(dict(locals()))
    if write or by_head or model is not None:
        raise ConfigError("--by-head, --write and --model go with --localize", hint="--localize synth")
    from a2cli.commands.checks import run_checks

    broken = False
    with open_console() as console:
        for check in run_checks():
            broken = broken or not check.ok
            mark = "ok " if check.ok else "BAD"
            console.result(f"{mark}  {check.name:<24}  {check.detail}", asdict(check) if json else None)
    if broken:
        raise Exit(1)
