"""Where items come from: one file a layout, each lists its items without decoding them, then loads one."""

from __future__ import annotations

from a2cli.building.readers.guess import guess_kinds
from a2cli.building.readers.listing import list_inputs, load_item

__all__ = ["guess_kinds", "list_inputs", "load_item"]
