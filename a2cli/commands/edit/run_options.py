"""Options of `a2 edit` about how edits are made: by which model, in which memory, how many and where."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from a2cli.commands import completion as tab
from a2cli.commands.options import MODEL, RUN

MANY = "Many edits"

# Model
Backbone = Annotated[
    str,
    Option(
        "--backbone",
        metavar="NAME",
        help="Which backbone to use; `a2 backbones` lists them.",
        envvar="A2_BACKBONE",
        show_envvar=True,
        autocompletion=tab.complete_backbone,
        rich_help_panel=MODEL,
    ),
]
Model = Annotated[
    str | None,
    Option(
        "--model",
        metavar="PATH|ID",
        help="Model folder or hub id in place of the backbone's own.",
        envvar="A2_MODEL",
        show_envvar=True,
        rich_help_panel=MODEL,
    ),
]
Adapter = Annotated[
    list[Path] | None,  # of Paths a variable is divided at colons, not at spaces
    Option(
        "--adapter",
        metavar="DIR",
        help="Adapter folder, or `none` for the bare backbone; several, one of a kind: experts, LoRA, region. "
        "Default: those shipped with the backbone, where --model names no other.",
        envvar="A2_ADAPTER",
        show_envvar=True,
        show_default=False,
        rich_help_panel=MODEL,
    ),
]
Steps = Annotated[
    int | None,
    Option(
        "--steps",
        min=1,
        metavar="N",
        help="Denoising steps. Default: the backbone's.",
        envvar="A2_STEPS",
        show_envvar=True,
        rich_help_panel=MODEL,
    ),
]
Guidance = Annotated[
    float | None,
    Option(
        "--guidance",
        min=0.0,
        metavar="G",
        help="Guidance scale. Default: the backbone's.",
        envvar="A2_GUIDANCE",
        show_envvar=True,
        rich_help_panel=MODEL,
    ),
]
Seed = Annotated[
    int,
    Option(
        "--seed",
        min=0,
        metavar="N",
        help="Same seed, same bytes; every photo's own seed follows from it and the photo's name.",
        envvar="A2_SEED",
        show_envvar=True,
        rich_help_panel=MODEL,
    ),
]

# Running
Dtype = Annotated[
    str,
    Option(
        "--dtype",
        metavar="TYPE",
        help="auto, float32, bfloat16 or float16.",
        envvar="A2_DTYPE",
        show_envvar=True,
        autocompletion=tab.complete_dtype,
        rich_help_panel=RUN,
    ),
]
Vram = Annotated[
    str | None,
    Option(
        "--vram",
        metavar="SIZE",
        help="Fit into this much GPU memory, such as 12GB; says what is kept off the GPU.",
        envvar="A2_VRAM",
        show_envvar=True,
        rich_help_panel=RUN,
    ),
]
Offload = Annotated[
    str | None,
    Option(
        "--offload",
        metavar="none|model|sequential",
        help="Keep weights in main memory: whole parts (model), or layer by layer (sequential).",
        envvar="A2_OFFLOAD",
        show_envvar=True,
        autocompletion=tab.complete_offload,
        rich_help_panel=RUN,
    ),
]
Quantize = Annotated[
    str | None,
    Option(
        "--quantize",
        metavar="TYPE",
        help="Hold the transformer's and T5's weights in fewer bits: nf4, int8, torchao-int8.",
        envvar="A2_QUANTIZE",
        show_envvar=True,
        autocompletion=tab.complete_quantize,
        rich_help_panel=RUN,
    ),
]
DryRun = Annotated[
    bool,
    Option(
        "--dry-run",
        metavar="",
        help="Check and resolve everything, load and write nothing (but see --save-region).",
        rich_help_panel=RUN,
    ),
]

# Many edits
Manifest = Annotated[
    str | None,
    Option(
        "--manifest",
        metavar="FILE|-",
        help="The edits as JSON lines (id, source, ref, mask, ref_mask, prompt, seed, out) or as paths, one a line; - "
        "is stdin. What a line leaves out, the options say.",
        rich_help_panel=MANY,
    ),
]
Null = Annotated[
    bool,
    Option(
        "-0",
        "--null",
        metavar="",
        help="The manifest is a list of paths that end in NUL, as find -print0 prints.",
        rich_help_panel=MANY,
    ),
]
Limit = Annotated[
    int | None,
    Option("--limit", min=1, metavar="N", help="Make the first N edits only.", rich_help_panel=MANY),
]
Preview = Annotated[
    str | None,
    Option(
        "--preview",
        metavar="FILE",
        help="Also draw a sheet of photo, region, reference and result, a row an edit.",
        rich_help_panel=MANY,
    ),
]
SkipExisting = Annotated[
    bool,
    Option(
        "--skip-existing",
        metavar="",
        help="Leave what was made before from the same inputs, options and weights; the inputs are read to know.",
        rich_help_panel=MANY,
    ),
]
Resume = Annotated[
    bool,
    Option(
        "--resume",
        metavar="",
        help="Go on where a run ended: as --skip-existing, but inputs are known by size and time of change.",
        rich_help_panel=MANY,
    ),
]
Shard = Annotated[
    str | None,
    Option(
        "--shard",
        metavar="I/N",
        help="Make the I-th of N parts of the work, counted from 1: one a machine or array task.",
        rich_help_panel=MANY,
    ),
]
Workers = Annotated[
    int,
    Option(
        "--workers",
        min=1,
        metavar="N",
        help="Processes, one model each, spread over the GPUs.",
        envvar="A2_WORKERS",
        show_envvar=True,
        rich_help_panel=MANY,
    ),
]
Engine = Annotated[
    str,
    Option(
        "--engine",
        metavar="local|ray",
        help="Where the workers run; ray needs the extra a2cli\\[ray].",
        autocompletion=tab.complete_engine,
        rich_help_panel=MANY,
    ),
]
Address = Annotated[
    str | None,
    Option(
        "--address",
        metavar="ADDRESS",
        help="Ray cluster to join, such as auto or ray://head:10001. Default: one on this machine.",
        show_default=False,
        rich_help_panel=MANY,
    ),
]
Retries = Annotated[
    int,
    Option(
        "--retries",
        min=0,
        metavar="N",
        help="How often an edit is tried again whose worker crashed or hung.",
        rich_help_panel=MANY,
    ),
]
Timeout = Annotated[
    float,
    Option(
        "--timeout",
        metavar="SECONDS",
        help="After which a worker is taken to hang.",
        rich_help_panel=MANY,
    ),
]
