"""Options of `a2 augment-mask`."""

from __future__ import annotations

from typing import Annotated, Literal

from typer import Argument, Option

from a2cli.commands.options import OUTPUT

ROUGH, PROTOCOL = "Rough masks (A2-Edit, eq. 3-5)", "Evaluation"

Masks = Annotated[
    list[str],
    Argument(
        metavar="MASK",
        help="Fine masks, white on black: files, folders, quoted patterns, or - for a mask or a list of paths "
        "on stdin.",
    ),
]
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
Out = Annotated[
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
Image = Annotated[
    str | None,
    Option(
        "--image",
        metavar="FILE|DIR",
        help="The photo, or a folder of photos named as the masks, for --preview to draw on.",
        rich_help_panel=OUTPUT,
    ),
]
Report = Annotated[
    str | None,
    Option(
        "--report",
        metavar="JSON",
        help="Also write strengths, areas and overlaps of all masks to a file.",
        rich_help_panel=OUTPUT,
    ),
]
