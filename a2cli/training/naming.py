"""What a thing is called and which colour it has, told by its look and by its words alike.

Both are read by the same classifiers, so that a word comes to lie where the look of what it names does. These heads
serve training alone.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from a2cli.data.captions import COLOURS as PLAIN_COLOURS
from a2cli.data.captions import get_colour
from a2cli.data.glyphs import get_split_glyphs
from a2cli.data.instructions.names import get_kind, get_thing_noun
from a2cli.data.records import Pair
from a2cli.data.taxonomy import CATEGORIES
from a2cli.training.looks import get_keyword_span

UNKNOWN = -100  # a class that nothing is said of; cross-entropy leaves it out
COLOURS = (*PLAIN_COLOURS, "colourful")  # all that `get_colour` says
SHARED = 128  # width in which looks and words are compared
COLOUR_WEIGHT = 0.5  # of a colour beside a name
EPSILON = 1e-6
_COLOUR = re.compile(rf"({'|'.join(COLOURS)})(?: and (?:{'|'.join(COLOURS)}))? (?=\w)", re.IGNORECASE)


@cache
def get_vocabulary() -> dict[str, int]:
    """The class of every name that is learned: the known glyphs', in lower case and the order of the taxonomy."""
    names = [name.lower() for category in CATEGORIES for name in get_split_glyphs(category, "train")]
    return {name: number for number, name in enumerate(names)}


def get_labels(pair: Pair) -> dict[str, np.ndarray]:
    """The classes of a pair's named thing, each 0-d int64, `UNKNOWN` where there is none.

    `name_seen` and `colour_seen` are those of its look; `name_said` and `colour_said` those its words tell: a word for
    a whole kind tells no name. The colour is the one the words tell, else that of the photo; of two the first. People
    have none.
    """
    assert pair.src_rgb is not None and pair.src_mask is not None
    name, span = get_vocabulary().get(pair.subcategory.lower(), UNKNOWN), get_keyword_span(pair)
    said, is_name = split_words(pair, pair.prompt[slice(*span)]) if span else ("", False)
    seen = said or ("" if pair.category == "portraits" else get_colour(pair.src_rgb, pair.src_mask))
    labels = {
        "name_seen": name,
        "name_said": name if is_name else UNKNOWN,
        "colour_seen": _get_colour_class(seen),
        "colour_said": _get_colour_class(said),
    }
    return {key: np.array(value, np.int64) for key, value in labels.items()}


def split_words(pair: Pair, words: str) -> tuple[str, bool]:
    """The colour with which the words for a pair's thing begin, if any, and whether they tell more than its kind."""
    noun = get_thing_noun(pair.subcategory.lower())
    if words.lower() == noun.lower():  # whatever it begins with is no more than a part of the name
        return "", True
    found = _COLOUR.match(words)
    rest = words[found.end() :] if found else words
    colour = found[1].lower() if found and pair.category != "portraits" else ""
    return colour, rest.lower() != get_kind(noun, pair.category, [])


def _get_colour_class(colour: str) -> int:
    first = colour.split(" and ")[0]
    return COLOURS.index(first) if first else UNKNOWN


class NamingHeads(nn.Module):
    """Two ways into one space, and the classifiers of names and colours there.

    width: of a picture's features; text_dim: of a row of text states.
    """

    def __init__(self, width: int, text_dim: int) -> None:
        super().__init__()
        self.look = nn.Linear(width, SHARED)
        self.words = nn.Linear(text_dim, SHARED)
        self.names = nn.Linear(SHARED, len(get_vocabulary()))
        self.colours = nn.Linear(SHARED, len(COLOURS))

    def see(self, features: Tensor, cover: Tensor) -> Tensor:
        """The look (B, SHARED) of what `cover` (B, rows, columns) marks in features (B, rows, columns, width)."""
        weight = cover[..., None]
        mean = (features * weight).sum((1, 2)) / weight.sum((1, 2)).clamp_min(1e-3)
        return self.look(mean)

    def hear(self, states: Tensor, rows: Tensor) -> Tensor:
        """What (B, SHARED) the rows marked in `rows` (B, T) of text states (B, T, text_dim) mean."""
        weight = rows[..., None]
        return self.words((states * weight).sum(1) / weight.sum(1).clamp_min(1))


def naming_loss(
    heads: NamingHeads, seen: Tensor, said: Tensor, labels: dict[str, Any]
) -> tuple[Tensor, dict[str, float]]:
    """Get the cross-entropies of names and colours, of looks and of words, summed; each a mean over what is known.

    seen, said (B, SHARED) as `heads` makes them, labels as `get_labels`, (B,) each. The figures are the shares of names
    that are right.
    """
    loss, right = torch.zeros((), device=seen.device), {}
    for side, shared in (("seen", seen), ("said", said)):
        names, colours = heads.names(shared).float(), heads.colours(shared).float()
        name, colour = (labels[f"{part}_{side}"].to(seen.device) for part in ("name", "colour"))
        loss = loss + _classify(names, name) + COLOUR_WEIGHT * _classify(colours, colour)
        known = name != UNKNOWN
        hits = (names.argmax(1) == name)[known].float()
        right[f"names_{side}"] = hits.mean().item() if len(hits) else 0.0
    return loss, right


def _classify(logits: Tensor, label: Tensor) -> Tensor:
    """The cross-entropy of what is known; 0 where nothing is."""
    error = F.cross_entropy(logits, label, ignore_index=UNKNOWN, reduction="sum")
    return error / (label != UNKNOWN).sum().clamp_min(1)


def pooling_loss(weights: Tensor, rows: Tensor) -> Tensor:
    """Get -log of the attention (B, heads, queries, T) that goes to the rows marked in `rows` (B, T), a mean.

    Over heads, queries and those of the batch of which any row is marked.
    """
    shares = (weights.float() * rows[:, None, None]).sum(-1)
    surprise = -(shares + EPSILON).log().mean((1, 2))
    known = rows.any(1)
    return (surprise * known).sum() / known.sum().clamp_min(1)
