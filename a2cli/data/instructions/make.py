"""One instruction pair: source, sentence, reference, target and where they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from a2cli.data.instructions.names import get_other_noun, get_thing_noun, is_ambiguous
from a2cli.data.instructions.phrases import TASKS, Instruction, Task, build_instruction
from a2cli.data.instructions.scene import Thing, draw_things, get_name, get_thing_colour, get_visible
from a2cli.data.photos import Photograph, list_photos, pick_photo
from a2cli.data.provenance import Rights
from a2cli.data.scenes import move
from a2cli.data.subjects import Subject, sample_subject
from a2cli.data.taxonomy import CATEGORIES
from a2cli.data.views import (
    REFERENCE_VIEW,
    ViewRange,
    apply_light,
    crop_scene,
    get_shading,
    recolour,
    sample_light,
    sample_shading,
    warp_view,
)

if TYPE_CHECKING:
    from a2cli.data.synth import SynthConfig

_SHARES = (0.5, 0.25, 0.25)  # of the tasks
_COLOUR_TRIES = 12


@dataclass(frozen=True)
class InstructionScene:
    """All that a pair of a source and an edited photo shows, (S, S, 3) uint8 and (S, S) bool.

    `named` is what can be seen in the source of the thing the sentence names, `region` where source and target differ:
    that and what takes its place. `emptied` is the source without the named thing. `reference` shows the new thing
    under `ref_mask`; where a thing is removed it is the target itself, under `region`. `rights` are those of every
    picture in it.
    """

    instruction: Instruction
    thing: Thing
    source: np.ndarray
    target: np.ndarray
    emptied: np.ndarray
    reference: np.ndarray
    ref_mask: np.ndarray
    named: np.ndarray
    region: np.ndarray
    rights: tuple[Rights, ...]
    reference_rights: Rights
    ground_rights: Rights
    light: np.ndarray


def draw_instruction(
    category: str,
    split: str,
    config: SynthConfig,
    rng: np.random.Generator,
    others: Sequence[str] = CATEGORIES,
) -> InstructionScene:
    """Draw a scene and an edit of one thing in it, of `category`.

    The things are known ones in every split; ground and the thing that comes instead are of `split`, the latter also of
    `category` or one of `others`.
    """
    used: set[str] = set()
    things, chosen = draw_things(category, config, rng, used)
    thing = things[chosen]
    photo, pixels, _ = pick_photo(
        _list_grounds(list_photos(config.photos, split, config.licence), thing), rng
    )
    ground = crop_scene(pixels, config.size, rng)
    shading = get_shading(config.size, *sample_shading(rng))
    light, studio = sample_light(rng), sample_light(rng, strength=0.3)
    task: Task = TASKS[int(rng.choice(len(TASKS), p=_SHARES))]
    name = get_name(thing, things, rng)

    new, layer, words, colour = None, None, "", ""
    if task == "recolour" and (recoloured := _recolour(thing, rng)) is not None:
        new, layer, colour = recoloured
    elif task != "remove":
        task = "replace"
        other = category if rng.random() < 0.5 else others[int(rng.integers(len(others)))]
        new = sample_subject(other, split, config, rng, used)
        layer, words = _fit(new, thing.layer, rng), get_other_noun(new.label, piece=new.piece)

    layers = [t.layer for t in things]
    others_only = [*layers[:chosen], *layers[chosen + 1 :]]
    edited = others_only if layer is None else [*layers[:chosen], layer, *layers[chosen + 1 :]]
    named = get_visible(layers, chosen)
    region = named if layer is None else named | get_visible(edited, chosen)
    source, emptied = (_photograph(ground, pile, shading, light) for pile in (layers, others_only))
    target = emptied if layer is None else _photograph(ground, edited, shading, light)
    reference, ref_mask = (target, region) if new is None else _show(new, config.size, studio, rng)
    return InstructionScene(
        instruction=build_instruction(task, name, rng, other=words, colour=colour),
        thing=thing,
        source=source,
        target=target,
        emptied=emptied,
        reference=reference,
        ref_mask=ref_mask,
        named=named,
        region=region,
        rights=(*(t.rights for t in things), photo.rights, *([new.rights] if new is not None else [])),
        reference_rights=thing.rights if new is None else new.rights,
        ground_rights=photo.rights,
        light=light,
    )


def _list_grounds(photos: tuple[Photograph, ...], thing: Thing) -> list[Photograph]:
    """Those that may lie behind: none that shows another thing to which the named one's name might fit."""
    grounds = [photo for photo in photos if photo.scene]
    return [p for p in grounds if not _shows_alike(p, thing)] or grounds


def _shows_alike(photo: Photograph, thing: Thing) -> bool:
    return photo.category == thing.category or is_ambiguous(get_thing_noun(photo.name), thing.noun)


def _recolour(thing: Thing, rng: np.random.Generator) -> tuple[Subject, np.ndarray, str] | None:
    """The thing in another colour that has a name, its layer in the same pose, and the name.

    None for people and where no such colour was found.
    """
    for _ in range(_COLOUR_TRIES if thing.colour else 0):
        seed = int(rng.integers(2**32))
        new = replace(thing.subject, rgba=recolour(thing.subject.rgba, np.random.default_rng(seed)))
        colour = get_thing_colour(new, thing.category)
        if colour != thing.colour and colour not in ("colourful", "") and " and " not in colour:
            return new, _recolour_layer(thing.layer, np.random.default_rng(seed)), colour
    return None


def _recolour_layer(layer: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    cover = layer[..., 3:]
    straight = np.dstack([layer[..., :3] / np.maximum(cover, 1 / 255), cover])
    painted = recolour(_to_uint8(straight), rng)
    return np.dstack([painted[..., :3].astype(np.float32) / 255 * cover, cover])


def _fit(new: Subject, old: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The new thing where the old one stands, about as large."""
    size = old.shape[0]
    rows, columns = np.nonzero(old[..., 3] > 0.5)
    extent = max(np.ptp(rows), np.ptp(columns)) / size
    view = ViewRange(
        rotation=12, extent=(0.88 * extent, 1.06 * extent), perspective=0.05, stretch=0.1, shift=0
    )
    centred = warp_view(new.rgba, size, view, rng)
    across, down = ((c.min() + c.max()) / 2 - size / 2 for c in (columns, rows))
    return move(centred, round(across), round(down))


def _show(
    new: Subject, size: int, light: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    view = warp_view(new.rgba, size, REFERENCE_VIEW, rng)
    colours, cover = view[..., :3], view[..., 3:]
    return _to_uint8(apply_light(colours + 1 - cover, light) * cover + 1 - cover), cover[..., 0] > 0.5


def _photograph(
    ground: np.ndarray, layers: list[np.ndarray], shading: np.ndarray, light: np.ndarray
) -> np.ndarray:
    return _to_uint8(apply_light(_compose(ground, layers, shading), light))


def _compose(ground: np.ndarray, layers: list[np.ndarray], shading: np.ndarray) -> np.ndarray:
    """Lay `layers` on a ground, one after the other, each where it is."""
    ground = ground.copy()
    for layer in layers:
        rows, columns = (np.flatnonzero(layer[..., 3].any(axis)) for axis in (1, 0))
        if not len(rows):
            continue
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        here = layer[box]
        ground[box] = ground[box] * (1 - here[..., 3:]) + here[..., :3] * shading[box]
    return ground


def _to_uint8(rgb: np.ndarray) -> np.ndarray:
    return np.round(np.clip(rgb, 0, 1) * 255).astype(np.uint8)
