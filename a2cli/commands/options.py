"""Options and arguments, declared once and shared by the commands."""

from __future__ import annotations

from typing import Annotated, Literal

from typer import Argument, Option

INPUTS, REGION, OUTPUT = "Inputs", "Where to edit", "Output"
MODEL, RUN, LATER = "Model", "Running", "Not built yet"

# Inputs
Sources = Annotated[
    list[str] | None,
    Argument(metavar="SOURCE", help="Photo to edit, or - for stdin.", show_default=False),
]
Ref = Annotated[
    str, Option("--ref", metavar="FILE", help="Photo of the object to put in.", rich_help_panel=INPUTS)
]
Mask = Annotated[
    str | None,
    Option(
        "--mask",
        metavar="MASK",
        help="What to replace: grey or binary image (white = edit), RGBA whose transparent hole = edit, "
        "scribble on transparency, or box:x0,y0,x1,y1.",
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

# Where to edit
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
SaveAttention = Annotated[
    str | None,
    Option(
        "--save-attention",
        metavar="FILE",
        help="Also save the map the region was cut from, as a grey PNG of the photo's size.",
        rich_help_panel=OUTPUT,
    ),
]

# Output
Out = Annotated[
    str | None,
    Option(
        "-o",
        "--out",
        metavar="OUT",
        help="File, folder, or - for PNG on a pipe. Default: NAME.a2.png beside the source.",
        rich_help_panel=OUTPUT,
    ),
]
SaveRegion = Annotated[
    str | None,
    Option(
        "--save-region",
        metavar="FILE",
        help="Also save the region that may have changed, as a mask. With --dry-run and no --mask: find it, edit "
        "nothing.",
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
Json = Annotated[
    bool,
    Option(
        "--json",
        metavar="",
        help="One JSON object a line instead of one path a line.",
        rich_help_panel=OUTPUT,
    ),
]
NoMetadata = Annotated[
    bool,
    Option(
        "--no-metadata", metavar="", help="Leave the recipe out of the output file.", rich_help_panel=OUTPUT
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

# Model
Backbone = Annotated[
    str,
    Option(
        "--backbone",
        metavar="NAME",
        help="Which backbone to use; `a2 backbones` lists them.",
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
Adapter = Annotated[
    list[str] | None,
    Option(
        "--adapter",
        metavar="DIR",
        help="Adapter folder, or `none` for the bare backbone; several, one of a kind: experts, LoRA, region. "
        "Default: those shipped with the backbone, where --model names no other.",
        show_default=False,
        rich_help_panel=MODEL,
    ),
]
Steps = Annotated[
    int | None,
    Option(
        "--steps", min=1, metavar="N", help="Denoising steps. Default: the backbone's.", rich_help_panel=MODEL
    ),
]
Guidance = Annotated[
    float | None,
    Option(
        "--guidance",
        min=0.0,
        metavar="G",
        help="Guidance scale. Default: the backbone's.",
        rich_help_panel=MODEL,
    ),
]
Seed = Annotated[int, Option("--seed", min=0, metavar="N", help="Same seed, same bytes.")]

# Running
Device = Annotated[
    str, Option("--device", metavar="DEV", help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=RUN)
]
Dtype = Annotated[
    str, Option("--dtype", metavar="TYPE", help="auto, float32, bfloat16 or float16.", rich_help_panel=RUN)
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
Quiet = Annotated[
    bool, Option("-q", "--quiet", metavar="", help="No progress, no warnings.", rich_help_panel=RUN)
]

# Declared by the contract, without code behind them yet
Manifest = Annotated[
    str | None,
    Option("--manifest", metavar="JSONL", help="Many edits, one JSON object a line.", rich_help_panel=LATER),
]
SkipExisting = Annotated[
    bool, Option("--skip-existing", metavar="", help="Leave outputs that exist.", rich_help_panel=LATER)
]
Workers = Annotated[
    int | None,
    Option("--workers", min=1, metavar="N", help="Processes for many edits.", rich_help_panel=LATER),
]
Engine = Annotated[
    str, Option("--engine", metavar="local|ray", help="Where many edits run.", rich_help_panel=LATER)
]
Vram = Annotated[
    str | None, Option("--vram", metavar="SIZE", help="Fit into this much GPU memory.", rich_help_panel=LATER)
]
Offload = Annotated[
    str | None, Option("--offload", metavar="HOW", help="Keep weights off the GPU.", rich_help_panel=LATER)
]
Quantize = Annotated[
    str | None,
    Option("--quantize", metavar="TYPE", help="Load weights in fewer bits.", rich_help_panel=LATER),
]
AllowUrls = Annotated[
    bool, Option("--allow-urls", metavar="", help="Accept http(s) inputs.", rich_help_panel=LATER)
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

# augment-mask
ROUGH, PROTOCOL = "Rough masks (A2-Edit, eq. 3-5)", "Evaluation"
Stage = Annotated[
    Literal["fine", "rough", "box"] | None,
    Option(
        "--stage",
        help="fine: as it is; rough: grown and its outline moved; box: the box of the rough mask.",
        show_default=False,
    ),
]
Radius = Annotated[
    str | None,
    Option(
        "--radius",
        metavar="A",
        help="Growth a: 12 or 12px, 8% of the object's size (the root of its box's area), or a range 4%..12% that "
        "is drawn from. A stated radius or amplitude is never weakened for the overlap's sake. Default: 2%..12%.",
        rich_help_panel=ROUGH,
    ),
]
Alpha = Annotated[
    str | None,
    Option(
        "--alpha",
        metavar="A",
        help="Amplitude of the noise that moves the outline, as --radius. Default: 3%..16%.",
        rich_help_panel=ROUGH,
    ),
]
Scale = Annotated[
    str | None,
    Option(
        "--scale",
        metavar="S",
        help="Frequency s of the noise: 0.02 (or 0.02/px) is one period in 50 pixels, 100% is one period across "
        "the object. Default: 150%..400%.",
        rich_help_panel=ROUGH,
    ),
]
Delta = Annotated[
    str | None,
    Option(
        "--delta",
        metavar="D",
        help="Distance between the noise for x and for y, as --radius. Default: 300%..900%.",
        rich_help_panel=ROUGH,
    ),
]
Dilate = Annotated[
    str | None,
    Option(
        "--dilate",
        metavar="R",
        help="Grow by a disc of radius R, 32 or 8%; no noise, nothing drawn: the rough masks of the paper's tables.",
        rich_help_panel=PROTOCOL,
    ),
]
Perturb = Annotated[
    list[str] | None,
    Option(
        "--perturb",
        metavar="KIND:R",
        help="dilate:32, erode:8%, shift:32 in a direction drawn from the seed, or shift:32,0 (right, down). May be "
        "repeated.",
        rich_help_panel=PROTOCOL,
    ),
]
Variants = Annotated[
    int, Option("-n", "--n", min=1, metavar="K", help="How many variants to draw of one mask.")
]
Null = Annotated[
    bool,
    Option("-0", "--null", metavar="", help="The list on stdin is separated by NUL, as find -print0 does."),
]
MaskOut = Annotated[
    str | None,
    Option(
        "-o",
        "--out",
        metavar="OUT",
        help="File, folder (folders are mirrored into it), or - for PNG on a pipe. Default: NAME.STAGE.png beside "
        "the mask, further variants NAME.STAGE.1.png.",
        rich_help_panel=OUTPUT,
    ),
]
Preview = Annotated[
    str | None,
    Option(
        "--preview",
        metavar="SHEET",
        help="Also draw a picture with one row a mask: fine, rough and box.",
        rich_help_panel=OUTPUT,
    ),
]
PreviewImage = Annotated[
    str | None,
    Option(
        "--image",
        metavar="FILE|DIR",
        help="The photo, or a folder of photos named as the masks, for --preview to draw on.",
        rich_help_panel=OUTPUT,
    ),
]
MaskReport = Annotated[
    str | None,
    Option(
        "--report",
        metavar="JSON",
        help="Also write strengths, areas and overlaps of all masks to a file.",
        rich_help_panel=OUTPUT,
    ),
]
