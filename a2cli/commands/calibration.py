"""The part of `a2 doctor` that measures which attention finds what a prompt names: its options, its run."""

from __future__ import annotations

from json import dumps
from typing import Annotated, Any

from typer import Option

from a2cli.commands.console import open_console
from a2cli.commands.table import print_table

PANEL = "Where words are found"
Data = Annotated[
    str | None,
    Option(
        "--localize",
        metavar="DATA",
        help="Score every block's attention on instruction pairs, a folder or `synth`, and name the best range.",
        rich_help_panel=PANEL,
    ),
]
Pairs = Annotated[
    int, Option("-n", min=1, metavar="N", help="How many pairs to look at.", rich_help_panel=PANEL)
]
ByHead = Annotated[
    bool,
    Option(
        "--by-head",
        metavar="",
        help="Score every head of every block as well, and choose among those of the best range.",
        rich_help_panel=PANEL,
    ),
]
Write = Annotated[
    bool,
    Option(
        "--write",
        metavar="",
        help="Put what was chosen into a2_traits.json of the model folder, where a2 edit reads it.",
        rich_help_panel=PANEL,
    ),
]
NAMES = ("backbone", "model", "pairs", "seed", "device", "by_head", "write")


def calibrate(given: dict[str, Any]) -> None:
    """Run it as the command line says, and print the scores: of blocks, of heads, of what is best."""
    from a2cli.engine.calibrate import CalibrateConfig, run_calibrate

    with open_console() as console:
        config = CalibrateConfig(given["localize"], **{name: given[name] for name in NAMES})
        found = run_calibrate(config, console.progress)
        if found.written:
            console.note(f"written: {found.written}")
    if given["json"]:
        print(dumps(found.to_dict()))
        return
    rows = [("blocks", "IoU", "± se", "AUC"), *(score.list_cells() for score in found.blocks)]
    if found.heads:
        print_table("", [("heads", "IoU of tokens", "± se", "AUC"), *(s.list_cells() for s in found.heads)])
    print_table("", [*rows, ("best: " + found.best.list_cells()[0], *found.best.list_cells()[1:])])
