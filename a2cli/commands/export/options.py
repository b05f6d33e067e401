"""Options of `a2 export`."""

from __future__ import annotations

from typing import Annotated, Literal

from typer import Argument, Option

FROZEN, FILES, HUB = "Which mixture of the experts", "Files", "Hub"

Adapter = Annotated[
    str,
    Argument(metavar="ADAPTER", help="Adapter folder (experts or LoRA), or `nano` for the one inside a2."),
]
Format = Annotated[
    Literal["peft", "diffusers", "comfyui", "merged", "onnx", "torch"],
    Option(
        "--format",
        help="peft: a folder each for the mixture and every expert; diffusers: load_lora_weights; comfyui: kohya's "
        "names; merged: a whole model, for --for or --for-ref; onnx, torch: both passes as programs.",
        rich_help_panel=FILES,
    ),
]
Out = Annotated[
    str,
    Option(
        "-o",
        "--out",
        metavar="OUT",
        help="Folder to write; an export that is there is replaced.",
        rich_help_panel=FILES,
    ),
]
Category = Annotated[
    str | None,
    Option(
        "--for",
        metavar="CATEGORY",
        help="Freeze the mixture that this category's pairs ask for, such as garments.",
        show_default=False,
        rich_help_panel=FROZEN,
    ),
]
Ref = Annotated[
    str | None,
    Option(
        "--for-ref",
        metavar="FILE",
        help="Freeze the mixture that edits with this reference ask for.",
        rich_help_panel=FROZEN,
    ),
]
RefMask = Annotated[
    str | None,
    Option(
        "--ref-mask",
        metavar="MASK",
        help="Where the object is in --for-ref; without it the object is cut out automatically.",
        rich_help_panel=FROZEN,
    ),
]
Photo = Annotated[
    str | None,
    Option(
        "--photo",
        metavar="FILE",
        help="With --mask: the photo the reference goes into. Default: photos of --data, averaged.",
        show_default=False,
        rich_help_panel=FROZEN,
    ),
]
Mask = Annotated[
    str | None,
    Option(
        "--mask",
        metavar="MASK",
        help="Where in --photo, in any form `a2 edit` takes.",
        rich_help_panel=FROZEN,
    ),
]
Prompt = Annotated[
    str, Option("--prompt", metavar="TEXT", help="Words that go with --for-ref.", rich_help_panel=FROZEN)
]
Data = Annotated[
    str,
    Option(
        "--data",
        metavar="synth|DATASET",
        help="Pairs that the mixture is averaged over (split train) and the loss measured on (split test).",
        rich_help_panel=FROZEN,
    ),
]
Pairs = Annotated[
    int,
    Option("--pairs", min=1, metavar="N", help="How many pairs are averaged over.", rich_help_panel=FROZEN),
]
Measure = Annotated[
    int,
    Option(
        "--measure",
        min=0,
        metavar="N",
        help="Pairs edited to measure what freezing loses; 0: none.",
        rich_help_panel=FROZEN,
    ),
]
Rank = Annotated[
    int | None,
    Option(
        "--rank",
        min=1,
        metavar="R",
        help="Cut every update to rank R (SVD). Default: exact.",
        show_default=False,
        rich_help_panel=FILES,
    ),
]
Dtype = Annotated[
    Literal["auto", "float32", "bfloat16", "float16"],
    Option("--dtype", help="Of the files' tensors; auto: the adapter's own.", rich_help_panel=FILES),
]
Backbone = Annotated[
    str | None,
    Option(
        "--backbone",
        metavar="NAME",
        help="What the adapter stands on, where it does not say so itself.",
        rich_help_panel=FILES,
    ),
]
License = Annotated[
    str | None,
    Option(
        "--license", metavar="ID", help="Licence for the card, such as apache-2.0.", rich_help_panel=FILES
    ),
]
PushToHub = Annotated[
    str | None,
    Option(
        "--push-to-hub",
        metavar="REPO",
        help="Then send the folder to this repository. If that fails, the same command sends what is there.",
        rich_help_panel=HUB,
    ),
]
Private = Annotated[
    bool, Option("--private", metavar="", help="Make the repository a private one.", rich_help_panel=HUB)
]
