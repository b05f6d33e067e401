"""What pairs show: a glyph, a photographed object, or a piece of a photograph."""

from __future__ import annotations

from collections.abc import Set
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from a2cli.data.glyphs import get_glyph_rights, get_split_glyphs, load_glyph
from a2cli.data.photos import Photograph, list_photos, pick_photo
from a2cli.data.provenance import Rights
from a2cli.data.views import crop_subject, cut_blob, recolour
from a2cli.errors import DataError
from a2cli.files import show_name

if TYPE_CHECKING:
    from a2cli.data.synth import SynthConfig


@dataclass(frozen=True)
class Subject:
    """A cut-out, `rgba` (h, w, 4) uint8 with straight alpha, and what it is.

    `label` names it in lower case, `piece` tells that it is a random piece of what it is named after. `rights.source`
    is its key: no other subject has the same.
    """

    rgba: np.ndarray
    label: str
    rights: Rights
    piece: bool = False


def sample_subject(
    category: str,
    split: str,
    config: SynthConfig,
    rng: np.random.Generator,
    avoid: Set[str] = frozenset(),
) -> Subject:
    """Draw a subject of a category and a split, none whose key is in `avoid`; some are given other colours.

    Raises `DataError` when the emoji font is missing.
    """
    photos = [
        photo
        for photo in list_photos(config.photos, split, config.licence)
        if photo.category == category and photo.rights.source not in avoid
    ]
    cut = None
    if rng.random() >= config.glyphs and photos:
        with suppress(DataError):  # none of them can be read, which was said
            cut = _cut(photos, rng)
    subject = cut or _draw_glyph(category, split, rng, avoid)
    if rng.random() >= config.recolour:
        return subject
    return Subject(recolour(subject.rgba, rng), subject.label, subject.rights, subject.piece)


def _draw_glyph(category: str, split: str, rng: np.random.Generator, avoid: Set[str]) -> Subject:
    every = get_split_glyphs(category, split)
    names = [name for name in every if get_glyph_rights(name).source not in avoid]
    name = names[int(rng.integers(len(names)))]
    return Subject(load_glyph(name), name.lower(), get_glyph_rights(name))


def _cut(photos: list[Photograph], rng: np.random.Generator) -> Subject:
    photo, rgb, alpha = pick_photo(photos, rng)
    label = show_name(photo.name).lower()
    if alpha is not None and (alpha < 128).any() and (alpha >= 128).any():
        return Subject(crop_subject(rgb, alpha), label, photo.rights)
    return Subject(cut_blob(rgb, rng), label, photo.rights, piece=True)
