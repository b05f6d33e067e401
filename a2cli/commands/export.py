"""a2 export: an adapter in the formats of other tools."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

from a2cli.commands.console import not_built

Adapter = Annotated[str, Argument(metavar="ADAPTER", help="Adapter folder.")]
Format = Annotated[
    str, Option("--format", metavar="peft|diffusers|comfyui|merged|onnx", help="Which format.")
]
Out = Annotated[str, Option("-o", "--out", metavar="OUT", help="File or folder to write.")]


def export(adapter: Adapter, format: Format, out: Out) -> None:
    """Write an adapter in the format of another tool (not built yet)."""
    raise not_built("a2 export")
