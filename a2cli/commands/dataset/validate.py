"""a2 dataset validate."""

from __future__ import annotations

from a2cli.commands.console import not_built


def validate() -> None:
    """Not built yet."""
    raise not_built("a2 dataset validate")
