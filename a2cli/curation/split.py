"""Parts of a data set that share no object, video or picture: a plan, a function of small records and a seed."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from a2cli.config.suggest import get_suggestion
from a2cli.curation.duplicates import Fingerprint, LookIndex
from a2cli.data.taxonomy import CATEGORIES, find_subcategory
from a2cli.errors import ConfigError
from a2cli.files import show_name

SPLITS = ("train", "validation", "test")
ASIDE = ""  # the split of records that no split may have
PER_CATEGORY = 25  # A2-Edit, section 4: 200 test pairs, 25 a category
NAMED = 10  # categories that a warning names


@dataclass(frozen=True)
class SplitConfig:
    """How a data set is divided.

    `test` and `validation` are records per category, `test` None all of the held-out ones. Records of the categories
    `hold_out` leave train and validation and alone make up the test set (A2-Edit, appendix E). What goes together:
    records of one `group`, with `keep_together` "source" also those of one source, and always those with a picture in
    common: by its name in the source, its pixels, or a perceptual hash that differs in at most `near` of 64 bits.
    """

    test: int | None = PER_CATEGORY
    validation: int = 0
    hold_out: tuple[str, ...] = ()
    seed: int = 0
    near: int | None = 4
    keep_together: Literal["group", "source"] = "group"

    def __post_init__(self) -> None:
        if (self.test is not None and self.test < 0) or self.validation < 0:
            raise ConfigError("test and validation must not be negative")
        if self.test is None and not self.hold_out:
            raise ConfigError(
                "all records as a test set leave none to train on", hint="name --hold-out categories"
            )
        if self.near is not None and not 0 <= self.near <= 16:
            raise ConfigError(f"near must be 0 to 16 bits, not {self.near}")
        if self.keep_together not in ("group", "source"):
            raise ConfigError(f"keep_together {self.keep_together!r} is unknown", hint="group or source")
        for name in self.hold_out:
            if name not in CATEGORIES:
                label = find_subcategory(name)
                close = get_suggestion(label.category if label else name, CATEGORIES)
                raise ConfigError(f"there is no category {name!r}", hint=close)


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a plan must know of a record; `names` are its pictures' in their source, "" where unknown."""

    category: str
    source: str
    names: tuple[str, ...]
    print: Fingerprint


@dataclass(frozen=True)
class SplitPlan:
    """`splits` says for every id where the record goes, "" for those put aside; `warnings` what could not be had."""

    splits: dict[str, str]
    counts: dict[str, dict[str, int]]  # split -> category -> records
    components: int
    warnings: tuple[str, ...] = ()

    def list_rows(self) -> list[tuple[str, ...]]:
        """The counts as a table of text, one category a line, the columns' names and the sums about it."""
        splits = [split for split in (*SPLITS, ASIDE) if self.counts[split] or split in ("train", "test")]
        names = sorted({name for found in self.counts.values() for name in found}, key=_rank_category)
        rows = [(name, *(str(self.counts[split].get(name, 0)) for split in splits)) for name in names]
        sums = ("all", *(str(sum(self.counts[split].values())) for split in splits))
        return [("category", *(split or "put aside" for split in splits)), *rows, sums]


def plan_split(records: Sequence[Candidate], config: SplitConfig) -> SplitPlan:
    """Divide records with ids of their own; their order does not matter.

    Records that belong together form a component, which goes into one split. For every category components are
    taken, smallest first and those of one size shuffled by the seed, until it has enough records; what of a component
    is beyond the need of its category goes into no split.
    """
    records = sorted(records, key=lambda record: record.print.id)
    components = join_components(records, config)
    present = sorted({record.category for record in records}, key=_rank_category)
    splits: dict[str, str] = {}
    warnings: list[str] = []
    held = [name for name in present if name in config.hold_out]
    for split, names, needed in (
        ("test", held if config.hold_out else present, config.test),
        ("validation", [name for name in present if name not in config.hold_out], config.validation),
    ):
        free = [c for c in components if not any(records[i].print.id in splits for i in c)]
        taken = _choose(records, free, names, needed, f"{config.seed}/{split}")
        splits.update({one: split if counted else ASIDE for one, counted in taken.items()})
        warnings += _list_shortages(records, splits, split, names, needed)
    if absent := [name for name in config.hold_out if name not in present]:
        warnings.append(f"there are no {' and no '.join(absent)} to hold out")
    for record in records:
        splits.setdefault(record.print.id, ASIDE if record.category in config.hold_out else "train")
    counts: dict[str, Counter[str]] = {split: Counter() for split in (*SPLITS, ASIDE)}
    for record in records:
        counts[splits[record.print.id]][record.category] += 1
    lost = sum(count for name, count in counts[ASIDE].items() if name not in config.hold_out)
    if lost * 10 > len(records):
        warnings.append(
            f"{lost} of {len(records)} records are put aside: they belong to others that were taken"
        )
    if emptied := [name for name in present if name not in config.hold_out and not counts["train"][name]]:
        warnings.append(f"nothing is left to train on in {_list_categories(map(show_name, emptied))}")
    return SplitPlan(
        splits, {name: dict(found) for name, found in counts.items()}, len(components), tuple(warnings)
    )


def _list_categories(words: Iterable[str]) -> str:
    """Categories on one line: how many, and the first few, each as its word tells it."""
    every = list(words)
    more = [f"and {len(every) - NAMED} more"] if len(every) > NAMED else []
    return f"{len(every)} categor{'y' if len(every) == 1 else 'ies'}: {', '.join(every[:NAMED] + more)}"


def _rank_category(name: str) -> tuple[int, str]:
    return (CATEGORIES.index(name) if name in CATEGORIES else len(CATEGORIES), name)


def _choose(
    records: Sequence[Candidate], components: list[list[int]], names: list[str], needed: int | None, salt: str
) -> dict[str, bool]:
    """The ids of the components that are taken, and which of them count: at most `needed` of each category."""
    order = sorted(components, key=lambda one: (len(one), _shuffle(records[one[0]].print.id, salt)))
    by_category: dict[str, list[list[int]]] = defaultdict(list)
    for component in order:
        for name in {records[i].category for i in component} & set(names):
            by_category[name].append(component)
    counts: Counter[str] = Counter()
    taken: dict[str, bool] = {}
    for name in names:
        for component in by_category[name]:
            if needed is not None and counts[name] >= needed:
                break
            if records[component[0]].print.id in taken:
                continue
            for i in component:
                category = records[i].category
                wanted = category in names and (needed is None or counts[category] < needed)
                taken[records[i].print.id] = wanted
                counts[category] += wanted
    return taken


def _shuffle(name: str, salt: str) -> bytes:
    """A place in an order that looks random and does not change when other records come or go."""
    return hashlib.blake2b(f"{salt}/{name}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _list_shortages(
    records: Sequence[Candidate], splits: dict[str, str], split: str, names: list[str], needed: int | None
) -> Iterator[str]:
    counts = Counter(record.category for record in records if splits.get(record.print.id) == split)
    short = [f"{show_name(name)} {counts[name]}" for name in names if needed and counts[name] < needed]
    if short:
        yield f"fewer than {needed} {split} records in {_list_categories(short)}"


def join_components(records: Sequence[Candidate], config: SplitConfig) -> list[list[int]]:
    """The numbers of records that belong together, components and numbers rising."""
    parents = list(range(len(records)))

    def find(number: int) -> int:
        while parents[number] != number:
            parents[number] = parents[parents[number]]
            number = parents[number]
        return number

    first: dict[Hashable, int] = {}
    index = None if config.near is None else LookIndex(config.near)
    for number, record in enumerate(records):
        for key in _list_keys(record, config, index):
            one, other = sorted((find(number), find(first.setdefault(key, number))))
            parents[other] = one
    components: dict[int, list[int]] = defaultdict(list)
    for number in range(len(records)):
        components[find(number)].append(number)
    return sorted(components.values())


def _list_keys(record: Candidate, config: SplitConfig, index: LookIndex | None) -> Iterable[Hashable]:
    """What a record shares with those it belongs to."""
    one = record.print
    if one.group:
        yield "group", one.group
    if record.source and config.keep_together == "source":
        yield "source", record.source
    yield from (("name", record.source, name) for name in record.names if record.source and name)
    yield from (digest for digest in (one.ref, one.tar, one.src) if digest)
    for look in (one.ref_hash, one.tar_hash, one.src_hash):
        if look is not None and index is not None:
            yield from (("look", number) for number in index.add(look)[1])
