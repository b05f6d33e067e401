"""Where a film cuts: jumps between the colours of one frame and the next. Functions of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

GRID, BINS = 4, 16  # blocks a side, levels a channel
LEAST_JUMP = 0.08  # share of the range of levels by which blocks differ on average across a cut
OVER_USUAL = 4.0  # and how many times as much as between the frames around it
AROUND = 6  # frames either side that tell what is usual
FLASH = 3  # frames that a flash may last


def get_signature(rgb: np.ndarray) -> np.ndarray:
    """The cumulative histograms of a small frame's blocks.

    rgb (h, w, 3) uint8, h and w multiples of 4 -> (4, 4, 3, 16) float32 in [0, 1].
    """
    height, width = rgb.shape[0] // GRID, rgb.shape[1] // GRID
    blocks = rgb.reshape(GRID, height, GRID, width, 3).transpose(0, 2, 4, 1, 3).reshape(GRID * GRID * 3, -1)
    levels = blocks.astype(np.int64) * BINS // 256 + np.arange(len(blocks))[:, None] * BINS
    counts = np.bincount(levels.ravel(), minlength=len(blocks) * BINS).reshape(GRID, GRID, 3, BINS)
    return (np.cumsum(counts, axis=-1) / (height * width)).astype(np.float32)


def get_jump(one: np.ndarray, other: np.ndarray) -> float:
    """How far two signatures are apart, in [0, 1].

    The earth mover's distance of each block's histograms, as a share of the range of levels, averaged: a change of
    light moves every level a little and counts for little, another scene counts for much.
    """
    return float(np.abs(one - other).mean())


def find_cuts(signatures: Sequence[np.ndarray]) -> list[int]:
    """The numbers of the frames that begin a new shot, the first one not among them.

    A cut is a jump of at least LEAST_JUMP and OVER_USUAL times the median of the AROUND frames either side: a fast pan
    jumps all along. Two cuts at most FLASH frames apart with the same scene before and after are a flash, no cuts.
    Dissolves and fades are not found.
    """
    jumps = [get_jump(one, other) for one, other in pairwise(signatures)]
    cuts = []
    for place, jump in enumerate(jumps):
        beside = jumps[max(place - AROUND, 0) : place] + jumps[place + 1 : place + 1 + AROUND]
        usual = float(np.median(beside)) if beside else 0.0
        if jump >= LEAST_JUMP and jump >= OVER_USUAL * usual:
            cuts.append(place + 1)
    return _drop_flashes(cuts, signatures)


def _drop_flashes(cuts: list[int], signatures: Sequence[np.ndarray]) -> list[int]:
    kept: list[int] = []
    place = 0
    while place < len(cuts):
        start, stop = cuts[place], cuts[min(place + 1, len(cuts) - 1)]
        if 0 < stop - start <= FLASH and get_jump(signatures[start - 1], signatures[stop]) < LEAST_JUMP:
            place += 2
            continue
        kept.append(start)
        place += 1
    return kept


def find_longest(times: Sequence[float], cuts: Sequence[int]) -> tuple[int, int]:
    """The first frame of the shot that lasts longest and the one after its last; the earlier of equals."""
    bounds = [0, *cuts, len(times)]
    spans = list(pairwise(bounds))
    return max(spans, key=lambda span: (round(times[span[1] - 1] - times[span[0]], 6), -span[0]))
