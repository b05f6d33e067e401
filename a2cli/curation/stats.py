"""What a data set holds, counted: splits, categories, licences, sizes, masks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from a2cli.curation.faults import read_entry
from a2cli.data.browse import Entry, browse
from a2cli.data.instructed import list_there
from a2cli.data.provenance import parse_provenance
from a2cli.data.records import BadRecord
from a2cli.data.rows import PICTURES
from a2cli.errors import DataError
from a2cli.files import show_name
from a2cli.images.geometry import get_bounding_box

UNKNOWN = "(unknown)"  # what counts call an empty text
OTHERS = "(others)"
MOST = 50  # licences and sources that are counted by name
ASK = "a2 dataset validate says why"
SHOWN = 20  # messages about bad records that are kept
SHARE_EDGES = tuple(round(0.05 * i, 2) for i in range(21))  # of the picture's area
SIDE_EDGES = (0.0, 64.0, 128.0, 256.0, 384.0, 512.0, 768.0, 1024.0, 1536.0, 2048.0, 4096.0)  # px
ASPECT_EDGES = (0.0, 0.25, 0.33, 0.5, 0.67, 0.8, 0.9, 1.1, 1.25, 1.5, 2.0, 3.0, 4.0)  # width over height


@dataclass(frozen=True)
class Histogram:
    """`counts[i]` values lie in [edges[i], edges[i + 1]), the last count those from the last edge on.

    `quartiles` are the least, the 25 %, 50 % and 75 % quantiles and the largest value, None of no values.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    quartiles: tuple[float, float, float, float, float] | None


@dataclass(frozen=True)
class Stats:
    """One data set in numbers.

    `records` counts the usable records, `bad` the others, with the first `messages`; all other figures are of usable
    ones. `categories` counts by split and category, `subcategories` by category and subcategory, the most frequent
    first; what is unknown counts under "(unknown)". `groups` is the number of objects, persons and videos named,
    `ungrouped` of records that name none. `generated` records have a picture that a generator made. `bytes` is the size
    of the pictures' files. Of the reference and the target: the mask's share of the area, the picture's short side in
    px and its width over height, and that of the mask's bounding box. `tasks` counts the edits that sentences ask for.
    """

    path: str
    records: int
    bad: int
    bytes: int
    groups: int
    ungrouped: int
    generated: int
    splits: dict[str, int]
    categories: dict[str, dict[str, int]]
    subcategories: dict[str, dict[str, int]]
    licences: dict[str, int]
    sources: dict[str, int]
    ref_share: Histogram
    tar_share: Histogram
    ref_side: Histogram
    tar_side: Histogram
    ref_aspect: Histogram
    tar_aspect: Histogram
    ref_box_aspect: Histogram
    tar_box_aspect: Histogram
    messages: tuple[str, ...] = ()
    tasks: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON has them."""
        return asdict(self)


MEASURES = {"share": SHARE_EDGES, "side": SIDE_EDGES, "aspect": ASPECT_EDGES, "box_aspect": ASPECT_EDGES}


@dataclass
class _Counts:
    """What is counted on the way."""

    records: int = 0
    bad: int = 0
    bytes: int = 0
    ungrouped: int = 0
    generated: int = 0
    groups: set[str] = field(default_factory=set)
    splits: Counter[str] = field(default_factory=Counter)
    categories: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    subcategories: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    licences: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    tasks: Counter[str] = field(default_factory=Counter)
    values: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    messages: list[str] = field(default_factory=list)

    def add(self, entry: Entry) -> None:
        """Count one usable record. Raises `BadRecord`, having counted nothing, for another."""
        pair = read_entry(entry)
        size = sum(
            len(entry.reader.load_bytes(entry.row, column)) for column in (*PICTURES, *list_there(entry.row))
        )
        split, category = entry.split or UNKNOWN, pair.category or UNKNOWN
        provenance = parse_provenance(pair.provenance)
        self.records += 1
        self.bytes += size
        self.splits[split] += 1
        self.categories[split][category] += 1
        self.subcategories[category][pair.subcategory or UNKNOWN] += 1
        self.licences[provenance.rights.licence or UNKNOWN] += 1
        self.sources[provenance.rights.source or UNKNOWN] += 1
        self.generated += bool(provenance.generated)
        if pair.src_rgb is not None:
            self.tasks[pair.task or UNKNOWN] += 1
        if provenance.group:
            self.groups.add(provenance.group)
        else:
            self.ungrouped += 1
        for view, rgb, mask in (("ref", pair.ref_rgb, pair.ref_mask), ("tar", pair.tar_rgb, pair.tar_mask)):
            for name, value in _measure(rgb, mask).items():
                self.values[f"{view}_{name}"].append(value)

    def add_bad(self, error: BadRecord) -> None:
        """Count a record that cannot be used."""
        self.bad += 1
        if len(self.messages) < SHOWN:
            self.messages.append(str(error))


def count_dataset(
    path: str, split: str | None = None, *, progress: Callable[[int, int], None] | None = None
) -> Stats:
    """Read every record of a data set, of one split or all, and count; bad records are counted, not fatal.

    `progress` is told (done, total) records. Raises `DataError` and `ConfigError` as `browse` does, `DataError` also
    where no record can be used.
    """
    total = sum(1 for _ in browse(path, split, pictures=False)) if progress else 0
    counts = _Counts()
    for entry in browse(path, split):
        try:
            counts.add(entry)
        except BadRecord as error:
            counts.add_bad(error)
        if progress:
            progress(counts.records + counts.bad, total)
    if not counts.records:
        found, hint = ("no record can be used", ASK) if counts.bad else ("no records", "check the data set")
        raise DataError(f"{show_name(path)}: {found}", hint=hint)
    histograms = {
        f"{view}_{name}": build_histogram(counts.values[f"{view}_{name}"], edges)
        for view in ("ref", "tar")
        for name, edges in MEASURES.items()
    }
    return Stats(
        path=path,
        records=counts.records,
        bad=counts.bad,
        bytes=counts.bytes,
        groups=len(counts.groups),
        ungrouped=counts.ungrouped,
        generated=counts.generated,
        splits=_rank(counts.splits),
        categories={name: _rank(values) for name, values in sorted(counts.categories.items())},
        subcategories={name: _rank(values) for name, values in sorted(counts.subcategories.items())},
        licences=_rank(counts.licences, MOST),
        sources=_rank(counts.sources, MOST),
        messages=tuple(counts.messages),
        tasks=_rank(counts.tasks),
        **histograms,
    )


def build_histogram(values: Iterable[float], edges: tuple[float, ...]) -> Histogram:
    """Count values >= edges[0] between `edges`, which rise."""
    array = np.asarray(list(values), np.float64)
    counts = np.bincount(np.searchsorted(edges, array, "right") - 1, minlength=len(edges))
    if not array.size:
        return Histogram(edges, tuple(counts.tolist()), None)
    least, low, middle, high, most = np.quantile(array, (0, 0.25, 0.5, 0.75, 1)).tolist()
    return Histogram(edges, tuple(counts.tolist()), (least, low, middle, high, most))


def _measure(rgb: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """One view in numbers, by the names of `MEASURES`."""
    height, width = mask.shape
    box = get_bounding_box(mask)
    assert box is not None  # `RowReader` refuses masks that mark nothing
    return {
        "share": float(mask.mean()),
        "side": float(min(height, width)),
        "aspect": width / height,
        "box_aspect": (box[2] - box[0]) / (box[3] - box[1]),
    }


def _rank(counts: Counter[str], most: int | None = None) -> dict[str, int]:
    """Counts by size, then name; those beyond the first `most` together."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    found = dict(ranked[:most])
    if rest := sum(count for _, count in ranked[len(found) :]):
        found[OTHERS] = rest
    return found


def list_tables(stats: Stats) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """The figures as tables of text: a title, then rows, the first one the columns' names."""
    yield (
        "data set",
        [
            ("figure", "value"),
            *(
                (name, str(getattr(stats, name)))
                for name in ("records", "bad", "bytes", "groups", "ungrouped")
            ),
            ("generated", str(stats.generated)),
        ],
    )
    splits = list(stats.splits)
    names = sorted({name for counts in stats.categories.values() for name in counts})
    rows = [(name, *(str(stats.categories[split].get(name, 0)) for split in splits)) for name in names]
    yield "categories", [("category", *splits), *rows]
    for title in ("tasks", "licences", "sources") if stats.tasks else ("licences", "sources"):
        counts = getattr(stats, title)
        yield title, [(title[:-1], "records"), *((name, str(count)) for name, count in counts.items())]
    spans = [
        (f"{view} {name}".replace("_", " "), *(f"{value:.4g}" for value in found.quartiles))
        for view in ("ref", "tar")
        for name in MEASURES
        if (found := getattr(stats, f"{view}_{name}")).quartiles
    ]
    yield "pictures", [("measure", "least", "25 %", "median", "75 %", "largest"), *spans]
