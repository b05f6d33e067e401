"""Options and arguments that several commands share."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

from a2cli.commands.completion import complete_backbone, complete_device

INPUTS, REGION, OUTPUT = "Inputs", "Where to edit", "Output"
MODEL, RUN = "Model", "Running"

Json = Annotated[
    bool,
    Option(
        "--json",
        metavar="",
        help="One JSON object a line instead of one path a line.",
        rich_help_panel=OUTPUT,
    ),
]
Backbone = Annotated[
    str,
    Option(
        "--backbone",
        metavar="NAME",
        help="Which backbone to use; `a2 backbones` lists them.",
        autocompletion=complete_backbone,
        rich_help_panel=MODEL,
    ),
]
Model = Annotated[
    str | None,
    Option(
        "--model",
        metavar="PATH|ID",
        help="Model folder or hub id in place of the backbone's own.",
        rich_help_panel=MODEL,
    ),
]
Seed = Annotated[int, Option("--seed", min=0, metavar="N", help="Same seed, same bytes.")]
Device = Annotated[
    str,
    Option(
        "--device",
        metavar="DEV",
        help="auto, cpu, cuda, cuda:N or mps.",
        envvar="A2_DEVICE",
        show_envvar=True,
        autocompletion=complete_device,
        rich_help_panel=RUN,
    ),
]
Quiet = Annotated[
    bool, Option("-q", "--quiet", metavar="", help="No progress, no warnings.", rich_help_panel=RUN)
]

# Shared by train and dataset
ConfigFile = Annotated[str, Option("--config", metavar="FILE", help="YAML file with the settings.")]
Overrides = Annotated[
    list[str] | None,
    Argument(
        metavar="KEY=VALUE",
        help="Settings changed for this run, such as steps=100 or model.width=64.",
        show_default=False,
    ),
]
