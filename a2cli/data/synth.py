"""Synthesised pairs: a glyph or a photo cut-out seen twice, once on plain ground, once in a photograph.

A pair is a pure function of (seed, split, index): worker count and order never matter. What `SynthConfig` adds to the
plain pair (things around the subject, shadows, captions) is drawn apart, so that the rest of the pair stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from a2cli import __version__
from a2cli.config.suggest import get_suggestion
from a2cli.data.captions import build_caption, show_whole
from a2cli.data.instructions.make import draw_instruction
from a2cli.data.instructions.scene import draw_things
from a2cli.data.photos import list_photos, pick_photo
from a2cli.data.provenance import Provenance, Rights
from a2cli.data.records import Pair
from a2cli.data.scenes import compose
from a2cli.data.subjects import Subject, sample_subject
from a2cli.data.surroundings import Surroundings, draw_surroundings
from a2cli.data.taxonomy import CATEGORIES, find_subcategory
from a2cli.data.views import (
    REFERENCE_VIEW,
    TARGET_VIEW,
    apply_light,
    crop_scene,
    get_shading,
    sample_light,
    sample_shading,
    warp_view,
)
from a2cli.errors import ConfigError, DataError
from a2cli.images.align import place_reference

_SPLITS = ("train", "test")
_INSTRUCTION = 7  # the stream that instruction pairs are drawn from
_SIDES = (32, 2048)  # px; larger ones hold nothing more: glyphs are about 100 px, photographs at most 2048


@dataclass(frozen=True)
class SynthConfig:
    """What to synthesise: canvas side in px, share of glyph subjects, share of recoloured ones, photo folder.

    `occlusion`, `shadow` and `distractors` are the shares of pairs with a thing before the subject, with shadows, and
    with one to three things behind or beside it. `captions` describes the target in place of "a photo of NAME", and
    gives the listed subcategory that the name falls under, where there is one, in place of the name. `instructions` is
    the share of pairs that are edits of one of several known things, as a sentence asks for them. `licence` is that of
    the photo folder's pictures, for the provenance.
    """

    size: int = 128
    glyphs: float = 0.6
    recolour: float = 0.5
    photos: str | None = None
    occlusion: float = 0.0
    shadow: float = 0.0
    distractors: float = 0.0
    captions: bool = False
    instructions: float = 0.0
    licence: str = ""

    def __post_init__(self) -> None:
        if not _SIDES[0] <= self.size <= _SIDES[1]:
            raise ConfigError(f"size must be {_SIDES[0]} to {_SIDES[1]} px, not {self.size}")
        for name in ("glyphs", "recolour", "occlusion", "shadow", "distractors", "instructions"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must lie in [0, 1]")


def check_split(split: str) -> None:
    """Raise `ConfigError` for a split that is not synthesised."""
    if split not in _SPLITS:
        raise ConfigError(f"there is no split {split!r}", hint=" or ".join(_SPLITS))


def synthesise(
    index: int,
    *,
    seed: int,
    split: str = "train",
    config: SynthConfig | None = None,
    category: str | None = None,
    others: Sequence[str] = CATEGORIES,
) -> Pair:
    """Make pair number `index` of a split.

    Returns a `Pair` with pictures of `config.size` px. Its target mask is what can be seen of the subject, where that
    covers more than half a pixel; its scene holds everything but the subject and the subject's shadow. `category`
    fixes the category, else it cycles with the index. Of an instruction pair the named thing is of that category, and
    what comes in its place is of it or of `others`. Raises `DataError` when the emoji font or the photographs are
    missing, `ConfigError` for an unknown split or category and for a negative seed or index.
    """
    config = config or SynthConfig()
    check_split(split)
    if category is not None and category not in CATEGORIES:
        raise ConfigError(f"there is no category {category!r}", hint=get_suggestion(category, CATEGORIES))
    category = category or get_category(index)
    key = _get_key(index, seed, split)
    if is_instruction(key, config):
        return _make_instruction(key, seed, split, config, category, others)
    subject, rng = _draw_subject(key, split, config, category)
    reference = warp_view(subject.rgba, config.size, REFERENCE_VIEW, rng)
    target = warp_view(subject.rgba, config.size, TARGET_VIEW, rng)
    scenes = [photo for photo in list_photos(config.photos, split, config.licence) if photo.scene]
    photo, pixels, _ = pick_photo(scenes, rng)
    ground = crop_scene(pixels, config.size, rng)
    light = sample_light(rng)
    studio = sample_light(rng, strength=0.3)
    angle, depth = sample_shading(rng)
    whole = target[..., 3] > 0.5
    used = {subject.rights.source, photo.rights.source}
    around = draw_surroundings(whole, category, split, config, used=used, key=key, angle=angle)
    shading = get_shading(config.size, angle, depth)
    shown = compose(
        ground,
        [_shade(layer, shading) for layer in around.behind],
        _shade(target, shading),
        None if around.front is None else _shade(around.front, shading),
        around.shadow,
    )
    plain = _to_uint8(
        apply_light(reference[..., :3] + 1 - reference[..., 3:], studio) * reference[..., 3:]
        + 1
        - reference[..., 3:]
    )
    ref_mask, mask = reference[..., 3] > 0.5, shown.cover > 0.5
    hidden = float(1 - mask.sum() / max(whole.sum(), 1))
    prompt = f"a photo of {subject.label}"
    if config.captions:
        prompt = build_caption(subject, category, plain, ref_mask, mask, hidden)
    return Pair(
        id=get_id(index, seed=seed, split=split),
        category=category,
        subcategory=_get_subcategory(subject, category, config),
        prompt=prompt,
        ref_rgb=plain,
        ref_mask=ref_mask,
        tar_rgb=_to_uint8(apply_light(shown.picture, light)),
        tar_mask=mask,
        scene_rgb=_to_uint8(apply_light(shown.scene, light)),
        light=light,
        provenance=_get_provenance(subject, photo.rights, around, hidden).to_text(),
    )


def is_instruction(key: list[int], config: SynthConfig) -> bool:
    """Whether the pair with this key is an edit that a sentence asks for."""
    return (
        config.instructions > 0 and np.random.default_rng([*key, _INSTRUCTION]).random() < config.instructions
    )


def _make_instruction(
    key: list[int], seed: int, split: str, config: SynthConfig, category: str, others: Sequence[str]
) -> Pair:
    scene = draw_instruction(category, split, config, _get_generator(key), others)
    said, thing = scene.instruction, scene.thing.rights
    return Pair(
        id=get_id(key[2], seed=seed, split=split),
        category=category,
        subcategory=_get_subcategory(scene.thing.subject, category, config),
        prompt=said.text,
        ref_rgb=scene.reference,
        ref_mask=scene.ref_mask,
        tar_rgb=scene.target,
        tar_mask=scene.region,
        scene_rgb=scene.emptied,
        light=scene.light,
        provenance=Provenance(
            _join_rights(thing.source, scene.rights),
            group=_get_group(thing, split),
            ref=scene.reference_rights.source,
            tar=scene.ground_rights.source,
            tools={"synth": f"a2 {__version__}"},
        ).to_text(),
        src_rgb=scene.source,
        src_mask=scene.named,
        task=said.task,
        keyword=said.text[said.start : said.end],
    )


def _get_generator(key: list[int]) -> np.random.Generator:
    return np.random.default_rng([*key, _INSTRUCTION, 1])


def _get_group(thing: Rights, split: str) -> str:
    """Of an instruction pair. Its things are known ones in every split: they alone make no pair of another a leak."""
    return thing.source if split == "train" else f"{thing.source}, {split}"


def _get_subcategory(subject: Subject, category: str, config: SynthConfig) -> str:
    label = find_subcategory(subject.label, category) if config.captions else None
    return label.subcategory if label and label.subcategory else subject.label


def get_id(index: int, *, seed: int, split: str) -> str:
    """What pair number `index` is called."""
    return f"{split}-{seed}-{index:07d}"


def get_category(index: int) -> str:
    """The category of pair number `index` where none is fixed: they take turns."""
    return CATEGORIES[index % len(CATEGORIES)]


def get_source(index: int, *, seed: int, split: str, config: SynthConfig) -> str:
    """Where the subject of pair number `index` comes from, its group, without making the pair; raises as it does."""
    check_split(split)
    key, category = _get_key(index, seed, split), get_category(index)
    if is_instruction(key, config):
        things, named = draw_things(category, config, _get_generator(key), set())
        return _get_group(things[named].rights, split)
    return _draw_subject(key, split, config, category)[0].rights.source


def _get_key(index: int, seed: int, split: str) -> list[int]:
    if seed < 0 or index < 0:
        raise ConfigError(f"seed {seed}, pair {index}: neither may be negative")
    return [seed, _SPLITS.index(split), index]


def _draw_subject(
    key: list[int], split: str, config: SynthConfig, category: str
) -> tuple[Subject, np.random.Generator]:
    """The first thing that is drawn of a pair, and what draws the rest."""
    rng = np.random.default_rng(key)
    return sample_subject(category, split, config, rng), rng


def repose(pair: Pair, mask: np.ndarray, rng: np.random.Generator) -> Pair:
    """Show the pair's subject in the pose in which the reference is placed under `mask` (H, W) bool.

    A loose mask or a box leaves the pose open; a target in another pose than the placed one then teaches nothing
    but blur. Light and scene stay; the subject stands before everything, whole and without a shadow. An instruction
    pair keeps its photo outside the mask, and its region is still what the named thing and the new one cover; where a
    thing is removed nothing is placed, and the pair comes back as it is. Raises `DataError` for a pair that does not
    know its scene and light.
    """
    if pair.task == "remove":
        return pair
    if pair.scene_rgb is None or pair.light is None:
        raise DataError(f"{pair.id}: scene and light are unknown", hint="only synthesised pairs know them")
    colours, cover = place_reference(pair.ref_rgb, pair.ref_mask, mask)
    weight = (cover * mask)[..., None]
    lit = apply_light(colours / 255 * get_shading(mask.shape[0], *sample_shading(rng)), pair.light)
    composite, placed = pair.scene_rgb / 255 * (1 - weight) + lit * weight, weight[..., 0] > 0.5
    if pair.src_rgb is None or pair.src_mask is None:
        return replace(pair, prompt=show_whole(pair.prompt), tar_rgb=_to_uint8(composite), tar_mask=placed)
    target = np.where(mask[..., None], _to_uint8(composite), pair.src_rgb)
    return replace(pair, tar_rgb=target, tar_mask=placed | (pair.src_mask & mask))


def _get_provenance(subject: Subject, scene: Rights, around: Surroundings, hidden: float) -> Provenance:
    """The subject is source and group; authors and licences are those of every picture in the pair."""
    every = (subject.rights, scene, *around.rights)
    scores = {
        "hidden": round(hidden, 3),
        "distractors": len(around.behind),
        "shadow": round(around.shadow.strength, 3) if around.shadow else 0,
    }
    return Provenance(
        _join_rights(subject.rights.source, every),
        group=subject.rights.source,
        ref=subject.rights.source,
        tar=scene.source,
        tools={"synth": f"a2 {__version__}"},
        scores={name: score for name, score in scores.items() if score},
    )


def _join_rights(source: str, every: tuple[Rights, ...]) -> Rights:
    """Those of a picture made of several, named after one of them."""
    authors = sorted({rights.author for rights in every if rights.author})
    licences = sorted({rights.licence for rights in every})
    return Rights(
        source=source,
        author="; ".join(authors),
        licence=" AND ".join(licences) if all(licences) else "",  # SPDX; unknown if any of them is
    )


def _shade(layer: np.ndarray, shading: np.ndarray) -> np.ndarray:
    return layer * np.concatenate([shading, shading, shading, np.ones_like(shading)], axis=-1)


def _to_uint8(rgb: np.ndarray) -> np.ndarray:
    return np.round(np.clip(rgb, 0, 1) * 255).astype(np.uint8)
