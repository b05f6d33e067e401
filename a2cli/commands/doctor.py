"""a2 doctor: what is installed, where it can run, and what is broken."""

from __future__ import annotations

from dataclasses import asdict

from typer import Exit

from a2cli.commands import options as o
from a2cli.commands.console import open_console


def doctor(json: o.Json = False) -> None:
    """Show versions, devices, memory and plugin errors; exit 1 when something a2 needs is broken."""
    from a2cli.commands.checks import run_checks

    broken = False
    with open_console() as console:
        for check in run_checks():
            broken = broken or not check.ok
            mark = "ok " if check.ok else "BAD"
            console.result(f"{mark}  {check.name:<24}  {check.detail}", asdict(check) if json else None)
    if broken:
        raise Exit(1)
