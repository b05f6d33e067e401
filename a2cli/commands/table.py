"""Tables on stdout: drawn on a terminal, values between tabs for whoever reads them by program."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from a2cli.files import show_name


def print_table(title: str, rows: Sequence[Sequence[str]]) -> None:
    """Print `rows`, the first of which names the columns."""
    if not sys.stdout.isatty():
        for row in rows:
            print("\t".join(map(show_name, row)))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left")
    for column, name in enumerate(rows[0]):
        numbers = all(row[column].replace(".", "", 1).isdigit() for row in rows[1:])
        table.add_column(name, justify="right" if numbers else "left", overflow="fold")
    for row in rows[1:]:
        table.add_row(*(Text(show_name(value)) for value in row))
    Console().print(table)
