"""Options of `a2 eval`."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

DATA, EDITS, SCORES, OUTPUT, GATE, RUN = "Records", "Edits", "Metrics", "Output", "Gate", "Running"
Text = str | None
Texts = list[str] | None
Number = int | None

Config = Annotated[Text, Option("--config", metavar="FILE", help="YAML file with all settings.")]
Set = Annotated[Texts, Option("--set", metavar="KEY=VALUE", help="Change one setting; may be repeated.")]

Data = Annotated[
    Text,
    Option(
        "--data",
        metavar="PATH|synth",
        help="Data set on disk, or held-out pairs made on the spot.",
        rich_help_panel=DATA,
    ),
]
Benchmark = Annotated[
    Text,
    Option(
        "--benchmark",
        metavar="NAME",
        help="pairs, synth, anyinsertion, viton-hd, magicbrush, emu-edit or gedit. Default: told by the files.",
        rich_help_panel=DATA,
    ),
]
Split = Annotated[Text, Option("--split", metavar="NAME", help="One split.", rich_help_panel=DATA)]
Limit = Annotated[
    Number, Option("--limit", min=1, metavar="N", help="The first N records.", rich_help_panel=DATA)
]
PerCategory = Annotated[
    Number,
    Option("--per-category", min=1, metavar="N", help="The first N of each category.", rich_help_panel=DATA),
]
Protocol = Annotated[
    Texts,
    Option(
        "--protocol",
        metavar="A,B",
        help="Masks: fine, rough, box, all (those three), dilate:R, erode:R, shift:R, sweep or sweep:8%. "
        "Default: all; with --pred what it has folders of.",
        rich_help_panel=DATA,
    ),
]
RoughRadius = Annotated[
    Text,
    Option(
        "--rough-radius",
        metavar="R",
        help="How far a rough mask is dilated: 32 or 8%, the default.",
        rich_help_panel=DATA,
    ),
]

Pred = Annotated[
    Text,
    Option(
        "--pred",
        metavar="DIR",
        help="Finished edits, named as their records, in folders named as protocols where there are several.",
        rich_help_panel=EDITS,
    ),
]
Methods = Annotated[
    Texts,
    Option(
        "--methods",
        metavar="A,B",
        help="What edits: a backbone, NAME=ADAPTER, or mean, telea, paste, registered, poisson, fill, diptych; "
        "target is the true picture, what a perfect edit would score.",
        rich_help_panel=EDITS,
    ),
]
Run = Annotated[
    bool | None, Option("--run", metavar="", help="Make the edits that are missing.", rich_help_panel=EDITS)
]

Metrics = Annotated[
    Texts,
    Option(
        "--metrics",
        metavar="A,B",
        help="Metrics or groups of them: default, paper, magicbrush, emu, all; `a2 eval metrics` lists them.",
        rich_help_panel=SCORES,
    ),
]
Weights = Annotated[
    Text,
    Option(
        "--weights",
        metavar="DIR",
        help="Networks of metrics: clip/, dinov2/, dino/, lpips/, inception.safetensors.",
        rich_help_panel=SCORES,
    ),
]
Judge = Annotated[
    Text,
    Option(
        "--judge",
        metavar="API:MODEL",
        help="Also ask a vision-language model: openai, gemini or local, and its name.",
        rich_help_panel=SCORES,
    ),
]

Out = Annotated[
    Text,
    Option(
        "-o",
        "--out",
        metavar="DIR",
        help="Folder for results, edits and what is kept to go on from.",
        rich_help_panel=OUTPUT,
    ),
]
Report = Annotated[
    Text, Option("--report", metavar="FILE", help="Also write the page here.", rich_help_panel=OUTPUT)
]
Json = Annotated[
    bool,
    Option("--json", metavar="", help="All results as JSON in place of a table.", rich_help_panel=OUTPUT),
]

FailUnder = Annotated[
    Texts,
    Option(
        "--fail-under",
        metavar="M=V",
        help="Exit 4 unless [METHOD/][PROTOCOL/]METRIC is at least V; may be repeated.",
        rich_help_panel=GATE,
    ),
]
FailOver = Annotated[
    Texts, Option("--fail-over", metavar="M=V", help="Likewise, at most V.", rich_help_panel=GATE)
]
Baseline = Annotated[
    Text,
    Option(
        "--baseline",
        metavar="FILE",
        help="An older results.json: exit 4 where a value is worse than there.",
        rich_help_panel=GATE,
    ),
]
Rtol = Annotated[
    float | None,
    Option(
        "--rtol",
        min=0.0,
        metavar="R",
        help="By how much of it, 0.02 without this.",
        rich_help_panel=GATE,
    ),
]

Workers = Annotated[
    Number, Option("--workers", min=1, metavar="W", help="Processes that measure.", rich_help_panel=RUN)
]
Device = Annotated[
    Text, Option("--device", metavar="DEV", help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=RUN)
]
Seed = Annotated[
    Number, Option("--seed", min=0, metavar="N", help="Of edits and errors.", rich_help_panel=RUN)
]

# compare, report
First = Annotated[str, Argument(metavar="A", help="Results: a folder or a results.json.")]
Second = Annotated[
    Text, Argument(metavar="B", help="Results set against them. Default: A itself.", show_default=False)
]
Method = Annotated[
    Texts,
    Option("--method", metavar="NAME", help="One method of both; given twice, one of A and one of B."),
]
Under = Annotated[
    Texts,
    Option("--protocol", metavar="NAME", help="One protocol of both; given twice, one of A and one of B."),
]

# study
Folder = Annotated[str, Argument(metavar="OUT", help="Folder of an evaluation with edits of two methods.")]
Rivals = Annotated[Texts, Option("--methods", metavar="A,B", help="Which methods. Default: all.")]
Against = Annotated[Text, Option("--against", metavar="NAME", help="Set all others against this one alone.")]
Questions = Annotated[
    str, Option("--questions", metavar="A,B", help="overall, identity, blend, realism: asked of each pair.")
]
Pairs = Annotated[int, Option("--pairs", min=1, metavar="N", help="Pairs that a person sees.")]
Repeats = Annotated[
    float,
    Option("--repeats", min=0.0, max=0.5, metavar="S", help="Share of them shown once more, sides changed."),
]
Title = Annotated[str, Option("--title", metavar="TEXT", help="Heading of the page.")]
StudyPage = Annotated[Text, Option("--page", metavar="FILE", help="Page to write. Default: OUT/study.html.")]
StudyKeyOut = Annotated[
    Text, Option("--key", metavar="FILE", help="Key to write. Default: OUT/study-key.json.")
]
StudyKeyIn = Annotated[str, Option("--key", metavar="FILE", help="The key that was written with the page.")]
AnswerFiles = Annotated[list[str], Argument(metavar="ANSWERS...", help="Files that the page gave out.")]
