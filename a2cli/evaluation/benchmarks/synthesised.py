"""Held-out synthesised pairs: made one by one as they are asked for, functions of seed and number alone.

Subjects are few: of 200 held-out pairs 70 differ. So the subject is the group, as in the pair's provenance.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from a2cli.config.suggest import get_suggestion
from a2cli.curation.layouts.records import get_stem
from a2cli.data.synth import SynthConfig, check_split, get_category, get_id, get_source, synthesise
from a2cli.data.taxonomy import CATEGORIES
from a2cli.errors import ConfigError
from a2cli.evaluation.config import DataConfig
from a2cli.evaluation.records.cases import Case, CaseEntry


def list_synthesised(config: DataConfig, split: str) -> Iterator[CaseEntry]:
    """Entries without end, their categories in turn.

    Raises `ConfigError` for an unknown category or split and where nothing says how many, `DataError` without the emoji
    font or photographs.
    """
    check_split(split)
    if unknown := [name for name in config.categories if name not in CATEGORIES]:
        raise ConfigError(
            f"data.categories: there is no {unknown[0]!r}", hint=get_suggestion(unknown[0], CATEGORIES)
        )
    if config.limit is None and config.per_category is None:
        raise ConfigError("synthesised pairs have no end", hint="say how many: --limit or --per-category")
    return _list(config, split)


def _list(config: DataConfig, split: str) -> Iterator[CaseEntry]:
    number = 0
    while True:
        id = get_id(number, seed=config.seed, split=split)
        load = partial(_load_case, number, config.seed, split, config.synth)
        group = get_source(number, seed=config.seed, split=split, config=config.synth)
        yield CaseEntry(id, get_stem(id), get_category(number), "", "", load, group)
        number += 1


def _load_case(number: int, seed: int, split: str, config: SynthConfig) -> Case:
    pair = synthesise(number, seed=seed, split=split, config=config)
    return Case(
        id=pair.id,
        category=pair.category,
        source=pair.tar_rgb,
        mask=pair.tar_mask,
        hole=True,
        target=pair.tar_rgb,
        ref_rgb=pair.ref_rgb,
        ref_mask=pair.ref_mask,
        prompt=pair.prompt,
    )
