"""The size an edit works at, when the model's own needs more memory than there is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from a2cli.backbones.base import Traits

if TYPE_CHECKING:
    from a2cli.engine.pipeline import EditPipeline

SMALLER = 0.7  # of a side: half the tokens, and a quarter of what grows with their square


def choose_smaller(traits: Traits) -> int | None:
    """A side in px that takes half the memory, a multiple of a token's; None where there is none."""
    side = int(traits.resolution * SMALLER) // traits.token_px * traits.token_px
    return side if side >= 2 * traits.token_px else None


@contextmanager
def working_at(pipeline: EditPipeline, side: int | None) -> Iterator[None]:
    """Let a pipeline work on crops of `side` px for the length of the block; None: its own."""
    backbone, traits = pipeline.backbone, pipeline.backbone.traits
    try:
        if side is not None:
            backbone.traits = replace(traits, resolution=side)
        yield
    finally:
        backbone.traits = traits
