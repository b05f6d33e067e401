"""A data set to look at: an even sample of its records, pictures with their masks and what is wrong, on one page."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from a2cli.config.suggest import get_suggestion
from a2cli.curation.cards import Card, has_fault, is_usable, load_card
from a2cli.curation.preview_page import build_preview
from a2cli.data.browse import Entry, browse
from a2cli.errors import ConfigError, DataError
from a2cli.files import show_name
from a2cli.pages.page import check_page, write_page

MOST_BYTES = 64 << 20  # of pictures in a page; records beyond are shown without
Place = tuple[str, int]


@dataclass(frozen=True)
class Preview:
    """What became of a data set of `records`: cards `shown`, `faulty` of them with a fault."""

    shown: int
    records: int
    faulty: int


@dataclass(frozen=True)
class Sample:
    """The records that are shown, of how many; each by its file and its place there."""

    places: frozenset[Place]
    records: int


def write_preview(
    path: str,
    out: Path,
    *,
    split: str | None = None,
    limit: int = 200,
    size: int = 256,
    seed: int = 0,
    category: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Preview:
    """Write a page of at most `limit` records, drawn evenly over the categories; a function of data set and `seed`.

    `size` is the longest side of a picture in px. What is wrong with a record is shown, never raised. Raises
    `DataError` and `ConfigError` for a data set that cannot be opened, a split or category that it has not, records of
    which none can be used, and a page that cannot be written; an old page then stays.
    """
    if limit < 1 or size < 16:
        raise ConfigError(f"a preview of {limit} records at {size} px", hint="1 or more, 16 px or more")
    check_page(out)
    sample = choose_records(path, split=split, limit=limit, seed=seed, category=category)
    cards: list[Card] = []
    left, usable = MOST_BYTES, 0
    for place, entry in _place(browse(path, split, files={where for where, _ in sample.places})):
        if place not in sample.places:
            continue
        card = load_card(entry, size)
        usable += is_usable(card)
        weight = sum(len(shown.data) for shown in (card.target, card.reference, card.source) if shown)
        if weight > left:
            card = replace(card, target=None, reference=None, source=None, bare=True)
        else:
            left -= weight
        cards.append(card)
        if progress:
            progress(len(cards), len(sample.places))
        if len(cards) == len(sample.places):
            break
    if not usable:
        drawn = "no record" if len(cards) == sample.records else f"none of the {len(cards)} records drawn"
        raise DataError(f"{show_name(path)}: {drawn} can be used", hint="a2 dataset validate says why")
    page = build_preview(Path(path).resolve().name or path, cards, sample.records, seed)
    write_page(page, out)
    return Preview(len(cards), sample.records, sum(has_fault(card) for card in cards))


def choose_records(path: str, *, split: str | None, limit: int, seed: int, category: str | None) -> Sample:
    """Draw records by their texts alone. Raises `ConfigError` for a category that no record has."""
    there: dict[str, list[Place]] = {}
    for place, entry in _place(browse(path, split, pictures=False)):
        there.setdefault(entry.get_text("category"), []).append(place)
    if not there:
        raise DataError(f"{show_name(path)}: no records", hint="check the data set and the split")
    if category is not None:
        if category not in there:
            message = f"{show_name(path)}: no record of category {category!r}"
            raise ConfigError(message, hint=get_suggestion(category, filter(None, there)))
        there = {category: there[category]}
    drawn: list[Place] = []
    for name, count in share_out({name: len(places) for name, places in there.items()}, limit).items():
        drawn += random.Random(f"{seed}/{name}").sample(there[name], count)
    return Sample(frozenset(drawn), sum(map(len, there.values())))


def share_out(there: Mapping[str, int], limit: int) -> dict[str, int]:
    """At most `limit` in all, as evenly as it goes: what one name cannot fill goes to those that have more."""
    shares: dict[str, int] = {}
    for name, count in sorted(there.items(), key=lambda item: (item[1], item[0])):
        shares[name] = min(count, (limit - sum(shares.values())) // (len(there) - len(shares)))
    return shares


def _place(entries: Iterable[Entry]) -> Iterator[tuple[Place, Entry]]:
    """Each record with its file and its place there: damage to the pictures of one file shifts no other's."""
    counts: Counter[str] = Counter()
    for entry in entries:
        yield (entry.where, counts[entry.where]), entry
        counts[entry.where] += 1
