"""The ways to a region: those that any photo allows, and those of a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, cast

import numpy as np

from a2cli.config.load import to_dict
from a2cli.config.localize import LocalizeOptions
from a2cli.errors import BackboneError, ConfigError
from a2cli.evaluation.localization.config import DEFAULT, PLAIN, LocalizeConfig, Way
from a2cli.evaluation.localization.saliency import cut_by_otsu, get_saliency
from a2cli.evaluation.records.cases import Case

ONCE = "-once"


@dataclass(frozen=True)
class Sight:
    """What a way saw of a photo: `soft` (H, W) float32 in [0, 1], `region` (H, W) bool, both of the photo's size.

    `diffuse`: it named no place, and the region means nothing. `unread`: nor could it, since the words that name the
    thing lie behind what the model reads of a sentence, or cannot be told from its tokens.
    """

    soft: np.ndarray
    region: np.ndarray
    diffuse: bool = False
    keyword: str = ""
    unread: bool = False


Look = Callable[[Case], Sight]


@dataclass(frozen=True)
class Ways:
    """Open ways in the order asked for; `about` says what each is, `missing` why one that nobody named is not there."""

    looks: Mapping[Way, Look]
    about: Mapping[str, dict[str, Any]]
    missing: Mapping[str, str]


def open_ways(config: LocalizeConfig) -> Ways:
    """Open what the settings ask for. Raises as loading does, and `ConfigError` for a way that the model lacks."""
    wanted = config.ways or DEFAULT
    model = _Model(config) if any(way not in PLAIN for way in wanted) else None
    looks: dict[Way, Look] = {}
    about: dict[str, dict[str, Any]] = {}
    missing: dict[str, str] = {}
    for way in wanted:
        if model is None or way in PLAIN:
            looks[way], about[way] = _PLAIN[way]
            continue
        if why := model.get_lack(way):
            if config.ways is not None:
                raise ConfigError(f"--ways {way}: {why}", hint="another --adapter, or other --ways")
            missing[way] = why
        else:
            looks[way], about[way] = model.open(way)
    return Ways(looks, about, missing)


def see_all(case: Case) -> Sight:
    """The whole picture: what a hit by chance is worth."""
    size = case.source.shape[:2]
    return Sight(np.ones(size, np.float32), np.ones(size, bool))


def see_nothing(case: Case) -> Sight:
    """No place at all: a flat map, an empty region."""
    size = case.source.shape[:2]
    return Sight(np.zeros(size, np.float32), np.zeros(size, bool), diffuse=True)


def see_salient(case: Case) -> Sight:
    """What stands out, whatever the sentence says; where nothing does the map is flat and the region empty."""
    soft = get_saliency(case.source)
    region = cut_by_otsu(soft)
    return Sight(soft, region, diffuse=not region.any())


_PLAIN: dict[Way, tuple[Look, dict[str, Any]]] = {
    "box": (see_all, {"what": "the whole picture"}),
    "saliency": (see_salient, {"what": "spectral residual (Hou and Zhang, 2007), Otsu's threshold"}),
}


class _Model:
    """A model that looks at photos by what is said of them."""

    def __init__(self, config: LocalizeConfig) -> None:
        from a2cli.evaluation.methods.editor import load_pipeline

        self.config = config
        self.pipeline = load_pipeline(config.backbone, config.model, config.adapter, config.device)

    def get_lack(self, way: Way) -> str:
        """Why the model cannot look in this way; "" where it can."""
        from a2cli.engine.localize import choose_way
        from a2cli.engine.words import get_text_reader

        try:
            get_text_reader(self.pipeline.backbone)
            choose_way(self.pipeline, way.removesuffix(ONCE))
        except BackboneError as error:
            return error.message
        return ""

    def open(self, way: Way) -> tuple[Look, dict[str, Any]]:
        """A way of looking, and what goes on record of it."""
        from a2cli.evaluation.methods.editor import describe_pipeline

        options = replace(
            self.config.localize,
            way=cast(Literal["attention", "predictor"], way.removesuffix(ONCE)),
            refine=not way.endswith(ONCE),
        )
        config, pipeline = self.config, self.pipeline
        about = describe_pipeline(pipeline, config.backbone, config.model, config.adapter)
        if options.way == "predictor":
            about["region_hash"] = pipeline.region_hash[:16]
        settings = to_dict(options)
        for name in ("hold_after", "dilate", "keyword"):  # of what comes after looking
            del settings[name]
        return partial(self._look, options), {**about, "keyword": config.keyword, **settings}

    def _look(self, options: LocalizeOptions, case: Case) -> Sight:
        from a2cli.engine.localize import localize
        from a2cli.evaluation.methods.editor import get_options, is_read

        asked = get_options(options, self.config.keyword, case)
        if not is_read(self.pipeline, case.prompt, asked):
            # A miss that is measured: without it the way would be scored on short sentences alone.
            return replace(see_nothing(case), unread=True)
        found = localize(self.pipeline, case.source, case.prompt, options=asked)
        return Sight(found.soft, found.region, found.diffuse, found.keyword)
