"""What stands around a subject in its target photo: other subjects behind and before it, and how shadows fall."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from a2cli.data.provenance import Rights
from a2cli.data.scenes import place_before, place_behind, show_thing
from a2cli.data.shadows import Shadow, sample_shadow
from a2cli.data.subjects import Subject, sample_subject
from a2cli.data.taxonomy import CATEGORIES

if TYPE_CHECKING:
    from a2cli.data.synth import SynthConfig

_OCCLUSION, _SHADOW, _DISTRACTORS = 1, 2, 3  # each drawn from a stream of its own
_SAME_CATEGORY = 0.5  # share of things behind that are of the subject's category


@dataclass(frozen=True)
class Surroundings:
    """Layers (S, S, 4) float32 premultiplied RGBA, back to front, the shadow all cast, and whose the things are."""

    behind: tuple[np.ndarray, ...] = ()
    front: np.ndarray | None = None
    shadow: Shadow | None = None
    rights: tuple[Rights, ...] = ()


def draw_surroundings(
    whole: np.ndarray,
    category: str,
    split: str,
    config: SynthConfig,
    *,
    used: Set[str],
    key: Sequence[int],
    angle: float,
) -> Surroundings:
    """Draw what `config` asks for around a subject that covers `whole`, (S, S) bool, in light from `angle`.

    A function of `key`. None of the things is among those `used`, or like another; one that finds no place is left out.
    """
    drawing = _Drawing(split, config, whole, set(used))
    rights: list[Rights] = []
    behind: list[np.ndarray] = []
    front = shadow = None
    rng = np.random.default_rng([*key, _DISTRACTORS])
    if rng.random() < config.distractors:
        taken = whole.copy()
        for _ in range(int(rng.integers(1, 4))):
            same = rng.random() < _SAME_CATEGORY
            other = category if same else CATEGORIES[int(rng.integers(len(CATEGORIES)))]
            thing, layer = drawing.draw(other, (0.5, 0.9), rng)
            if (placed := place_behind(layer, taken, rng)) is not None:
                behind.append(placed)
                taken |= placed[..., 3] > 0.5
                rights.append(thing.rights)
    rng = np.random.default_rng([*key, _OCCLUSION])
    if rng.random() < config.occlusion:
        thing, layer = drawing.draw(CATEGORIES[int(rng.integers(len(CATEGORIES)))], (0.65, 1.1), rng)
        if (front := place_before(layer, whole, rng)) is not None:
            rights.append(thing.rights)
    rng = np.random.default_rng([*key, _SHADOW])
    if rng.random() < config.shadow:
        shadow = sample_shadow(angle, rng)
    return Surroundings(tuple(behind[::-1]), front, shadow, tuple(rights))


@dataclass(frozen=True)
class _Drawing:
    split: str
    config: SynthConfig
    whole: np.ndarray
    used: set[str]

    def draw(
        self, category: str, sizes: tuple[float, float], rng: np.random.Generator
    ) -> tuple[Subject, np.ndarray]:
        """A subject not used so far, and it in the middle of a layer; `sizes` bound it, the pair's own subject is 1."""
        thing = sample_subject(category, self.split, self.config, rng, self.used)
        self.used.add(thing.rights.source)
        rows, columns = np.nonzero(self.whole)
        extent = max(np.ptp(rows), np.ptp(columns)) / self.config.size if len(rows) else 0.5
        extent = float(np.clip(extent * rng.uniform(*sizes), 0.15, 0.7))
        return thing, show_thing(thing.rgba, self.config.size, extent, rng)
