"""Synthesised pairs: a glyph or a photo cut-out seen twice, once on plain ground, once in a photograph.

A pair is a pure function of (seed, split, index): worker count and order never matter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TypeVar

import numpy as np

from a2cli.config.suggest import get_suggestion
from a2cli.data.glyphs import load_glyph
from a2cli.data.photos import load_photos
from a2cli.data.records import Pair
from a2cli.data.taxonomy import CATEGORIES, get_glyph_names
from a2cli.data.views import (
    REFERENCE_VIEW,
    TARGET_VIEW,
    apply_light,
    crop_scene,
    cut_blob,
    recolour,
    sample_light,
    shade,
    warp_view,
)
from a2cli.errors import ConfigError, DataError
from a2cli.images.align import place_reference

_T = TypeVar("_T")
_SPLITS = ("train", "test")


@dataclass(frozen=True)
class SynthConfig:
    """What to synthesise: canvas side in px, share of glyph subjects, share of recoloured ones, photo folder."""

    size: int = 128
    glyphs: float = 0.6
    recolour: float = 0.5
    photos: str | None = None

    def __post_init__(self) -> None:
        if self.size < 32:
            raise ConfigError(f"size {self.size} is too small", hint="at least 32")
        for name in ("glyphs", "recolour"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must lie in [0, 1]")


@cache
def get_split_glyphs(category: str, split: str) -> tuple[str, ...]:
    """List a category's glyph names of one split; every fifth name is held out for "test"."""
    names = get_glyph_names(category)
    return tuple(n for i, n in enumerate(names) if (i % 5 == 2) == (split == "test"))


def synthesise(
    index: int,
    *,
    seed: int,
    split: str = "train",
    config: SynthConfig | None = None,
    category: str | None = None,
) -> Pair:
    """Make pair number `index` of a split.

    Returns a `Pair` with pictures of `config.size` px. `category` fixes the category, else it cycles with the
    index. Raises `DataError` when the emoji font or the photographs are missing, `ConfigError` for an unknown
    split or category and for a negative seed or index.
    """
    config = config or SynthConfig()
    if split not in _SPLITS:
        raise ConfigError(f"there is no split {split!r}", hint=" or ".join(_SPLITS))
    if category is not None and category not in CATEGORIES:
        raise ConfigError(f"there is no category {category!r}", hint=get_suggestion(category, CATEGORIES))
    if seed < 0 or index < 0:
        raise ConfigError(f"seed {seed}, pair {index}: neither may be negative")
    rng = np.random.default_rng([seed, _SPLITS.index(split), index])
    category = category or CATEGORIES[index % len(CATEGORIES)]
    subject, subcategory = _sample_subject(category, split, config, rng)
    reference = warp_view(subject, config.size, REFERENCE_VIEW, rng)
    target = warp_view(subject, config.size, TARGET_VIEW, rng)
    _, _, photo = _pick(load_photos(config.photos, split), rng)
    scene = crop_scene(photo, config.size, rng)
    light = sample_light(rng)
    studio = sample_light(rng, strength=0.3)
    lit = target[..., :3] * shade(config.size, rng)
    composite = scene * (1 - target[..., 3:]) + lit
    return Pair(
        id=f"{split}-{seed}-{index:07d}",
        category=category,
        subcategory=subcategory,
        prompt=f"a photo of {subcategory}",
        ref_rgb=_to_uint8(
            apply_light(reference[..., :3] + 1 - reference[..., 3:], studio) * reference[..., 3:]
            + 1
            - reference[..., 3:]
        ),
        ref_mask=reference[..., 3] > 0.5,
        tar_rgb=_to_uint8(apply_light(composite, light)),
        tar_mask=target[..., 3] > 0.5,
        scene_rgb=_to_uint8(apply_light(scene, light)),
        light=light,
    )


def repose(pair: Pair, mask: np.ndarray, rng: np.random.Generator) -> Pair:
    """Show the pair's subject in the pose in which the reference is placed under `mask` (H, W) bool.

    A loose mask or a box leaves the pose open; a target in another pose than the placed one then teaches nothing
    but blur. Light and scene stay. Raises `DataError` for a pair that does not know them.
    """
    if pair.scene_rgb is None or pair.light is None:
        raise DataError(f"{pair.id}: scene and light are unknown", hint="only synthesised pairs know them")
    colours, cover = place_reference(pair.ref_rgb, pair.ref_mask, mask)
    weight = (cover * mask)[..., None]
    lit = apply_light(colours / 255 * shade(mask.shape[0], rng), pair.light)
    composite = pair.scene_rgb / 255 * (1 - weight) + lit * weight
    return replace(pair, tar_rgb=_to_uint8(composite), tar_mask=weight[..., 0] > 0.5)


def get_heldout_pairs(
    n_per_category: int = 25, *, size: int = 128, seed: int = 2026, photos: str | None = None
) -> list[Pair]:
    """Make the evaluation set: `n_per_category` pairs of each category from held-out glyphs and photographs."""
    config = SynthConfig(size=size, photos=photos, recolour=0.0)
    count = n_per_category * len(CATEGORIES)
    return [synthesise(i, seed=seed, split="test", config=config) for i in range(count)]


def _sample_subject(
    category: str, split: str, config: SynthConfig, rng: np.random.Generator
) -> tuple[np.ndarray, str]:
    cutouts = [(name, photo) for name, shown, photo in load_photos(config.photos, split) if shown == category]
    if rng.random() >= config.glyphs and cutouts:
        name, photo = cutouts[int(rng.integers(len(cutouts)))]
        subject, label = cut_blob(photo, rng), name
    else:
        names = get_split_glyphs(category, split)
        label = names[int(rng.integers(len(names)))]
        subject = load_glyph(label)
    if rng.random() < config.recolour:
        subject = recolour(subject, rng)
    return subject, label.lower()


def _pick(items: tuple[_T, ...], rng: np.random.Generator) -> _T:
    return items[int(rng.integers(len(items)))]


def _to_uint8(rgb: np.ndarray) -> np.ndarray:
    return np.round(np.clip(rgb, 0, 1) * 255).astype(np.uint8)
