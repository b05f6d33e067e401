"""The page of `a2 dataset stats`: what a data set holds in bars, histograms and tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from a2cli.curation.stats import Histogram, Stats
from a2cli.files import show_name
from a2cli.pages.bars import BAR_STYLE, Bar, bar_list, histogram
from a2cli.pages.page import build_notes, build_page, build_section, build_table, build_tiles, write_page
from a2cli.pages.plots import escape_text, show_number, show_percent

# What is measured of both pictures of a pair: the field's name behind `ref_` and `tar_`, title, axis.
MEASURES = (
    ("share", "Mask's share of the picture", "share of the area"),
    ("side", "Size of the pictures", "short side, px"),
    ("aspect", "Aspect of the pictures", "width over height"),
    ("box_aspect", "Aspect of the masks' bounding boxes", "width over height"),
)
VIEWS = {"ref": "reference", "tar": "target"}
QUARTILES = ("smallest", "25 %", "median", "75 %", "largest")
UNITS = ("bytes", "kB", "MB", "GB", "TB")

STYLE = f"""{BAR_STYLE}
.pair {{ display: grid; gap: 0 48px; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(400px, 100%), 1fr)); }} .pair .histogram {{ margin-bottom: 26px; }}
"""


def write_stats_page(stats: Stats, out: Path) -> None:
    """Write the page, one file that asks for nothing. Raises as `write_page` does."""
    write_page(build_stats_page(stats), out)


def build_stats_page(stats: Stats) -> str:
    """The whole page, HTML: a function of the figures alone."""
    name = Path(stats.path).resolve().name or stats.path
    notes = [_drop_folder(message, stats.path) for message in stats.messages]
    if stats.bad > len(notes):
        notes.append(f"and {show_number(stats.bad - len(notes), 9)} more records that cannot be used")
    body = (
        f"<h1>{escape_text(name)}</h1>{_build_tiles(stats)}{build_notes(notes)}"
        + _build_categories(stats)
        + _build_origins(stats)
        + _build_pictures(stats)
    )
    return build_page(f"{name}: figures", body, style=STYLE)


def show_bytes(count: int) -> str:
    """A size as people write it: 12 kB, 3.4 GB; powers of 1000."""
    power = min(len(UNITS) - 1, max(0, (len(str(count)) - 1) // 3))
    return f"{show_number(count / 1000**power)} {UNITS[power]}"


def _drop_folder(message: str, path: str) -> str:
    """A message without the data set's own path: the page tells nothing of the machine it was made on."""
    folder = show_name(path)
    return message.replace(f"{folder.rstrip('/')}/", "").replace(f"{folder}: ", "", 1)


def _build_tiles(stats: Stats) -> str:
    total = stats.records + stats.bad
    usable = f"{show_number(stats.bad, 9)} cannot be used" if stats.bad else "all can be used"
    named = sum(len(parts) for parts in stats.subcategories.values())
    groups = (
        f"{show_number(stats.ungrouped, 9)} records name none"
        if stats.ungrouped
        else "objects, persons, videos"
    )
    share = show_percent(stats.generated / stats.records) if stats.records else "–"
    each = stats.bytes // stats.records if stats.records else 0
    return build_tiles(
        (
            ("Records", show_number(total, 9), usable),
            ("Categories", str(len(stats.subcategories)), f"{named} subcategories"),
            ("Groups", show_number(stats.groups, 9), groups),
            ("Generated", show_number(stats.generated, 9), f"{share} % of the usable records"),
            ("Pictures", show_bytes(stats.bytes), f"{show_bytes(each)} a record"),
        )
    )


def _build_categories(stats: Stats) -> str:
    bars = [
        Bar(name, sum(parts.values()), tuple(Bar(*part) for part in parts.items()))
        for name, parts in stats.subcategories.items()
    ]
    bars.sort(key=lambda bar: (-bar.count, bar.name))
    words = "Usable records; a category unfolds into its subcategories."
    body = bar_list(bars, title="Records of each category", words=words)
    if len(stats.splits) > 1:
        body += _build_split_table(stats, [bar.name for bar in bars])
    return build_section("Categories", f'<div class="pair">{body}</div>')


def _build_split_table(stats: Stats, names: Sequence[str]) -> str:
    """Categories down, splits across."""
    totals: Counter[str] = Counter()
    rows = []
    for name in names:
        counts = [stats.categories.get(split, {}).get(name, 0) for split in stats.splits]
        totals.update(dict(zip(stats.splits, counts, strict=True)))
        rows.append([name, *(show_number(count, 9) for count in counts)])
    rows.append(["all", *(show_number(totals[split], 9) for split in stats.splits)])
    return build_table(["category", *stats.splits], rows, caption="By split")


def _build_origins(stats: Stats) -> str:
    splits = _list_counts(stats.splits, "Splits", "What a run takes the records for.")
    licences = _list_counts(stats.licences, "Licences", "As the records state them.")
    sources = _list_counts(stats.sources, "Sources", "Addresses and collections that the records name.")
    tasks = _list_counts(stats.tasks, "Tasks", "Edits that a sentence asks for.") if stats.tasks else ""
    return build_section("Splits and origins", f'<div class="pair">{splits}{tasks}{licences}</div>{sources}')


def _list_counts(counts: Mapping[str, int], title: str, words: str) -> str:
    return bar_list([Bar(name, count) for name, count in counts.items()], title=title, words=words, most=12)


def _build_pictures(stats: Stats) -> str:
    charts, rows = "", []
    for key, title, axis in MEASURES:
        found: dict[str, Histogram] = {name: getattr(stats, f"{view}_{key}") for view, name in VIEWS.items()}
        counts = {name: one.counts for name, one in found.items()}
        charts += histogram(found["target"].edges, counts, title=title, x_label=axis)
        for name, one in found.items():
            figures = (
                ["–"] * len(QUARTILES) if one.quartiles is None else [show_number(q) for q in one.quartiles]
            )
            rows.append([f"{title}, {name}", *figures])
    table = build_table(["measure", *QUARTILES], rows, caption="Where the values lie")
    return build_section("Pictures and masks", f'<div class="pair">{charts}</div>{table}')
