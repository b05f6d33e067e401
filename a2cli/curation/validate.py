"""Every record of data sets opened and checked, alone and against the others; nothing stops at the first fault."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path

from a2cli.curation.duplicates import Fingerprint, find_matches
from a2cli.curation.faults import KINDS, Fault, check_entry, get_split_word, inspect_entry
from a2cli.data.browse import Entry, browse
from a2cli.data.processes import work_in_order
from a2cli.errors import ConfigError, DataError
from a2cli.files import show_name

__all__ = ["KINDS", "NEAR", "Fault", "Validation", "check_entry", "list_tables", "validate"]

NEAR = 4  # bits of 64 that the perceptual hashes of one picture may differ in
SHOWN = 10  # faults of a kind that tables tell in full
OURS = re.compile(r"\w+-\d{5}")  # what `data/shards.py` calls a shard


@dataclass(frozen=True)
class Validation:
    """What a look at every record found: `faults` in the order of the records, those between records after them."""

    records: int
    faults: tuple[Fault, ...]

    def count(self) -> dict[str, dict[str, int]]:
        """How often each kind was found, by severity; kinds as in `KINDS`."""
        found = Counter((fault.severity, fault.kind) for fault in self.faults)
        return {
            severity: {kind: found[severity, kind] for kind in KINDS if found[severity, kind]}
            for severity in ("fault", "warning")
        }


@dataclass
class _Shard:
    """What was seen of one file."""

    records: int = 0
    damaged: bool = False
    splits: Counter[str] = field(default_factory=Counter)
    categories: Counter[str] = field(default_factory=Counter)

    def add(self, entry: Entry, faults: list[Fault]) -> None:
        if any(fault.kind in ("damaged file", "missing column") for fault in faults):
            self.damaged = True
            return
        self.records += 1
        self.splits[entry.split] += 1
        self.categories[entry.get_text("category")] += 1


def validate(
    paths: Sequence[str],
    *,
    near: int | None = NEAR,
    workers: int = 1,
    require_licence: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Validation:
    """Check data sets together: ids, splits and pictures are compared across all of them.

    Pictures whose perceptual hashes differ in at most `near` bits are taken for one; None compares pixels alone. Only
    `workers` processes decode; the result does not depend on their number. `progress` is told (done, total) records.
    Raises `DataError` for a path without pairs and where a library is missing, `ConfigError` for impossible settings
    and for a file that two of the paths name.
    """
    if near is not None and not 0 <= near <= 16:
        raise ConfigError(f"near must be 0 to 16 bits, not {near}")
    total = _count_records(paths) if progress or len(paths) > 1 else 0
    inspect = partial(inspect_entry, require_licence=require_licence, looks=near is not None)
    entries = chain.from_iterable([browse(path) for path in paths])
    faults: list[Fault] = []
    prints: list[Fingerprint] = []
    shards: dict[str, _Shard] = defaultdict(_Shard)
    ids: dict[str, str] = {}
    for done, (entry, (found, fingerprint)) in enumerate(work_in_order(inspect, entries, workers), start=1):
        faults += found
        shards[entry.where].add(entry, found)
        if fingerprint is not None:
            faults += _check_id(fingerprint, ids)
            prints.append(fingerprint)
        if progress:
            progress(done, total)
    records = sum(shard.records for shard in shards.values())
    if not shards:
        raise DataError(f"{show_name(', '.join(paths))}: no records", hint="check the data set")
    faults += _check_files(paths, shards)
    faults += _find_splitless(prints)
    faults += _compare(prints, near)
    return Validation(records, tuple(faults))


def _count_records(paths: Sequence[str]) -> int:
    """How many records the paths name, each file once."""
    total, first = 0, dict[Path, str]()
    for path in paths:
        files = Counter(entry.where for entry in browse(path, pictures=False))
        places = {Path(where).resolve(): where for where in files}
        for place, where in places.items():
            if place in first:
                twice = f"named twice, by {show_name(first[place])} and by {show_name(path)}"
                raise ConfigError(f"{show_name(where)}: {twice}", hint="name every data set once")
        first.update(dict.fromkeys(places, path))
        total += files.total()
    return total


def list_tables(found: Validation, limit: int = SHOWN) -> Iterator[list[tuple[str, ...]]]:
    """What was found as two tables of text: the kinds, and the first `limit` faults of each; columns' names first."""
    yield [
        ("kind", "severity", "count"),
        *((kind, severity, str(n)) for severity, kinds in found.count().items() for kind, n in kinds.items()),
    ]
    rows: list[tuple[str, ...]] = [("kind", "split", "id", "file", "detail")]
    shown: Counter[str] = Counter()
    for fault in found.faults:
        shown[fault.kind] += 1
        if shown[fault.kind] <= limit:
            rows.append((fault.kind, fault.split, fault.id, Path(fault.where).name, fault.detail))
    more = {kind: count - limit for kind, count in shown.items() if count > limit}
    yield rows + [(kind, "", "", "", f"and {count} more: --json, --report") for kind, count in more.items()]


def _check_id(one: Fingerprint, ids: dict[str, str]) -> Iterator[Fault]:
    """A fault if the record's id is in `ids`, which says where ids were seen first, and takes it."""
    if one.id in ids:
        yield Fault("duplicate id", "fault", one.id, one.split, one.where, f"stands first in {ids[one.id]}")
    elif one.id:
        ids[one.id] = Path(one.where).name


def _find_splitless(prints: list[Fingerprint]) -> Iterator[Fault]:
    if any(one.split for one in prints):
        for one in prints:
            if not one.split:
                yield Fault("no split", "fault", one.id, "", one.where, "other records name theirs")


def _compare(prints: list[Fingerprint], near: int | None) -> Iterator[Fault]:
    for match in find_matches(prints, near):
        one, other = prints[match.later], prints[match.first]
        there = f" of split {other.split}" if other.split != one.split else ""
        yield Fault(match.kind, "fault", one.id, one.split, one.where, f"{match.detail} {other.id}{there}")


def _check_files(paths: Sequence[str], shards: dict[str, _Shard]) -> Iterator[Fault]:
    """What the files of counts say, of the shards that were read and of those that should be there."""
    for where, shard in shards.items():
        if where.endswith(".parquet") and not shard.damaged:
            yield from _check_counts(Path(where), shard)
    folders = [Path(path).expanduser() for path in paths if Path(path).expanduser().is_dir()]
    for file in sorted({file for folder in folders for file in folder.rglob("*.json")}):
        shard_file = file.with_suffix(".parquet")
        if OURS.fullmatch(file.stem) and str(shard_file) not in shards:
            if shard_file.exists():
                yield from _check_counts(shard_file, _Shard())
            else:
                yield Fault(
                    "wrong counts", "fault", "", "", str(shard_file), "its counts are there, it is not"
                )


def _check_counts(file: Path, shard: _Shard) -> Iterator[Fault]:
    """Compare a shard with the file of counts beside it, which those that a2 writes have."""
    counts = file.with_suffix(".json")
    if not counts.is_file():
        if OURS.fullmatch(file.stem):
            yield _build(file, f"no {counts.name}: the shard was never finished")
        return
    try:
        said = json.loads(counts.read_bytes())
        pairs, categories, split = said["pairs"], dict(said.get("categories", {})), said.get("split")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        yield _build(file, f"{counts.name} cannot be read: {error}")
        return
    if pairs != shard.records:
        yield _build(file, f"{shard.records} records, {counts.name} says {pairs}")
    elif categories != shard.categories:
        yield _build(file, f"its categories are not those of {counts.name}")
    if split is not None and {get_split_word(name) for name in shard.splits} - {get_split_word(str(split))}:
        yield _build(file, f"its splits are {', '.join(sorted(shard.splits))}, {counts.name} says {split}")


def _build(file: Path, detail: str) -> Fault:
    return Fault("wrong counts", "fault", "", "", str(file), detail)
