"""The records that are edited and measured, by their benchmark: listed in order, opened one by one."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from a2cli.config.suggest import get_suggestion
from a2cli.curation.layouts.magic_brush import get_session
from a2cli.data.taxonomy import CATEGORIES
from a2cli.errors import ConfigError, DataError
from a2cli.evaluation.benchmarks.detect import ALL, choose_split, get_benchmark, list_splits
from a2cli.evaluation.benchmarks.instructed import list_emu_edit, list_gedit
from a2cli.evaluation.benchmarks.magic_brush import list_magic_brush
from a2cli.evaluation.benchmarks.pairs import list_pairs
from a2cli.evaluation.benchmarks.replay import Replay
from a2cli.evaluation.benchmarks.synthesised import list_synthesised
from a2cli.evaluation.config import SYNTH, Benchmark, DataConfig
from a2cli.evaluation.records.cases import Case, CaseEntry, CaseFailure
from a2cli.files import show_name

Item = CaseEntry | CaseFailure


def list_cases(config: DataConfig) -> Iterator[Item]:
    """The chosen records in the data set's order; those that cannot be listed are failures among them.

    No picture is opened before an entry's `load`; entries hold none, and can be pickled. A stem that two records share
    is the first one's. Raises `DataError` for a path without such data, at the end where no record was chosen, and
    `ConfigError` for settings that the data does not have.
    """
    name, split = _recognise(config)
    if name == "synth":
        items: Iterator[Item] = list_synthesised(config, split or "test")
    else:
        items = _list_lightly(config, name, split)
    items = _check_names(items)
    if config.session:
        items = _chain_turns(items)
    if config.turns == "final":
        items = _keep_final(items)
    return _choose(items, config, name, split)


def describe_data(config: DataConfig, entries: Iterable[CaseEntry] | None = None) -> dict[str, Any]:
    """What goes on record of the data: benchmark, name, split, counts, a hash, and what is taken for truth.

    `entries` are those that `list_cases` gave, which is asked where they are left out. The hash is of ids, categories
    and prompts, in order; no path is told but its last part.
    """
    name, split = _recognise(config)
    if entries is None:
        entries = [item for item in list_cases(config) if isinstance(item, CaseEntry)]
    entries = list(entries)
    lines = "".join(json.dumps([entry.id, entry.category, entry.prompt]) + "\n" for entry in entries)
    tasks = Counter(entry.task for entry in entries if entry.task)
    about: dict[str, Any] = {
        "benchmark": name,
        "name": show_name(Path(config.path).expanduser().resolve().name if name != "synth" else "synth"),
        "split": split or ALL,
        "records": len(entries),
        "categories": dict(sorted(Counter(entry.category for entry in entries).items())),
        **({"tasks": dict(sorted(tasks.items()))} if tasks else {}),
        "records_sha256": hashlib.sha256(lines.encode()).hexdigest(),
    }
    if name == "synth":
        photos = config.synth.photos
        settings = asdict(config.synth) | {"photos": photos and show_name(Path(photos).name)}
        about |= {"seed": config.seed, "synth": settings}
    return about | _get_notes(config, name)


def _recognise(config: DataConfig) -> tuple[Benchmark, str | None]:
    """The benchmark and the split, None for all; paths that the system refuses become errors of the data."""
    path = config.path
    try:
        if path != SYNTH and not set(path) & set("*?[") and not Path(path).expanduser().exists():
            raise DataError(
                f"{show_name(path)}: no such file or folder", hint="of a hub's data set name the download"
            )
        name = get_benchmark(config)
        return name, choose_split(config, name)
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{show_name(path)}: cannot be read: {cause}", hint="check the path") from error


def _get_notes(config: DataConfig, name: Benchmark) -> dict[str, str]:
    """How a benchmark's own definition differs from putting a subject back into its photo."""
    whole = {
        "mask": "the whole picture, whatever the protocol",
        "edits": "those of another size are brought to the source's (bicubic)",
    }
    if name == "emu-edit":
        truth = {"target": "the source: there are no true edits, Emu Edit measures similarity to the source"}
        return truth | {"prompt": "output_caption; of the source input_caption"} | whole
    if name == "gedit":
        return {
            "target": "none: GEdit-Bench is judged by VIEScore alone",
            "prompt": "the instruction",
        } | whole
    if name == "viton-hd" and config.unpaired:
        truth = {"target": "none: the person wears another garment; FID and KID are to the persons' photos"}
        return truth | {"pairs": "unpaired"}
    if name == "magicbrush":
        turns = "the last of each session" if config.turns == "final" else "all"
        start = "the edit of the turn before" if config.session else "the true picture of the turn before"
        return {
            "turns": turns,
            "source": f"{start}; nothing is taken out of it",
            "prompt": "what the edit shows, where descriptions lie beside the sessions, else the instruction",
            "edits": "those of another size are brought to the true edit's (bicubic)",
        }
    return {}


def _list_fully(config: DataConfig, name: Benchmark, split: str | None, *, pictures: bool) -> Iterator[Item]:
    """All records of a data set on disk; entries of shards and tars hold their pictures' files."""
    if name == "emu-edit":
        return list_emu_edit(config, split, pictures=pictures)
    if name == "gedit":
        return list_gedit(config, split, pictures=pictures)
    if name == "magicbrush":
        return list_magic_brush(config, split)
    return list_pairs(config, name, split)


def _list_lightly(config: DataConfig, name: Benchmark, split: str | None) -> Iterator[Item]:
    """The same, their entries knowing their number alone."""
    config = replace(config, limit=None, per_category=None, categories=(), split=split)
    for number, item in enumerate(_list_fully(config, name, split, pictures=False)):
        if isinstance(item, CaseEntry):
            item = replace(item, load=partial(_load_number, config, name, number, item.id))
        yield item


def _load_number(config: DataConfig, name: Benchmark, number: int, id: str) -> Case:
    """Open a record by its place. Raises `DataError`, also where another one stands there now."""
    try:
        item = _open_replay(config, name, os.getpid()).get(number)
    except IndexError:
        item = None
    if not isinstance(item, CaseEntry) or item.id != id:
        raise DataError(
            f"{show_name(config.path)}: record {show_name(id)} is no longer where it was",
            hint="run again; leave the data set alone meanwhile",
        )
    return item.load()


@lru_cache(maxsize=2)
def _open_replay(config: DataConfig, name: Benchmark, process: int) -> Replay[Item]:
    """The open places of a data set; those of one process are of no use to the processes it forks."""
    return Replay(partial(_list_fully, config, name, config.split, pictures=True))


def _chain_turns(items: Iterable[Item]) -> Iterator[Item]:
    """Each turn with the one that it starts from; where that cannot be listed, the turn is a failure."""
    held = list(items)
    chained: dict[tuple[str, int], CaseEntry] = {}
    for entry in sorted((item for item in held if isinstance(item, CaseEntry)), key=lambda entry: entry.turn):
        before = chained.get((entry.group, entry.turn - 1))
        if entry.turn == 1 or before is not None:
            chained[entry.group, entry.turn] = replace(entry, before=before)
    for item in held:
        if isinstance(item, CaseFailure):
            yield item
        elif (turn := chained.get((item.group, item.turn))) is not None:
            yield turn
        else:
            detail = f"record {show_name(item.id)}: there is no turn {item.turn - 1} to start from (mend its session)"
            yield CaseFailure(item.id, "read", "no turn before", detail)


def _keep_final(items: Iterable[Item]) -> Iterator[Item]:
    """Of each session the last turn; none where that cannot be listed: the one before it is not the last."""
    held = list(items)
    last: dict[str, int] = {}
    for item in held:
        group, turn = _get_place(item)
        last[group] = max(turn, last.get(group, 0))
    return (item for item in held if isinstance(item, CaseFailure) or item.turn == last[item.group])


def _get_place(item: Item) -> tuple[str, int]:
    """The session and the turn of a record; of one that cannot be listed, as its id tells."""
    if isinstance(item, CaseEntry):
        return item.group, item.turn
    image, _, number = item.id.rpartition("-")
    return get_session(image), int(number) if number.isdecimal() else 0


def _check_names(items: Iterable[Item]) -> Iterator[Item]:
    """Entries with names of their own; others become failures."""
    ids: dict[str, str] = {}
    for item in items:
        if isinstance(item, CaseFailure):
            yield item
        elif not item.id:
            yield CaseFailure("", "read", "no id", "a record without an id (give it one)")
        elif item.stem in ids:
            detail = f"record {show_name(item.id)}: its id stands twice (records need ids of their own)"
            yield CaseFailure(item.id, "read", "an id that stands twice", detail)
        elif not _is_text(item):
            detail = f"record {show_name(item.id)}: its texts are no text (mend the record)"
            yield CaseFailure(show_name(item.id), "read", "its texts cannot be used", detail)
        else:
            ids[item.stem] = item.id
            yield item


def _is_text(entry: CaseEntry) -> bool:
    try:
        "".join((entry.id, entry.category, entry.subcategory, entry.prompt)).encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    return True


def _choose(items: Iterable[Item], config: DataConfig, name: Benchmark, split: str | None) -> Iterator[Item]:
    """The records that the settings ask for, and the failures that stand before the last of them."""
    chosen: Counter[str] = Counter()
    there: set[str] = set()
    failed: CaseFailure | None = None
    for item in items:
        if isinstance(item, CaseFailure):
            failed = failed or item
            yield item
            continue
        if config.tasks and item.task not in config.tasks:
            continue
        there.add(item.category)
        if config.categories and item.category not in config.categories:
            continue
        if config.per_category is not None and chosen[item.category] >= config.per_category:
            continue
        yield item
        chosen[item.category] += 1
        if chosen.total() == config.limit or _is_full(chosen, config, name):
            return
    if not chosen:
        raise _get_nothing_error(config, name, split, there, failed)


def _is_full(chosen: Counter[str], config: DataConfig, name: Benchmark) -> bool:
    """Whether every category has its number, where it is known which there are."""
    if config.per_category is None or not (config.categories or name == "synth"):
        return False
    return all(chosen[category] >= config.per_category for category in config.categories or CATEGORIES)


def _get_nothing_error(
    config: DataConfig, name: Benchmark, split: str | None, there: set[str], failed: CaseFailure | None
) -> DataError | ConfigError:
    where = show_name(config.path)
    if config.tasks and not there and failed is None:
        hint = "records of edits that a sentence asks for say their task: replace, remove, recolour"
        return ConfigError(f"{where}: no record of task {' or '.join(config.tasks)}", hint=hint)
    if there:
        missing = [category for category in config.categories if category not in there]
        return ConfigError(
            f"{where}: no record of category {', '.join(missing)}", hint=get_suggestion(missing[0], there)
        )
    if failed is not None:
        return DataError(f"{where}: none of its records can be used, the first: {failed.detail}")
    splits = [] if name == "gedit" else list_splits(config.path, name)
    hint = (
        f"there are: {', '.join(splits)}; or {ALL}" if splits and split is not None else "check the data set"
    )
    return DataError(f"{where}: no {split + ' ' if split else ''}records", hint=hint)
