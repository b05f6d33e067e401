"""a2 backbones: which backbones there are, and which of them work."""

from __future__ import annotations

from dataclasses import asdict

from a2cli.commands import options as o
from a2cli.commands.console import open_console


def backbones(json: o.Json = False) -> None:
    """List the backbones, built in and plugged in, with their status.

    Built-in ones are listed without being imported; each plugin is imported in a process of its own, so
    that one that fails is shown with its reason and disturbs nothing.
    """
    from a2cli.backbones.registry import list_backbones, probe_plugins

    infos = probe_plugins(list_backbones())
    widths = [
        max(len(text) for text in column) for column in zip(*((i.name, i.source) for i in infos), strict=True)
    ]
    with open_console() as console:
        for info in infos:
            line = f"{info.name:<{widths[0]}}  {info.source:<{widths[1]}}  {info.status}"
            console.result(line, asdict(info) if json else None)
