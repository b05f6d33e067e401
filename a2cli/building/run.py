"""A whole build: inputs listed once, taken through the stages part by part, then chosen and written as shards.

OUT/train-00000.parquet, .json   pairs of one part, and what became of its inputs
OUT/rejects.jsonl                what was unsuitable, a line each
OUT/failures.jsonl               what was broken, likewise
OUT/README.md, build.json        the data card; settings, versions and counts, written last
OUT/.work/                       the list of inputs and the parts so far, gone at the end
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

from a2cli.building.chain import Progress
from a2cli.building.config import BuildConfig
from a2cli.building.generate_access import load_key
from a2cli.building.generate_client import count_asked
from a2cli.building.output import BuildReport, choose_pairs, write_data_set
from a2cli.building.parts import Part, PartStore
from a2cli.building.plan import count_plan, list_fill, read_plan, write_plan
from a2cli.building.pool import Engine, Pool
from a2cli.building.select import get_shortage
from a2cli.config.load import to_dict
from a2cli.data.shards import check_split_name
from a2cli.data.taxonomy import CATEGORIES
from a2cli.errors import ConfigError, DataError
from a2cli.files import lock_folder, make_folder, show_name, write_bytes

Show = Callable[[str, int, int], None]
REPLACED = ("README.md", "rejects.jsonl", "failures.jsonl")
RUNTIME = ("workers", "engine", "address", "retries", "timeout_s")  # settings that change no pair


def run_build(config: BuildConfig, out: Path, show: Show | None = None) -> BuildReport:
    """Build a data set into a folder, or go on where a stopped build was.

    Pairs are a function of the settings and the inputs: neither workers, engine nor interruptions change a byte of
    them. Inputs are listed at the first start; what is added to the sources later is not seen. A finished build is
    returned as it is. Raises `ConfigError` for a folder with files that a build would replace, or with a build of
    other settings or places, `DataError` when no pair comes out, the disk refuses or `.work` is damaged.
    """
    check_split_name(config.split)
    if config.generate is not None:
        load_key(config.generate)  # a missing key is said before anything is read
    make_folder(out)
    with lock_folder(out):
        work, settings = out / ".work", _get_settings(config)
        if (out / "build.json").exists():
            report = _read_finished(out, settings)
            shutil.rmtree(work, ignore_errors=True)
            return report
        _open_work(out, work, settings, [_get_place(source.path) for source in config.sources])
        store = PartStore(work)
        parts = list(_run_parts(config, work / "inputs.jsonl", store, show))
        if config.balance.fill:
            parts += _fill(config, parts, store, work, show)
        report = write_data_set(config, out, parts, store, settings)
        shutil.rmtree(work, ignore_errors=True)
        return report


def _run_parts(
    config: BuildConfig,
    plan: Path,
    store: PartStore,
    show: Show | None,
    *,
    first: int = 0,
    prefix: str = "",
    spent: int = 0,
) -> Iterator[Part]:
    """Bring every part of a plan to its end; those that are complete are read."""
    total = count_plan(plan) if plan.exists() else write_plan(config, plan, prefix, spent)
    count = -(-total // config.shard_size)
    missing = [number for number in range(count) if not store.has(first + number)]
    done = total - sum(min(config.shard_size, total - n * config.shard_size) for n in missing)

    def open_tasks() -> Iterator[Progress]:
        wanted = set(missing)
        for place, progress in enumerate(read_plan(config, plan)):
            if place // config.shard_size in wanted:
                yield progress

    def note(results: Iterator[Progress]) -> Iterator[tuple[int, Progress]]:
        for place, progress in enumerate(results):
            if show:
                show("inputs", done + place + 1, total)
            yield missing[place // config.shard_size], progress

    if missing:
        with open_engine(config, plan.parent / "generated") as engine:
            for number, group in groupby(note(engine.map(open_tasks())), key=lambda one: one[0]):
                store.write(first + number, (progress for _, progress in group))
    for number in range(count):
        yield store.read(first + number)


def open_engine(config: BuildConfig, cache: Path) -> Engine:
    """What takes tasks through the stages: worker processes here, or actors on a Ray cluster."""
    if config.engine == "ray":
        from a2cli.building.cluster import RayPool

        return RayPool(config, cache)
    return Pool(config, cache)


def _fill(
    config: BuildConfig, parts: list[Part], store: PartStore, work: Path, show: Show | None
) -> list[Part]:
    """More parts, of generated items, for the categories that have too few pairs."""
    kept, _ = choose_pairs(config, parts)
    sources = list_fill(get_shortage(kept, config.balance.fill, CATEGORIES))
    if not sources or config.generate is None:
        return []
    spent = count_asked(work / "generated")
    more = replace(config, sources=tuple(sources), limit=None)
    plan = work / "fill.jsonl"
    return list(_run_parts(more, plan, store, show, first=len(parts), prefix="fill/", spent=spent))


def _get_settings(config: BuildConfig) -> dict[str, Any]:
    return {name: value for name, value in to_dict(config).items() if name not in RUNTIME}


def _get_place(path: str) -> str:
    """Where a source lies, whatever folder the build is started from."""
    return os.path.abspath(Path(path).expanduser()) if path else ""


def _open_work(out: Path, work: Path, settings: dict[str, Any], places: list[str]) -> None:
    """Start a build in a fresh folder, or make sure that this is the one begun there."""
    file = work / "settings.json"
    shown = show_name(str(out))
    now = {**settings, "places of sources": places}
    if file.exists():
        _compare(_read_object(file, "remove .work to begin anew"), now, shown)
        return
    if any(out.glob("*.parquet")) or (out / "metadata.jsonl").exists():
        raise ConfigError(f"{shown}: already holds a data set", hint="name another folder")
    if there := [name for name in REPLACED if (out / name).exists()]:
        raise ConfigError(f"{shown}: {there[0]} would be replaced", hint="name another folder")
    make_folder(work)
    write_bytes((json.dumps(now) + "\n").encode(), file)


def _read_finished(out: Path, settings: dict[str, Any]) -> BuildReport:
    file = out / "build.json"
    value = _read_object(file, "name another folder")
    try:
        _compare(dict(value["settings"]), settings, show_name(str(out)))
        return BuildReport(**{**value, "shards": tuple(value["shards"])})
    except (KeyError, TypeError, ValueError) as error:
        shown = show_name(str(file))
        raise ConfigError(f"{shown}: not what a build writes", hint="name another folder") from error


def _read_object(file: Path, hint: str) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{show_name(str(file))}: cannot be read: {error}", hint=hint) from error
    if not isinstance(value, dict):
        raise DataError(f"{show_name(str(file))}: not a JSON object", hint=hint)
    return value


def _compare(before: dict[str, Any], now: dict[str, Any], shown: str) -> None:
    changed = [name for name in now if before.get(name) != json.loads(json.dumps(now[name]))]
    if changed:
        raise ConfigError(
            f"{shown}: a build with other settings was begun there ({', '.join(changed)} differ)",
            hint="name another folder, or the same settings to go on",
        )
