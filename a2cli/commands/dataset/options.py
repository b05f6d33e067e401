"""Options of `a2 dataset build`."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

Out = Annotated[str, Option("--out", "-o", metavar="DIR", help="Folder to write.")]
Text = str | None
Sources = Annotated[
    list[str] | None,
    Argument(
        metavar="SOURCE",
        show_default=False,
        help="Folders of pictures or videos, WebDataset tars, a metadata.jsonl, a manifest (.jsonl).",
    ),
]
Config = Annotated[Text, Option("--config", metavar="FILE", help="YAML file with all settings.")]
Set = Annotated[list[str] | None, Option("--set", metavar="KEY=VALUE", help="Change one setting.")]
Kind = Annotated[
    Text,
    Option(
        "--kind",
        metavar="KIND",
        help="What the sources are: images, views (a folder an object), worn, videos, webdataset, imagefolder or "
        "manifest. Default: guessed.",
    ),
]
Category = Annotated[Text, Option("--category", metavar="C", help="What all sources show.")]
Licence = Annotated[Text, Option("--licence", metavar="L", help="Licence of all sources.")]
Allow = Annotated[
    list[str] | None,
    Option("--allow-licence", metavar="L", help="Use only what has one of these licences. May be repeated."),
]
Urls = Annotated[
    bool, Option("--allow-urls", help="Fetch pictures that a manifest names by http(s) address.")
]
Engine = Annotated[Text, Option("--engine", metavar="local|ray", help="Processes here, or a Ray cluster.")]
Address = Annotated[Text, Option("--address", metavar="HOST:PORT", help="Ray cluster to join.")]
Workers = Annotated[int | None, Option("--workers", metavar="W", min=1, help="Processes, or actors.")]
Limit = Annotated[int | None, Option("--limit", metavar="N", min=1, help="Only the first N inputs.")]
DryRun = Annotated[bool, Option("--dry-run", help="List the inputs and stop.")]
