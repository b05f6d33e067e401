"""a2 eval compare: two runs, or two methods of one, pair by pair."""

from __future__ import annotations

import json as json_text

from a2cli.commands import options as o
from a2cli.commands.console import open_console
from a2cli.commands.eval import options as e
from a2cli.commands.table import print_table


def compare(
    a: e.First,
    b: e.Second = None,
    method: e.Method = None,
    protocol: e.Under = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Set B against A record by record: mean difference, its 95 % interval, and whether B is better or worse."""
    from a2cli.evaluation.scoring.compare import (
        choose_pairs,
        compare_edits,
        list_rows,
        list_unmatched,
        load_edits,
        to_records,
    )

    with open_console(quiet=quiet) as console:
        first = load_edits(a)
        second = first if b is None else load_edits(b)
        if first.data != second.data:
            console.warn("the two were made from other data: only records of the same id are compared")
        pairs = choose_pairs(first, second, method or (), protocol or ())
        found = compare_edits(first, second, pairs)
        for line in list_unmatched(first, second, pairs):
            console.warn(line)
    if json:
        for record in to_records(found):
            print(json_text.dumps(record, allow_nan=False))
    else:
        print_table("", list_rows(found))
