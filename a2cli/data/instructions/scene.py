"""A photo with several known things in it, each of which a sentence can name. Functions of a generator."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from a2cli.data.captions import get_colour
from a2cli.data.instructions.names import get_kind, get_thing_noun, is_ambiguous
from a2cli.data.provenance import Rights
from a2cli.data.subjects import Subject, sample_subject
from a2cli.data.taxonomy import CATEGORIES
from a2cli.data.views import ViewRange, warp_view

if TYPE_CHECKING:
    from a2cli.data.synth import SynthConfig

LEAST_SEEN = 0.6  # share of a thing that nothing covers
LEAST_AREA = 0.01  # what can be seen of the named one, share of the picture
_MOST_HIDDEN = 0.2  # share of a thing that later ones may cover
_TRIES = 10
_SPARE = 4  # things that may find no place, or no name of their own, before the scene makes do with fewer
_SAME_CATEGORY = 0.35  # share of things of the category of the first
_SIZES = {2: (0.30, 0.55), 3: (0.26, 0.46), 4: (0.24, 0.40)}  # longest side, share of the canvas


@dataclass(frozen=True)
class Thing:
    """One object of a scene: `layer` (S, S, 4) float32 premultiplied RGBA in [0, 1], and what one calls it.

    `noun` is its plain name, `colour` that of its look ("" for people), both without an article.
    """

    subject: Subject
    category: str
    layer: np.ndarray
    noun: str
    colour: str

    @property
    def rights(self) -> Rights:
        return self.subject.rights


def draw_things(
    category: str, config: SynthConfig, rng: np.random.Generator, used: set[str]
) -> tuple[list[Thing], int]:
    """Draw two to four things that overlap little and bear different names, and the number of the one to be named.

    From back to front. The named one is of `category` and the first that is drawn: it never lacks, while another one
    that finds no place, or no name of its own, does. At least 60 % of it can be seen, and that is 1 % of the picture.
    They are known ones, glyphs of the split "train", in every split: a name that no training picture showed cannot be
    found. Keys of their subjects are added to `used`.
    """
    known = replace(config, glyphs=1.0)
    wanted = int(rng.integers(2, 5))
    things: list[Thing] = []
    taken = np.zeros((config.size, config.size), bool)
    tries = 0
    while not things or (len(things) < wanted and tries < wanted + _SPARE):
        tries += 1
        same = not things or rng.random() < _SAME_CATEGORY
        own = category if same else CATEGORIES[int(rng.integers(len(CATEGORIES)))]
        subject = sample_subject(own, "train", known, rng, used)
        noun = get_thing_noun(subject.label)
        if any(is_ambiguous(noun, other.noun) for other in things):
            continue
        layer = _place(subject, config.size, _SIZES[wanted], taken, things, rng)
        if layer is None:
            continue
        used.add(subject.rights.source)
        taken |= layer[..., 3] > 0.5
        things.append(Thing(subject, own, layer, noun, get_thing_colour(subject, own)))
    rank = _pick_rank(things, rng)
    return [*things[1 : rank + 1], things[0], *things[rank + 1 :]], rank


def get_thing_colour(subject: Subject, category: str) -> str:
    """What colour one would call it; "" for people, whose colour is nobody's business."""
    if category == "portraits":
        return ""
    return get_colour(subject.rgba[..., :3], subject.rgba[..., 3] > 128)


def get_name(thing: Thing, things: list[Thing], rng: np.random.Generator) -> str:
    """One name out of several that fit no other thing: with its colour, without, or by its kind."""
    kind = get_kind(thing.noun, thing.category, [(t.noun, t.category) for t in things if t is not thing])
    draw = rng.random()
    if kind and draw < 0.08:
        return kind
    return get_thing_noun(thing.subject.label, thing.colour) if draw < 0.55 else thing.noun


def get_visible(layers: list[np.ndarray], number: int) -> np.ndarray:
    """Where more than half a pixel of a layer can be seen, (S, S) bool; later layers lie before it."""
    cover = layers[number][..., 3]
    for layer in layers[number + 1 :]:
        cover = cover * (1 - layer[..., 3])
    return cover > 0.5


def _pick_rank(things: list[Thing], rng: np.random.Generator) -> int:
    """How many things the first may lie before, so that enough can be seen of each."""
    first, *others = [t.layer for t in things]
    areas = [(layer[..., 3] > 0.5).sum() for layer in (first, *others)]
    fit = []
    for rank in range(len(things)):
        pile = [*others[:rank], first, *others[rank:]]
        seen = [get_visible(pile, number).sum() for number in range(len(pile))]
        own = seen.pop(rank)
        shares = [own / areas[0], *(part / area for part, area in zip(seen, areas[1:], strict=True))]
        if min(shares) >= LEAST_SEEN and own >= LEAST_AREA * first[..., 3].size:
            fit.append(rank)
    return fit[int(rng.integers(len(fit)))] if fit else len(others)


def _place(
    subject: Subject,
    size: int,
    sizes: tuple[float, float],
    taken: np.ndarray,
    things: list[Thing],
    rng: np.random.Generator,
) -> np.ndarray | None:
    view = ViewRange(rotation=14, extent=sizes, perspective=0.06, stretch=0.1, shift=1.0)
    for _ in range(_TRIES):
        layer = warp_view(subject.rgba, size, view, rng)
        solid = layer[..., 3] > 0.5
        if solid.mean() < LEAST_AREA:
            continue
        covered = [
            float((solid & (t.layer[..., 3] > 0.5)).sum() / (t.layer[..., 3] > 0.5).sum()) for t in things
        ]
        if not things or (max(covered) <= _MOST_HIDDEN and (solid & taken).sum() <= 0.5 * solid.sum()):
            return layer
    return None
