"""a2 dataset build: raw pictures and videos into a data set of pairs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from typer import Exit

from a2cli.commands import options as o
from a2cli.commands.console import open_console
from a2cli.commands.dataset import options as d
from a2cli.errors import ConfigError


def build(
    out: d.Out,
    sources: d.Sources = None,
    config: d.Config = None,
    changes: d.Set = None,
    kind: d.Kind = None,
    category: d.Category = None,
    licence: d.Licence = None,
    allow: d.Allow = None,
    urls: d.Urls = False,
    engine: d.Engine = None,
    address: d.Address = None,
    workers: d.Workers = None,
    limit: d.Limit = None,
    dry_run: d.DryRun = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Find subjects in pictures and videos, cut them out, judge and pair them; a stopped build goes on."""
    from a2cli.building.card import get_count
    from a2cli.building.config import load_build_config

    common = {"kind": kind, "category": category, "licence": licence, "allow_urls": urls or None}
    given = {"engine": engine, "address": address, "workers": workers, "limit": limit}
    settings = load_build_config(
        config, sources or (), changes or (), common, allow_licence=tuple(allow) if allow else None, **given
    )
    if out == "-":
        raise ConfigError("a data set is a folder", hint="name one with -o")
    with open_console(quiet=quiet) as console:
        if dry_run:
            from a2cli.building.plan import survey

            console.result(out, survey(settings))
            return
        from a2cli.building.run import run_build

        report = run_build(settings, Path(out), console.progress)
        console.result(out, asdict(report) if json else None)
        for reason, count in sorted(report.rejects.items(), key=lambda item: -item[1]):
            console.note(f"a2: {count} x {reason}")
        pairs, inputs = get_count(report.pairs, "pair"), get_count(report.inputs, "input")
        console.note(f"a2: {pairs} of {inputs}, {report.failed} failed")
    if report.failed:
        raise Exit(3)
