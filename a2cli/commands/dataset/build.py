"""a2 dataset build."""

from __future__ import annotations

from a2cli.commands.console import not_built


def build() -> None:
    """Not built yet."""
    raise not_built("a2 dataset build")
