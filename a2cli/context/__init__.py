"""Two passes over one sequence: known tokens once per edit, unknown tokens once per step."""

from __future__ import annotations

from a2cli.context.cache import ContextCache
from a2cli.context.layout import (
    get_image_ids,
    get_token_mask,
    pack_latents,
    pack_mask,
    unpack_latents,
)
from a2cli.context.passes import Condition, TwoPass
from a2cli.context.recording import recording

__all__ = [
    "Condition",
    "ContextCache",
    "TwoPass",
    "get_image_ids",
    "get_token_mask",
    "pack_latents",
    "pack_mask",
    "recording",
    "unpack_latents",
]
