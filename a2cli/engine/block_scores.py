"""How well the attention of blocks and of heads finds things whose place is known, and which of them together do best.

Functions of arrays: attention (blocks, heads, rows, columns) of one photo, and the share of each token that the thing
fills. Where heads make no difference there is one, the mean of a block's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from a2cli.config.localize import LocalizeOptions
from a2cli.engine.localize import read_map
from a2cli.localize.filters import smooth
from a2cli.localize.threshold import find_region
from a2cli.masks.morph import get_iou
from a2cli.metrics.region import get_auc

Heads = Sequence[tuple[int, int]]  # block and head, by their numbers


@dataclass(frozen=True)
class BlockScore:
    """How well some attention finds the named thing: means over pairs, `iou_se` its standard error.

    `blocks` as `Traits.localize_blocks` names them. `iou` after smoothing and Otsu's cut; `auc` of the bare attention
    against the tokens that the thing fills by more than half, both in [0, 1]; NaN where no pair has such tokens and
    others.
    """

    blocks: tuple[str, ...]
    iou: float
    iou_se: float
    auc: float
    pairs: int

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-ready values."""
        return asdict(self) | {"blocks": list(self.blocks), "auc": None if math.isnan(self.auc) else self.auc}

    def list_cells(self) -> tuple[str, str, str, str]:
        """Blocks, IoU, its standard error and AUC, as a table shows them."""
        if len(self.blocks) > 1 and not any(":" in name for name in self.blocks):
            named = f"{self.blocks[0]} to {self.blocks[-1]}"
        else:
            named = " + ".join(self.blocks)
        return named, f"{self.iou:.3f}", f"{self.iou_se:.3f}", f"{self.auc:.3f}"


@dataclass(frozen=True)
class Sample:
    """One pair seen: `maps` (blocks, heads, rows, columns), where the thing is (h, w) bool, its share of each token."""

    maps: np.ndarray
    truth: np.ndarray
    tokens: np.ndarray


def score_heads(samples: Sequence[Sample], chosen: Heads, names: tuple[str, ...]) -> BlockScore:
    """Score the mean attention of the chosen heads, called `names`, at the size the photos were looked at."""
    ious, aucs = [], []
    for sample in samples:
        attention = _get_mean(sample, chosen)
        look = read_map(attention, LocalizeOptions(), (sample.truth.shape[0], sample.truth.shape[1]))
        ious.append(get_iou(look.region, sample.truth))
        aucs.append(get_auc(attention, sample.tokens > 0.5))
    return _summarise(names, ious, aucs)


def score_tokens(samples: Sequence[Sample], chosen: Heads, names: tuple[str, ...]) -> BlockScore:
    """The same on the grid of tokens: a thousand heads of a large model are too many for more."""
    maps = [_get_mean(sample, chosen) for sample in samples]
    ious = [_get_token_iou(map2d, sample.tokens) for map2d, sample in zip(maps, samples, strict=True)]
    aucs = [get_auc(map2d, sample.tokens > 0.5) for map2d, sample in zip(maps, samples, strict=True)]
    return _summarise(names, ious, aucs)


def list_heads(sample: Sample, blocks: Sequence[int]) -> list[tuple[int, int]]:
    """All heads of some blocks."""
    return [(block, head) for block in blocks for head in range(sample.maps.shape[1])]


def choose_range(samples: Sequence[Sample]) -> list[int]:
    """The contiguous blocks whose mean attention finds the things best: numbers, by mean IoU on the token grid.

    Of equal ranges the first and shortest.
    """
    maps = [sample.maps.mean(1) for sample in samples]
    count = len(maps[0])
    best, found = -1.0, [0]
    for start in range(count):
        totals = [np.zeros(of.shape[1:]) for of in maps]
        for stop in range(start, count):
            for total, of in zip(totals, maps, strict=True):
                total += of[stop]
            iou = _get_mean_iou(totals, samples)
            if iou > best:
                best, found = iou, list(range(start, stop + 1))
    return found


def choose_heads(samples: Sequence[Sample], blocks: Sequence[int]) -> list[tuple[int, int]]:
    """The heads of some blocks whose mean attention finds the things best, by mean IoU on the token grid.

    Greedy: the best head alone, then the one that helps the most beside those chosen, until none does. All heads where
    together they are better than what was chosen so.
    """
    every = list_heads(samples[0], blocks)
    chosen: list[tuple[int, int]] = []
    totals = [np.zeros(sample.tokens.shape) for sample in samples]
    best = -1.0
    while left := [head for head in every if head not in chosen]:
        ious = [
            _get_mean_iou([t + s.maps[head] for t, s in zip(totals, samples, strict=True)], samples)
            for head in left
        ]
        if max(ious) <= best:
            break
        best, head = max(ious), left[int(np.argmax(ious))]
        chosen.append(head)
        totals = [total + sample.maps[head] for total, sample in zip(totals, samples, strict=True)]
    whole = _get_mean_iou([_get_mean(sample, every) for sample in samples], samples)
    return sorted(chosen) if best >= whole else every


def _get_mean(sample: Sample, chosen: Heads) -> np.ndarray:
    mean: np.ndarray = sample.maps[tuple(np.transpose(chosen))].mean(0)
    return mean


def _get_mean_iou(maps: Sequence[np.ndarray], samples: Sequence[Sample]) -> float:
    return float(np.mean([_get_token_iou(of, s.tokens) for of, s in zip(maps, samples, strict=True)]))


def _get_token_iou(attention: np.ndarray, cover: np.ndarray) -> float:
    """IoU of the tokens found with a thing's share of each, in token areas."""
    options = LocalizeOptions()
    region = find_region(smooth(attention, options.filter, options.strength)).tokens
    both = float(cover[region].sum())
    either = float(region.sum() + cover.sum()) - both
    return both / either if either > 0 else 1.0


def _summarise(names: tuple[str, ...], ious: list[float], aucs: list[float]) -> BlockScore:
    spread = float(np.std(ious, ddof=1)) / len(ious) ** 0.5 if len(ious) > 1 else 0.0
    known = [auc for auc in aucs if not np.isnan(auc)]
    auc = float(np.mean(known)) if known else float("nan")
    return BlockScore(names, float(np.mean(ious)), spread, auc, len(ious))
