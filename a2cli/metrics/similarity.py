"""Is it the same thing? Cosines of what CLIP, DINOv2 and DINO see in an edit and in its target, reference or prompt.

And did it change as it should? The cosine of the way from source to edit and the way from one caption to the other.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from a2cli.errors import DataError
from a2cli.files import show_name
from a2cli.metrics.encoders import Encoder, Network, open_encoder
from a2cli.metrics.measure import Values, Weights
from a2cli.metrics.memory import FeatureMemory, get_content_key
from a2cli.metrics.models import get_device, name_view
from a2cli.metrics.shots import Region, Shot, get_view
from a2cli.metrics.table import MetricInfo, get_key

DIRECTION = "clip_dir"
KEPT = 8192  # features of targets, references and prompts, 24 MiB at 768 numbers each

log = logging.getLogger(__name__)


def build_measure(infos: Sequence[MetricInfo], weights: Weights, device: str) -> SimilarityMeasure:
    """Open the one network that all of `infos` share. Raises what `open_encoder` raises."""
    ((network,),) = {info.weights for info in infos}
    words = any("prompt" in info.needs for info in infos)
    return SimilarityMeasure(
        infos, open_encoder(cast(Network, network), weights, get_device(device), words=words)
    )


@dataclass(frozen=True)
class SimilarityMeasure:
    """Cosines of features of one network, in [-1, 1]; see `Measure`.

    Of the edit and its target the views are those of the mask that the method was given, of the reference those of its
    own mask, all of it where it has none. Each is looked at once a shot, whatever the number of metrics; what was seen
    of targets, references and prompts is remembered.
    """

    infos: Sequence[MetricInfo]
    encoder: Encoder
    _memory: FeatureMemory = field(default_factory=lambda: FeatureMemory(KEPT), repr=False)

    @property
    def implementation(self) -> str:
        return self.encoder.name

    def measure(self, shots: Sequence[Shot]) -> list[Values]:
        """The values of each shot; one that the network fails on is left out, with a warning."""
        return [self._measure_shot(shot) for shot in shots]

    def _measure_shot(self, shot: Shot) -> Values:
        values: Values = {}
        lost: dict[str, list[str]] = {}
        edits: dict[Region, np.ndarray] = {}
        for info in self.infos:
            for region in cast(tuple[Region, ...], info.regions):
                content = get_content(shot, info.needs[0], region)
                if content is None:
                    continue
                key = get_key(info.name, region)
                try:
                    other = self._embed(content, shot.id)
                    if region not in edits:
                        view = get_view(shot.edited, shot.mask, region)
                        edits[region] = self._embed(view, shot.id, keep=False)
                    values[key] = get_cosine(edits[region], other, shot.id)
                except DataError as error:
                    lost.setdefault(error.message, []).append(key)
        if any(info.name == DIRECTION for info in self.infos) and has_direction(shot):
            try:
                values[DIRECTION] = self._get_direction(shot, edits.get("image"))
            except DataError as error:
                lost.setdefault(error.message, []).append(DIRECTION)
        for reason, keys in lost.items():
            log.warning("%s; without %s", reason, ", ".join(keys))
        return values

    def _get_direction(self, shot: Shot, edited: np.ndarray | None) -> float:
        assert shot.source is not None
        if edited is None:
            edited = self._embed(shot.edited, shot.id, keep=False)
        before, after = (self._embed(words.strip(), shot.id) for words in (shot.source_prompt, shot.prompt))
        return get_direction(self._embed(shot.source, shot.id), edited, before, after, shot.id)

    def _embed(self, content: np.ndarray | str, name: str, *, keep: bool = True) -> np.ndarray:
        key = get_content_key(content)
        feature = self._memory.find(key)
        if feature is None:
            with name_view(name):
                feature = (
                    self.encoder.read(content) if isinstance(content, str) else self.encoder.look(content)
                )
            if keep:  # an edit is seldom seen twice
                self._memory.keep(key, feature)
        return feature


def get_content(shot: Shot, need: str, region: Region) -> np.ndarray | str | None:
    """What an edit is compared with: the view of its target or of its reference, or the prompt; None without one."""
    if need == "prompt":
        return shot.prompt.strip() or None
    rgb, mask = (shot.target, shot.mask) if need == "target" else (shot.ref_rgb, shot.ref_mask)
    return None if rgb is None else get_view(rgb, mask, region)


def has_direction(shot: Shot) -> bool:
    """Whether there is a source, and captions of it and of its edit that are not the same."""
    before, after = shot.source_prompt.strip(), shot.prompt.strip()
    return shot.source is not None and bool(before and after) and before != after


def get_direction(
    source: np.ndarray, edited: np.ndarray, before: np.ndarray, after: np.ndarray, name: str
) -> float:
    """The cosine of the way between two pictures and the way between their captions, features (d,), in [-1, 1].

    Each is brought to unit length first; 0 where either does not move. Raises `DataError` where it is not finite.
    Source: Gal et al., StyleGAN-NADA, 2022, eq. 2; features of unit length as in their published code.
    """
    x0, x1, t0, t1 = (_normalise(feature, name) for feature in (source, edited, before, after))
    seen, told = x1 - x0, t1 - t0
    return get_cosine(seen, told, name) if seen.any() and told.any() else 0.0


def _normalise(feature: np.ndarray, name: str) -> np.ndarray:
    with np.errstate(all="ignore"):
        unit = feature.astype(np.float64) / np.linalg.norm(feature.astype(np.float64))
    if not np.isfinite(unit).all():
        raise DataError(f"{show_name(name)}: the network gives no finite feature")
    return unit


def get_cosine(a: np.ndarray, b: np.ndarray, name: str) -> float:
    """The cosine of two features (d,), in [-1, 1]; 1 for equal ones. Raises `DataError` where it is not finite."""
    x, y = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(all="ignore"):
        cosine = float(x @ y / np.sqrt((x @ x) * (y @ y)))  # not of two roots: equal ones give 1 exactly
    if not math.isfinite(cosine):
        raise DataError(f"{show_name(name)}: the network gives no finite feature")
    return min(max(cosine, -1.0), 1.0)
