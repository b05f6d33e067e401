"""A photo with several known things in it, each of which a sentence can name. Functions of a generator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from a2cli.data.captions import get_colour, get_noun
from a2cli.data.instructions.phrases import drop_article
from a2cli.data.provenance import Rights
from a2cli.data.subjects import Subject, sample_subject
from a2cli.data.taxonomy import CATEGORIES
from a2cli.data.views import ViewRange, warp_view

if TYPE_CHECKING:
    from a2cli.data.synth import SynthConfig

_MOST_HIDDEN = 0.2  # share of a thing that later ones may cover
_TRIES = 10
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
    category: str, split: str, config: SynthConfig, rng: np.random.Generator, used: set[str]
) -> list[Thing]:
    """Draw two to four things that overlap little and bear different names; the first is of `category`.

    Keys of their subjects are added to `used`. A thing that finds no place is left out, the first never.
    """
    wanted = int(rng.integers(2, 5))
    things: list[Thing] = []
    taken = np.zeros((config.size, config.size), bool)
    for number in range(wanted):
        same = number == 0 or rng.random() < _SAME_CATEGORY
        own = category if same else CATEGORIES[int(rng.integers(len(CATEGORIES)))]
        subject = sample_subject(own, split, config, rng, used)
        noun = drop_article(get_noun(subject.label))
        if subject.piece or any(_clash(noun, other.noun) for other in things):
            continue
        layer = _place(subject, config.size, _SIZES[wanted], taken, things, rng)
        if layer is None:
            continue
        used.add(subject.rights.source)
        taken |= layer[..., 3] > 0.5
        things.append(Thing(subject, own, layer, noun, get_thing_colour(subject, own)))
    return things


def get_thing_colour(subject: Subject, category: str) -> str:
    """What colour one would call it; "" for people, whose colour is nobody's business."""
    if category == "portraits":
        return ""
    return get_colour(subject.rgba[..., :3], subject.rgba[..., 3] > 128)


def get_name(thing: Thing, things: list[Thing], rng: np.random.Generator) -> str:
    """One name out of several that fit no other thing: with its colour, without, or by its colour and kind."""
    coloured = drop_article(get_noun(thing.subject.label, thing.colour))
    alone = sum(other.category == thing.category for other in things) == 1
    draw = rng.random()
    if alone and draw < 0.08:
        return _KINDS[thing.category]
    return coloured if draw < 0.55 else thing.noun


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
        if not solid.any():
            continue
        covered = [
            float((solid & (t.layer[..., 3] > 0.5)).sum() / (t.layer[..., 3] > 0.5).sum()) for t in things
        ]
        if not things or (max(covered) <= _MOST_HIDDEN and (solid & taken).sum() <= 0.5 * solid.sum()):
            return layer
    return None


def _clash(a: str, b: str) -> bool:
    first, second = set(a.lower().split()), set(b.lower().split())
    return first <= second or second <= first


_KINDS = {
    "garments": "garment",
    "portraits": "person",
    "animals": "animal",
    "plants": "plant",
    "accessories": "accessory",
    "furniture": "household thing",
    "vehicles": "vehicle",
    "architecture": "building",
}
