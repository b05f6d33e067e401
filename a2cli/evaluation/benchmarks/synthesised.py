"""Held-out synthesised pairs: made one by one as they are asked for, functions of seed and number alone.

Subjects are few: of 200 held-out pairs 70 differ. So the subject is the group, as in the pair's provenance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial

from a2cli.config.suggest import get_suggestion
from a2cli.curation.layouts.records import get_stem
from a2cli.data.instructions.phrases import TASKS
from a2cli.data.provenance import parse_provenance
from a2cli.data.records import Pair
from a2cli.data.synth import SynthConfig, check_split, get_category, get_id, get_source, synthesise
from a2cli.data.taxonomy import CATEGORIES
from a2cli.errors import ConfigError
from a2cli.evaluation.benchmarks.pairs import build_case
from a2cli.evaluation.config import DataConfig
from a2cli.evaluation.records.cases import Case, CaseEntry

MOST_MISSES = 100  # pairs in a row, of one category, none of which is of a task that is asked for


def list_synthesised(config: DataConfig, split: str) -> Iterator[CaseEntry]:
    """Entries without end, their categories in turn; with `tasks` those of such tasks alone.

    Raises `ConfigError` for an unknown category, task or split and where nothing says how many, `DataError` without the
    emoji font or photographs.
    """
    check_split(split)
    for name, known in (("categories", CATEGORIES), ("tasks", TASKS)):
        if unknown := [word for word in getattr(config, name) if word not in known]:
            hint = get_suggestion(unknown[0], known)
            raise ConfigError(f"data.{name}: there is no {unknown[0]!r}", hint=hint)
    if config.tasks and not config.synth.instructions:
        raise ConfigError(
            "data.tasks: synthesised pairs have tasks where a sentence asks for an edit",
            hint="data.synth.instructions=1",
        )
    if config.limit is None and config.per_category is None:
        raise ConfigError("synthesised pairs have no end", hint="say how many: --limit or --per-category")
    return _list_tasks(config, split) if config.synth.instructions else _list(config, split)


def _list(config: DataConfig, split: str) -> Iterator[CaseEntry]:
    number = 0
    while True:
        id = get_id(number, seed=config.seed, split=split)
        load = partial(_load_case, number, config.seed, split, config.synth)
        group = get_source(number, seed=config.seed, split=split, config=config.synth)
        yield CaseEntry(id, get_stem(id), get_category(number), "", "", load, group)
        number += 1


def _list_tasks(config: DataConfig, split: str) -> Iterator[CaseEntry]:
    """The same where some are edits that a sentence asks for: what they are shows when they are made."""
    number = 0
    missed: Counter[str] = Counter()
    while True:
        category = get_category(number)
        if not config.categories or category in config.categories:
            pair = synthesise(number, seed=config.seed, split=split, config=config.synth)
            missed[category] = 0 if _is_wanted(pair, config) else missed[category] + 1
            if missed[category] == 0:
                load = partial(_load_case, number, config.seed, split, config.synth)
                group = parse_provenance(pair.provenance).group
                yield CaseEntry(
                    pair.id, get_stem(pair.id), category, "", pair.prompt, load, group, task=pair.task
                )
            elif missed[category] == MOST_MISSES:
                raise ConfigError(
                    f"data.tasks: of {MOST_MISSES} {category} not one is asked to {' or '.join(config.tasks)}",
                    hint="other tasks, or other data.categories",
                )
        number += 1


def _is_wanted(pair: Pair, config: DataConfig) -> bool:
    return not config.tasks or pair.task in config.tasks


def _load_case(number: int, seed: int, split: str, config: SynthConfig) -> Case:
    return build_case(synthesise(number, seed=seed, split=split, config=config))
