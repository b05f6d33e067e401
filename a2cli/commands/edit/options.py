"""Options of `a2 edit` about pictures: which, where in them, and what becomes of them."""

from __future__ import annotations

from typing import Annotated, Literal

from typer import Argument, Option

from a2cli.commands.options import INPUTS, OUTPUT, REGION

# Inputs
Sources = Annotated[
    list[str] | None,
    Argument(
        metavar="SOURCE",
        help="Photos to edit: files, folders, quoted patterns, - for stdin, with --allow-urls addresses.",
        show_default=False,
    ),
]
Refs = Annotated[
    list[str] | None,
    Option(
        "--ref",
        metavar="FILE",
        help="Photo of the object to put in, or a folder that pairs by name; several: each photo gets an edit of each.",
        show_default=False,
        rich_help_panel=INPUTS,
    ),
]
Mask = Annotated[
    str | None,
    Option(
        "--mask",
        metavar="MASK",
        help="What to replace: grey or binary image (white = edit), RGBA whose transparent hole = edit, "
        "scribble on transparency, box:x0,y0,x1,y1, or a folder of such images that pairs by name.",
        rich_help_panel=INPUTS,
    ),
]
RefMask = Annotated[
    str | None,
    Option(
        "--ref-mask",
        metavar="MASK",
        help="Where the object is in --ref; without it the object is cut out automatically.",
        rich_help_panel=INPUTS,
    ),
]
Prompt = Annotated[
    str,
    Option(
        "--prompt",
        metavar="TEXT",
        help="What to do, in words: 'replace the cup with a flower'. Without --mask it says where, too.",
        rich_help_panel=INPUTS,
    ),
]
FitMask = Annotated[
    bool,
    Option(
        "--fit-mask",
        metavar="",
        help="Resize a mask of the source's aspect ratio to its size.",
        rich_help_panel=INPUTS,
    ),
]
MaxPixels = Annotated[
    int,
    Option(
        "--max-pixels",
        min=1,
        metavar="N",
        help="Refuse pictures with more pixels than this.",
        rich_help_panel=INPUTS,
    ),
]
AllowUrls = Annotated[
    bool,
    Option(
        "--allow-urls",
        metavar="",
        help="Read http(s) addresses as well; never those of this machine or its network.",
        rich_help_panel=INPUTS,
    ),
]
Config = Annotated[
    str | None,
    Option(
        "--config",
        metavar="FILE",
        help="YAML file of options by their names: `feather: 4`, `skip-existing: true`, `source: photos`. Command line "
        "before this file, this file before the environment.",
        show_default=False,
        rich_help_panel=INPUTS,
    ),
]
From = Annotated[
    str | None,
    Option(
        "--from",
        metavar="PICTURE",
        help="Repeat the edit whose recipe this picture carries; other options change it. Of the environment only "
        "device, memory and signature count.",
        rich_help_panel=INPUTS,
    ),
]

# Where to edit
Pick = Annotated[
    bool,
    Option(
        "--pick",
        metavar="",
        help="Mark the region by hand on a small local web page, then edit. The mask is saved as NAME.mask.png beside "
        "SOURCE, or as --mask FILE; the page starts from it if it is there.",
        rich_help_panel=REGION,
    ),
]
PickPort = Annotated[
    int,
    Option(
        "--pick-port",
        min=0,
        max=65535,
        metavar="PORT",
        help="Port of that page, such as one that is forwarded already. Default: any free one.",
        show_default=False,
        rich_help_panel=REGION,
    ),
]
Localize = Annotated[
    Literal["off", "mask", "attention", "predictor", "auto"] | None,
    Option(
        "--localize",
        metavar="WAY",
        help="off: the mask is the region; mask: the mask is narrowed to what the edit needs; attention: the region is "
        "found from the prompt by the model's attention; predictor: by a region adapter; auto: by the better of the "
        "two there is. Default: off with --mask, auto without.",
        show_default=False,
        rich_help_panel=REGION,
    ),
]
Keyword = Annotated[
    str | None,
    Option(
        "--keyword",
        metavar="TEXT",
        help="The words of --prompt that name the thing to edit. Default: found by their place in the sentence.",
        rich_help_panel=REGION,
    ),
]
Threshold = Annotated[
    str,
    Option(
        "--threshold",
        metavar="auto|0..1",
        help="Where the map of attention is cut; higher edits less.",
        rich_help_panel=REGION,
    ),
]

# Output
Out = Annotated[
    str | None,
    Option(
        "-o",
        "--out",
        metavar="OUT",
        help="File, folder (folders are mirrored into it), or - for PNG on a pipe. Default: NAME.a2.png beside the "
        "source.",
        rich_help_panel=OUTPUT,
    ),
]
SaveRegion = Annotated[
    str | None,
    Option(
        "--save-region",
        metavar="FILE",
        help="Also save the region that may have changed, as a mask; of several edits a folder. With --dry-run and no "
        "--mask: find it, edit nothing.",
        rich_help_panel=OUTPUT,
    ),
]
SaveAttention = Annotated[
    str | None,
    Option(
        "--save-attention",
        metavar="FILE",
        help="Also save the map the region was cut from, as a grey PNG of the photo's size; of several edits a folder.",
        rich_help_panel=OUTPUT,
    ),
]
NumImages = Annotated[
    int,
    Option(
        "-n",
        "--num-images",
        min=1,
        metavar="N",
        help="How many results to make of one source.",
        rich_help_panel=OUTPUT,
    ),
]
Feather = Annotated[
    float,
    Option(
        "--feather",
        min=0.0,
        metavar="PX",
        help="Width of the soft border around the mask; beyond it every pixel stays as it was.",
        rich_help_panel=OUTPUT,
    ),
]
NoMetadata = Annotated[
    bool,
    Option(
        "--no-metadata", metavar="", help="Leave the recipe out of the output file.", rich_help_panel=OUTPUT
    ),
]
Sign = Annotated[
    str | None,
    Option(
        "--sign",
        metavar="CERT,KEY",
        help="Sign the output as C2PA content credentials with this certificate chain and private key (PEM files).",
        envvar="A2_SIGN",
        show_envvar=True,
        rich_help_panel=OUTPUT,
    ),
]
