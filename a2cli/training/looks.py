"""A look at the whole photo before an edit, and where in it the thing lies that the sentence names."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np

from a2cli.context.layout import PATCH
from a2cli.data.records import Pair
from a2cli.data.source import PairSource
from a2cli.engine.words import TextReader, get_rows
from a2cli.errors import A2Error, DataError
from a2cli.images.geometry import Box, get_bounding_box, resize
from a2cli.localize.keywords import find_keyword
from a2cli.training.samples import get_coverage

_TRIED = 16  # pairs that are opened to see whether any of them can be used
_CLOSEST = 1.4  # side of a window over the named thing's longest side, at the least


def has_look(pair: Pair) -> bool:
    """Whether a pair knows its photo before the edit, and the thing named in it."""
    return pair.src_rgb is not None and pair.src_mask is not None and bool(pair.src_mask.any())


def check_looks(source: PairSource) -> None:
    """Raise `DataError` where none of the first samples has a photo before its edit: there is nothing to learn from."""
    source = source.at_once()
    tried = min(_TRIED, source.count or _TRIED)
    for index in range(tried):
        if has_look(source.get_pair(index)):
            return
    raise DataError(
        f"none of the first {tried} pairs has a photo before its edit in which something is named",
        hint="pairs with src_image and src_mask, such as data.synth.instructions makes",
    )


def make_look(
    pair: Pair, resolution: int, token_px: int, zoom: float, rng: np.random.Generator
) -> dict[str, Any]:
    """Prepare a square window of an instruction pair's photo, the largest; with the chance `zoom` a closer one.

    Returns `photo` (S, S, 3) uint8, S being `resolution`, `cover` (2 S / token_px, 2 S / token_px) float32, the share
    of each latent pixel that the named thing covers, and `sentence`.
    """
    assert pair.src_rgb is not None and pair.src_mask is not None
    x0, y0, x1, y1 = draw_window(pair.src_mask, rng, near=rng.random() < zoom)
    size = (resolution, resolution)
    mask = resize(pair.src_mask[y0:y1, x0:x1].astype(np.float32), size).clip(0, 1)
    return {
        "photo": resize(pair.src_rgb[y0:y1, x0:x1], size),
        "cover": get_coverage(mask, token_px // PATCH),
        "sentence": pair.prompt,
    }


def draw_window(mask: np.ndarray, rng: np.random.Generator, *, near: bool) -> Box:
    """Draw a square window of a photo that holds a mask's box, or lies within it where the box is too long.

    mask (H, W), not empty. The side is the photo's shortest, of a `near` one even from 1.4 times the box's longest side
    up to that.
    """
    height, width = mask.shape
    box = get_bounding_box(mask)
    assert box is not None
    x0, y0, x1, y1 = box
    least = int(np.ceil(_CLOSEST * max(x1 - x0, y1 - y0)))
    side = min(height, width)
    if near and least < side:
        side = int(rng.integers(least, side))
    left, top = (
        _draw_start(start, stop, side, length, rng)
        for start, stop, length in ((x0, x1, width), (y0, y1, height))
    )
    return left, top, left + side, top + side


def _draw_start(start: int, stop: int, side: int, length: int, rng: np.random.Generator) -> int:
    """Where a segment of `side` in [0, length) begins that holds [start, stop), or lies within it."""
    low, high = np.clip(sorted((stop - side, start)), 0, length - side)
    return int(rng.integers(low, high + 1))


def get_keyword_span(pair: Pair) -> tuple[int, int] | None:
    """Where in a pair's sentence the words stand that name the thing; None where nothing says so."""
    found = find_keyword(pair.prompt)
    if not pair.keyword or (found and pair.prompt[slice(*found)] == pair.keyword):
        return found
    start = pair.prompt.find(pair.keyword)
    return None if start < 0 else (start, start + len(pair.keyword))


def mark_keyword(pair: Pair, reader: TextReader) -> np.ndarray:
    """Mark the rows of the text's states that name a pair's thing with 1: (T,) float32.

    All 0 where no words do, or where the sentence is too long and they are cut off.
    """
    rows, span = np.zeros(reader.length, np.float32), get_keyword_span(pair)
    if span is not None:
        with suppress(A2Error):
            rows[list(get_rows(reader, pair.prompt, span))] = 1
    return rows
