"""A data set read, divided as a plan says and written anew; pictures keep their bytes."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from a2cli.curation.duplicates import build_fingerprint
from a2cli.curation.faults import read_entry
from a2cli.curation.split import ASIDE, Candidate, SplitConfig, SplitPlan, plan_split
from a2cli.curation.target import check_target, fill_target
from a2cli.data.browse import Entry, browse
from a2cli.data.instructed import INSTRUCTION_TEXTS, list_there
from a2cli.data.processes import work_in_order
from a2cli.data.provenance import parse_provenance
from a2cli.data.records import BadRecord
from a2cli.data.rows import OPTIONAL, PICTURES
from a2cli.data.shards import Row, even_out, write_shard
from a2cli.errors import ConfigError, DataError
from a2cli.files import show_name, write_bytes

REPORT = "split.json"


@dataclass(frozen=True)
class Division:
    """A plan, the messages about records that could not be used, and the shards that were written."""

    plan: SplitPlan
    bad: tuple[str, ...]
    shards: tuple[Path, ...] = ()

    def to_dict(self, path: str, config: SplitConfig) -> dict[str, Any]:
        """What `split.json` holds."""
        plan = self.plan
        return {
            "path": path,
            "options": asdict(config),
            "counts": {split or "aside": dict(sorted(found.items())) for split, found in plan.counts.items()},
            "components": plan.components,
            "aside": sorted(name for name, split in plan.splits.items() if split == ASIDE),
            "bad": list(self.bad),
            "warnings": list(plan.warnings),
        }


def divide_dataset(
    path: str,
    out: Path,
    config: SplitConfig,
    *,
    dry_run: bool = False,
    shard_size: int = 128,
    workers: int = 1,
    progress: Callable[[str, int, int], None] | None = None,
) -> Division:
    """Write `train-00000.parquet`, ... of each split and `split.json` into a new folder; `dry_run` only plans.

    Every record is decoded once for the plan, in `workers` processes, and copied undecoded after it, in its old order;
    where a record goes depends neither on that order nor on shards. `progress` is told (step, done, total). Raises
    `ConfigError` for a folder that is not empty or lies within the data set and for settings that leave nothing to
    train on, `DataError` when nothing can be read or a shard cannot be written.
    """
    if shard_size < 1:
        raise ConfigError(f"shard_size must be 1 or more, not {shard_size}")
    if not dry_run:
        check_target(out, path)
    total = sum(1 for _ in browse(path, pictures=False)) if progress else 0
    candidates: dict[int, Candidate] = {}  # by the record's place
    bad: list[str] = []
    ids: set[str] = set()
    read = partial(_read_candidate, looks=config.near is not None)
    for entry, found in work_in_order(read, browse(path), workers):
        if isinstance(found, str):
            bad.append(found)
        elif found.print.id in ids:
            bad.append(f"{show_name(path)}: record {show_name(found.print.id)}: the id stands twice")
        else:
            ids.add(found.print.id)
            candidates[entry.number] = found
        if progress:
            progress("reading", entry.number + 1, total)
    if not candidates:
        raise DataError(f"{show_name(path)}: no record can be used", hint="a2 dataset validate says why")
    plan = plan_split(list(candidates.values()), config)
    if not plan.counts["train"]:
        raise ConfigError(f"{show_name(path)}: nothing is left to train on", hint=_get_remedy(plan, config))
    division = Division(plan, tuple(bad))
    if dry_run:
        return division
    with fill_target(out, path):
        places = {number: plan.splits[one.print.id] for number, one in candidates.items()}
        shards = []
        for done, shard in _write(path, out, places, shard_size):
            shards += shard
            if progress:
                progress("writing", done, total)
        even_out(shards)
        text = json.dumps(division.to_dict(path, config), indent=1) + "\n"
        write_bytes(text.encode(), out / REPORT)
    return Division(plan, tuple(bad), tuple(sorted(shards)))


def _get_remedy(plan: SplitPlan, config: SplitConfig) -> str:
    """What leaves records to train on."""
    sizes: Counter[str] = Counter()
    for found in plan.counts.values():
        sizes.update(found)
    free = [name for name in sizes if name not in config.hold_out]
    wanted = {"--test": 0 if config.hold_out else config.test, "--validation": config.validation}
    options = [name for name, count in wanted.items() if count]
    if not free or not options:
        return "hold out fewer categories"
    least = min(sizes[name] for name in free)
    counted = f"{least} record{'' if least == 1 else 's'}"
    return f"give a smaller {' or '.join(options)}: the smallest category has {counted}"


def _read_candidate(entry: Entry, *, looks: bool) -> Candidate | str:
    """What the plan must know of a record, or why it cannot be used."""
    try:
        pair = read_entry(entry)
    except BadRecord as error:
        return str(error)
    if not pair.id:
        return f"{show_name(entry.where)}: record {entry.number}: no id"
    provenance = parse_provenance(pair.provenance)
    pictures = {"ref": pair.ref_rgb, "tar": pair.tar_rgb, "src": pair.src_rgb}
    fingerprint = build_fingerprint(
        pair.id, entry.split, entry.where, provenance.group, pictures, looks=looks
    )
    return Candidate(pair.category, provenance.rights.source, (provenance.ref, provenance.tar), fingerprint)


def _write(path: str, out: Path, places: dict[int, str], shard_size: int) -> Iterator[tuple[int, list[Path]]]:
    """Copy records into the shards of their splits; of each split less than one shard waits in memory.

    Yields how many records were gone through, and the shards that are new.
    """
    waiting: dict[str, list[Row]] = defaultdict(list)
    numbers: Counter[str] = Counter()

    def flush(split: str) -> Path:
        numbers[split] += 1
        return write_shard(out, numbers[split] - 1, waiting.pop(split), split)

    done = 0
    for done, entry in enumerate(browse(path), start=1):
        split = places.get(entry.number, ASIDE)
        if split != ASIDE:
            waiting[split].append(_build_row(entry, split))
        yield done, [flush(split)] if len(waiting[split]) >= shard_size else []
    yield done, [flush(split) for split in sorted(waiting) if waiting[split]]


def _build_row(entry: Entry, split: str) -> Row:
    """A record as `write_shard` takes it: absent texts stay absent, pictures keep their bytes."""
    row: Row = {"id": entry.get_text("id"), "split": split, "category": entry.get_text("category")}
    for name in OPTIONAL:
        row[name] = None if entry.row.get(name) is None else entry.get_text(name)
    there = list_there(entry.row)
    for name in (*PICTURES, *there):
        row[name] = {"bytes": entry.reader.load_bytes(entry.row, name), "path": None}
    if there:
        row |= {name: entry.get_text(name) for name in INSTRUCTION_TEXTS}
    return row
