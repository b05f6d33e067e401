"""Versions of what a result was made with."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from a2cli import __version__


def get_versions(libraries: Iterable[str]) -> dict[str, str]:
    """Versions of a2, Python and those of `libraries` (distributions) that are installed."""
    found = {"a2": __version__, "python": sys.version.split()[0]}
    for name in libraries:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
