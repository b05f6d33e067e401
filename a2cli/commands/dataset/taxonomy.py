"""a2 dataset taxonomy: the categories, their subcategories, and what a name means among them."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

from a2cli.commands import options as o
from a2cli.commands.console import open_console
from a2cli.errors import ConfigError


def taxonomy(
    name: Annotated[
        str | None,
        Argument(
            metavar="NAME", help="A name, an emoji, a file or a sentence to look up.", show_default=False
        ),
    ] = None,
    category: Annotated[
        str | None, Option("--category", metavar="C", help="Only this category, in any of its words.")
    ] = None,
    json: o.Json = False,
) -> None:
    """List UniEdit's categories and subcategories, or say what a name means.

    One line each: category and subcategory, of a name its other names as well, with tabs between.
    """
    from a2cli.data.taxonomy import CATEGORIES, find_label, get_aliases, get_subcategories, normalise

    if name is not None and not name.strip():
        raise ConfigError("the name is empty", hint="leave it out to list all")
    chosen = "" if category is None else normalise(category)[0]
    if name:
        label = find_label(name, chosen)
        rows = [(label.category, label.subcategory)]
    else:
        rows = [(c, s) for c in ([chosen] if chosen else CATEGORIES) for s in get_subcategories(c)]
    with open_console() as console:
        for where, what in rows:
            aliases = get_aliases(where, what)
            line = "\t".join((where, what, ", ".join(aliases)) if name else (where, what))
            record = {"category": where, "subcategory": what, "aliases": aliases}
            console.result(line, record if json else None)
