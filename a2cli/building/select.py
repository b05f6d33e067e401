"""Which finished pairs a data set keeps: no picture twice, no category too often. Pure functions of small records."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass

from a2cli.building.config import BalanceConfig, DedupeConfig
from a2cli.building.records import Reject
from a2cli.data.hashes import HashIndex


@dataclass(frozen=True)
class Kept:
    """A finished pair in its part: what `Candidate` tells of it, without pictures."""

    id: str
    category: str
    subcategory: str
    ref_hash: int
    tar_hash: int
    score: float


def find_duplicates(pairs: list[Kept], config: DedupeConfig) -> list[Reject]:
    """Pairs that show what an earlier one shows: both pictures near both of its, either way round.

    One picture alone may come twice: one garment worn by two people makes two pairs.
    """
    if config.distance is None:
        return []
    index = HashIndex(config.distance)
    twins: list[Reject] = []
    ends: list[Kept] = []
    for pair in pairs:
        near_ref, near_tar = set(index.find(pair.ref_hash)), set(index.find(pair.tar_hash))
        # entry 2 i is the reference of kept pair i, entry 2 i + 1 its target
        twin = min((i // 2 for i in near_ref if i ^ 1 in near_tar), default=None)
        if twin is not None:
            twins.append(Reject(pair.id, "dedupe", "duplicate", f"shows what {ends[twin].id} shows"))
            continue
        ends.append(pair)
        index.add(pair.ref_hash)
        index.add(pair.tar_hash)
    return twins


def find_surplus(pairs: list[Kept], config: BalanceConfig) -> list[Reject]:
    """Pairs beyond the quotas, the lowest scores first, then the later ones; subcategories are cut first."""
    out: list[Reject] = []
    for quota, field in ((config.per_subcategory, "subcategory"), (config.per_category, "category")):
        if quota is None:
            continue
        gone = {reject.id for reject in out}
        groups: dict[tuple[str, str], list[Kept]] = defaultdict(list)
        for pair in pairs:
            if pair.id not in gone:
                groups[pair.category, pair.subcategory if field == "subcategory" else ""].append(pair)
        for (category, subcategory), members in groups.items():
            best = sorted(members, key=lambda pair: -pair.score)
            name = subcategory or category
            out += [
                Reject(p.id, "balance", f"over the quota of a {field}", f"{name}: {quota}")
                for p in best[quota:]
            ]
    return out


def get_shortage(pairs: list[Kept], least: int, categories: tuple[str, ...]) -> dict[str, int]:
    """How many pairs each category lacks to have `least`; full ones are left out."""
    counts = Counter(pair.category for pair in pairs)
    return {name: least - counts[name] for name in categories if counts[name] < least}
