"""The end of a build: which pairs stay, their shards, what was left out, the data card and the counts."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from a2cli.building.advice import get_advice
from a2cli.building.card import LIBRARIES, build_card, get_count
from a2cli.building.config import BuildConfig
from a2cli.building.parts import Part, PartStore
from a2cli.building.records import Reject
from a2cli.building.select import Kept, find_duplicates, find_surplus
from a2cli.data.provenance import parse_provenance
from a2cli.data.shards import write_shard
from a2cli.errors import DataError
from a2cli.files import show_name, write_bytes
from a2cli.versions import get_versions


@dataclass(frozen=True)
class BuildReport:
    """What came of a build. `inputs` equals `pairs` plus the sum of `rejects`, keyed "stage: reason"."""

    inputs: int
    pairs: int
    failed: int
    rejects: dict[str, int]
    dropped: dict[str, int]
    categories: dict[str, int]
    subcategories: dict[str, int]
    licences: dict[str, int]
    sources: dict[str, int]
    seconds: dict[str, float]
    shards: tuple[str, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


class NoPairError(DataError):
    """Nothing to make a data set of."""


def choose_pairs(config: BuildConfig, parts: list[Part]) -> tuple[list[Kept], list[Reject]]:
    """The pairs to keep, in order, and rejects for the others."""
    pairs = [pair for part in parts for pair in part.pairs]
    rejects = find_duplicates(pairs, config.dedupe)
    gone = {reject.id for reject in rejects}
    pairs = [pair for pair in pairs if pair.id not in gone]
    surplus = find_surplus(pairs, config.balance)
    gone = {reject.id for reject in surplus}
    return [pair for pair in pairs if pair.id not in gone], rejects + surplus


def write_data_set(
    config: BuildConfig, out: Path, parts: list[Part], store: PartStore, settings: dict[str, Any]
) -> BuildReport:
    kept, chosen_out = choose_pairs(config, parts)
    ids = {pair.id for pair in kept}
    late = {reject.id: reject for reject in chosen_out}
    rejects = [
        r for part in parts for r in (*part.rejects, *(late[p.id] for p in part.pairs if p.id in late))
    ]
    _write_rejects(out, rejects)
    if not kept:
        if not rejects:
            raise NoPairError(
                "the sources hold nothing to build from", hint="name folders with pictures or videos"
            )
        counts = _count_reasons(rejects)
        reasons = ", ".join(f"{name} ({n})" for name, n in counts.most_common(3))
        file = show_name(str(out / ("failures.jsonl" if rejects[0].failed else "rejects.jsonl")))
        advice = get_advice(counts)
        raise NoPairError(
            f"no pair came of {get_count(sum(part.inputs for part in parts), 'input')}: {reasons}; "
            f"the first: {rejects[0].id}: {rejects[0].detail or rejects[0].reason}",
            hint=f"{advice}; see {file}" if advice else f"see {file}",
        )
    licences: Counter[str] = Counter()
    sources: Counter[str] = Counter()
    shards: list[str] = []
    for part in parts:
        rows = list(store.read_rows(part.number, ids & {pair.id for pair in part.pairs}))
        for row in rows:
            rights = parse_provenance(row["provenance"]).rights
            licences[rights.licence or "not stated"] += 1
            sources[rights.source or "not stated"] += 1
        gone = [*part.rejects, *(late[pair.id] for pair in part.pairs if pair.id in late)]
        counted = {
            "inputs": part.inputs,
            "rejects": _count_reasons(gone),
            "dropped_views": part.dropped,
            "seconds": part.seconds,
        }
        if rows:
            shards.append(write_shard(out, len(shards), rows, config.split, counted).name)
    dropped: Counter[str] = Counter()
    seconds: dict[str, float] = {}
    for part in parts:
        dropped.update(part.dropped)
        for name, value in part.seconds.items():
            seconds[name] = seconds.get(name, 0.0) + value
    report = BuildReport(
        inputs=sum(part.inputs for part in parts),
        pairs=len(kept),
        failed=sum(reject.failed for reject in rejects),
        rejects=dict(_count_reasons(rejects)),
        dropped=dict(dropped),
        categories=dict(Counter(pair.category for pair in kept)),
        subcategories=dict(
            Counter(f"{pair.category}/{pair.subcategory}" for pair in kept if pair.subcategory)
        ),
        licences=dict(licences),
        sources=dict(sources),
        seconds={name: round(value, 3) for name, value in seconds.items()},
        shards=tuple(shards),
        settings=settings,
        versions=get_versions(LIBRARIES),
    )
    write_bytes(build_card(report, out.resolve().name, config.split).encode(), out / "README.md")
    write_bytes((json.dumps(asdict(report), indent=1) + "\n").encode(), out / "build.json")
    return report


def _count_reasons(rejects: list[Reject]) -> Counter[str]:
    return Counter(f"{reject.stage}: {reject.reason}" for reject in rejects)


def _write_rejects(out: Path, rejects: list[Reject]) -> None:
    for name, failed in (("rejects.jsonl", False), ("failures.jsonl", True)):
        lines = "".join(json.dumps(asdict(r)) + "\n" for r in rejects if r.failed == failed)
        if lines:
            write_bytes(lines.encode(), out / name)
        else:
            (out / name).unlink(missing_ok=True)
