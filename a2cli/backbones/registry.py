"""Backbones by name, found through the entry-point group `a2.backbones`.

Listing reads package metadata and imports nothing; a backbone is imported when it is named. A plugin that
fails, has another API version or takes a used name therefore disturbs nobody who does not name it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from a2cli import __version__
from a2cli.backbones.base import API_VERSION
from a2cli.config.suggest import get_suggestion
from a2cli.errors import BackboneError

GROUP = "a2.backbones"
DISTRIBUTION = "a2cli"
PROBE_SECONDS = 120


@dataclass(frozen=True)
class BackboneInfo:
    """One registered backbone: its name, the distribution it comes from, and what is known of it."""

    name: str
    source: str
    status: str

    @property
    def built_in(self) -> bool:
        return self.source.split(" ")[0] == DISTRIBUTION

    @property
    def usable(self) -> bool:
        """Whether nothing speaks against it so far; a plugin's import may still fail."""
        return not self.status.startswith("broken")


def list_backbones() -> list[BackboneInfo]:
    """Every registered backbone, built-in ones first, from metadata alone."""
    entries = _get_entries()
    infos = [BackboneInfo(e.name, _get_source(e), _get_status(e, entries)) for e in entries]
    return sorted(infos, key=lambda info: (not info.built_in, info.name, info.source))


def check_backbone_name(name: str) -> None:
    """BackboneError when no backbone or more than one goes by `name`; imports nothing."""
    _find_entry(name)


def load_backbone_class(name: str) -> Any:
    """The class registered as `name`; BackboneError names its distribution and why it is unusable."""
    entry = _find_entry(name)
    source = _get_source(entry)
    try:
        cls = entry.load()
    except (Exception, SystemExit) as error:
        cause = f"{type(error).__name__}: {error}"
        raise BackboneError(f"backbone {name!r} of {source} cannot be imported: {cause}") from error
    version = getattr(cls, "api_version", None)
    if version != API_VERSION:
        has = "names no api_version" if version is None else f"is made for API version {version}"
        raise BackboneError(
            f"backbone {name!r} of {source} {has}, a2 {__version__} has API version {API_VERSION}"
        )
    return cls


def probe_plugins(infos: Iterable[BackboneInfo]) -> list[BackboneInfo]:
    """The same list with every plugin imported in a process of its own and its status set to the outcome."""
    return [
        info if info.built_in or not info.usable else replace(info, status=_probe(info.name))
        for info in infos
    ]


def _probe(name: str) -> str:
    command = [sys.executable, "-m", __name__, name]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PROBE_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"broken: its import takes longer than {PROBE_SECONDS} s"
    if done.returncode == 0:
        return "ok"
    lines = done.stdout.strip().splitlines()
    return "broken: " + (
        lines[-1] if done.returncode == 2 and lines else f"its import ends with {done.returncode}"
    )


def _get_entries() -> list[EntryPoint]:
    return list(entry_points(group=GROUP))


def _get_source(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "unknown"


def _is_built_in(entry: EntryPoint) -> bool:
    return entry.dist is not None and entry.dist.name == DISTRIBUTION


def _get_status(entry: EntryPoint, entries: list[EntryPoint]) -> str:
    if _is_built_in(entry):
        return "built in"
    others = [other for other in entries if other.name == entry.name and other is not entry]
    if others:
        return f"broken: {_get_source(others[0])} has the same name"
    return "plugged in"


def _find_entry(name: str) -> EntryPoint:
    """The one entry of that name; a built-in backbone keeps its name whoever else claims it."""
    entries = _get_entries()
    found = [entry for entry in entries if entry.name == name]
    found = [entry for entry in found if _is_built_in(entry)] or found
    if not found:
        hint = get_suggestion(name, (entry.name for entry in entries))
        raise BackboneError(f"no backbone is called {name!r}", hint=hint)
    if len(found) > 1:
        sources = " and ".join(_get_source(entry) for entry in found)
        raise BackboneError(f"two backbones are called {name!r}", hint=f"uninstall one of {sources}")
    return found[0]


def _main(name: str) -> int:
    """What a probe runs: import one backbone, say in the last line of stdout why not."""
    try:
        load_backbone_class(name)
    except BackboneError as error:
        print(f"\n{' '.join(str(error).split())}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1]))
