"""What a build is about to read: every input listed once, in order, and kept in a file that a resumed run reads."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from a2cli.building.advice import get_single_advice
from a2cli.building.card import get_count
from a2cli.building.chain import Progress, State, Task
from a2cli.building.config import BuildConfig, InputConfig
from a2cli.building.readers import list_inputs
from a2cli.building.records import Input, Reject
from a2cli.data.provenance import Rights
from a2cli.errors import DataError
from a2cli.files import show_name, write_bytes

PICTURES_OF_A_PAIR = 2


def write_plan(config: BuildConfig, file: Path, prefix: str = "", spent: int = 0) -> int:
    """List the inputs of all sources into a file of JSON lines; returns how many there are.

    Ids are made unique: they begin with `prefix`, and from the second source on with its number. The generator's
    budget, less the pictures already `spent`, is granted here, in reading order, so that it does not depend on which
    worker comes first. Raises `DataError` where no input can give a pair: each is a single picture, and there is no
    generator.
    """
    write_bytes(_build_lines(config, prefix, spent), file)
    return count_plan(file)


def _build_lines(config: BuildConfig, prefix: str, spent: int) -> Iterator[bytes]:
    ids: set[str] = set()
    budget = config.generate.budget - spent if config.generate else 0
    for number, one in enumerate(_check_pairs(config, _limit(_list(config), config.limit))):
        source, state = one
        name = prefix + (state.id if source == 0 else f"{source + 1}/{state.id}")
        while name in ids:
            name = f"{name}~{number}"
        ids.add(name)
        needed = _count_missing(state)
        granted = 0 < needed <= budget
        budget -= needed if granted else 0
        kind = "reject" if isinstance(state, Reject) else "input"
        value = {"source": source, kind: asdict(replace(state, id=name)), "granted": granted}
        yield (json.dumps(value) + "\n").encode()


def read_plan(config: BuildConfig, file: Path) -> Iterator[Progress]:
    """The tasks of a plan, in order; what could not even be listed comes as a reject already.

    Raises `DataError` for a plan that is damaged.
    """
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                yield _build_progress(config, json.loads(line))
            except (ValueError, TypeError, KeyError, IndexError) as error:
                shown = f"{show_name(str(file))}, line {number}"
                raise DataError(
                    f"{shown}: cannot be read", hint=f"remove {show_name(str(file.parent))} to begin anew"
                ) from error


def _build_progress(config: BuildConfig, value: dict[str, Any]) -> Progress:
    source = config.sources[value["source"]]
    state: State
    if "reject" in value:
        reject = Reject(**value["reject"])
        one, state = Input(reject.id, "images", ""), replace(reject, failed=True)
    else:
        one = state = _build_input(value["input"])
    return Progress(Task(one, source, value["granted"]), state)


def survey(config: BuildConfig) -> dict[str, dict[str, int]]:
    """What the sources hold, without opening a picture: counts of inputs by kind, and of rejects by reason."""
    found: dict[str, Counter[str]] = {"inputs": Counter(), "rejects": Counter()}
    for _, state in _limit(_list(config), config.limit):
        if isinstance(state, Reject):
            found["rejects"][state.reason] += 1
        else:
            found["inputs"][state.kind] += 1
    return {name: dict(counts) for name, counts in found.items()}


def count_plan(file: Path) -> int:
    """How many inputs a plan lists."""
    with file.open("rb") as lines:
        return sum(1 for _ in lines)


def list_fill(shortage: dict[str, int]) -> list[InputConfig]:
    """Sources of generated items that make up for what categories lack, the taxonomy's subcategories in turn."""
    from a2cli.data.taxonomy import get_subcategories

    sources = []
    for category, count in shortage.items():
        names = get_subcategories(category)
        for place, name in enumerate(names):
            share = len(range(place, count, len(names)))
            if share:
                sources.append(
                    InputConfig(kind="generated", category=category, subcategory=name, count=share)
                )
    return sources


def _list(config: BuildConfig) -> Iterator[tuple[int, Input | Reject]]:
    licence = config.generate.licence if config.generate else ""
    for number, source in enumerate(config.sources):
        for state in list_inputs(source):
            if isinstance(state, Input) and state.kind == "generated" and not state.rights.licence:
                state = replace(state, rights=replace(state.rights, licence=licence))
            yield number, state


def _check_pairs(
    config: BuildConfig, items: Iterable[tuple[int, Input | Reject]]
) -> Iterator[tuple[int, Input | Reject]]:
    """Pass items on; raise at their end if all that may be used are single pictures nobody completes."""
    kinds: Counter[str] = Counter()
    rejects: list[Reject] = []
    hope = config.generate is not None
    for source, state in items:
        if isinstance(state, Reject):
            rejects.append(state)
        elif not hope:
            hope = not _count_missing(state)
            kinds[state.kind] += 1
        yield source, state
    if kinds and not hope:
        message = f"no pair can come of {get_count(kinds.total(), 'single picture')}"
        if rejects:
            left = f"{get_count(len(rejects), 'input')} cannot be read, the first: {rejects[0].id}"
            message = f"{message}, and {left}: {rejects[0].detail}"
        raise DataError(message, hint=get_single_advice(set(kinds)))


def _limit(
    items: Iterable[tuple[int, Input | Reject]], limit: int | None
) -> Iterator[tuple[int, Input | Reject]]:
    for number, item in enumerate(items):
        if limit is not None and number >= limit:
            return
        yield item


def _count_missing(state: Input | Reject) -> int:
    """How many pictures the generator would have to make for a pair; 0 for videos."""
    if isinstance(state, Reject) or state.kind == "videos" or "span" in state.more:
        return 0
    return max(0, PICTURES_OF_A_PAIR - len(state.names))


def _build_input(value: dict[str, Any]) -> Input:
    rights = Rights(**value["rights"])
    return Input(
        **{**value, "paths": tuple(value["paths"]), "names": tuple(value["names"]), "rights": rights}
    )
