"""A whole build: inputs listed once, taken through the stages part by part, then chosen and written as shards.

OUT/train-00000.parquet, .json   pairs of one part, and what became of its inputs
OUT/rejects.jsonl                what was unsuitable, a line each
OUT/failures.jsonl               what was broken, likewise
OUT/README.md, build.json        the data card; settings, versions and counts, written last
OUT/.work/                       the list of inputs and the parts so far, gone at the end
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from a2cli.building.chain import Progress
from a2cli.building.config import BuildConfig
from a2cli.building.generate_client import count_asked, load_key
from a2cli.building.output import BuildReport, NoPairError, choose_pairs, write_data_set
from a2cli.building.parts import Part, PartStore
from a2cli.building.plan import count_plan, list_fill, read_plan, write_plan
from a2cli.building.pool import Engine, Pool
from a2cli.building.select import get_shortage
from a2cli.building.target import (
    GENERATED,
    INPUTS,
    WORK,
    begin,
    get_settings,
    give_up,
    open_target,
    read_finished,
)
from a2cli.data.shards import check_split_name
from a2cli.data.taxonomy import CATEGORIES

Show = Callable[[str, int, int], None]


def run_build(config: BuildConfig, out: Path, show: Show | None = None) -> BuildReport:
    """Build a data set into a folder, or go on where a stopped build was.

    Pairs are a function of the settings and the inputs: neither workers, engine nor interruptions change a byte of
    them. Inputs are listed at the first start; what is added to the sources later is not seen. A finished build is
    returned as it is; one of which no pair came is done anew. Where the inputs cannot be listed, nothing stays. Raises
    `ConfigError` for a folder with files that a build would replace, with a build of other settings or places, or in a
    source, `DataError` when no pair comes or can come out, the disk refuses or `.work` is damaged.
    """
    check_split_name(config.split)
    if config.generate is not None:
        load_key(config.generate)  # a missing key is said before anything is read
    work = out / WORK
    with open_target(out, config):
        if report := read_finished(config, out):
            shutil.rmtree(work, ignore_errors=True)
            return report
        begin(config, out)
        store = PartStore(work)
        parts = list(_run_parts(config, work / INPUTS, store, show))
        if config.balance.fill:
            parts += _fill(config, parts, store, work, show)
        try:
            report = write_data_set(config, out, parts, store, get_settings(config))
        except NoPairError:
            give_up(out)  # better settings must not meet these
            raise
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
        with open_engine(config, plan.parent / GENERATED) as engine:
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
    spent = count_asked(work / GENERATED)
    more = replace(config, sources=tuple(sources), limit=None)
    plan = work / "fill.jsonl"
    return list(_run_parts(more, plan, store, show, first=len(parts), prefix="fill/", spent=spent))
