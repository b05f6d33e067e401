"""From any name, path or sentence to a category and a subcategory."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import cache

from a2cli.config.suggest import get_suggestion
from a2cli.data.taxonomy.aliases import SYNONYMS
from a2cli.data.taxonomy.ambiguous import ARTICLED, CUTS, OWNERS
from a2cli.data.taxonomy.glyph_names import get_glyph_names
from a2cli.data.taxonomy.index import Label, Name, find_name, get_index, get_longest, get_weights, split_names
from a2cli.data.taxonomy.listing import CATEGORIES
from a2cli.data.taxonomy.words import get_words, is_emoji
from a2cli.errors import DataError

_SPLITS = frozenset({"train", "test", "val", "valid", "validation", "dev"})
_ARTICLES = frozenset({"a", "an", "the", "this", "that", "one", "my", "his", "her", "their", "our", "your"})
_READ = 8192  # characters of a text that are looked at
_SENTENCE_END, _END = re.compile(r"[.;!?]\s|\n"), ";"
_CUTS = frozenset({_END, *split_names(CUTS)})


@dataclass(frozen=True)
class _Match:
    """A known name in a text: its words [start, end), its length in words, and how much it counts there."""

    name: Name
    start: int
    end: int
    length: int
    weight: int


def find_subcategory(name: str, category: str = "") -> Label | None:
    """Find what a name means: a subcategory, another word for one, a category, an emoji; None if it is unknown.

    Case, plurals, hyphens, underscores and accents do not matter. `category` leaves only its own names. Of a name that
    several categories have the first sense of `ambiguous.PREFERRED` is meant.
    """
    words = get_words(name)
    if not words:
        return None
    while len(words) > 1 and words[0] in OWNERS and not find_name(words):
        words = words[1:]
    if found := find_name(words):
        return found.choose(category)
    label = _get_glyph_labels().get(" ".join(words)) or (
        find_in_words(name, category) if is_emoji(name) else None
    )
    return label if label and category in ("", label.category) else None


def find_in_words(text: str, category: str = "") -> Label | None:
    """Find the subject of a sentence, a file name or a path; None where none or two categories are named.

    The longest name wins ("school bus" before "bus"), of names of one category the last. What follows a preposition
    or the first sentence that names something is not the subject ("a cat on a sofa"); colours, materials and places
    are only where nothing else is, poses never: see `ambiguous.py`. A folder named as a category decides the category,
    a leading folder named as a split means nothing. `category` leaves only its own names.
    """
    parts = [_split_sentences(part) for part in re.split(r"[/\\]", text[:_READ])]
    while len(parts) > 1 and " ".join(parts[0]) in _SPLITS:
        parts = parts[1:]
    category = category or _get_folder_category(parts[:-1])
    found = [_list_matches(words, folder=i < len(parts) - 1) for i, words in enumerate(parts)]
    if category:
        found = [[match for match in matches if category in match.name.labels] for matches in found]
    heads = [
        match for words, matches in zip(parts, found, strict=True) for match in _get_heads(words, matches)
    ]
    heads = [match for match in heads if match.weight == max(head.weight for head in heads)]
    longest = [match for match in heads if match.length == max(head.length for head in heads)]
    labels = [label for match in longest if (label := match.name.choose(category))]
    if not labels and category:
        return _get_trait([match for matches in found for match in matches], category)
    if len({label.category for label in labels}) != 1:
        return None
    if any(label.subcategory for label in labels):
        return [label for label in labels if label.subcategory][-1]
    if labels[0].category != "portraits" and not all(match.name.general for match in longest):
        return [label for label, match in zip(labels, longest, strict=True) if not match.name.general][-1]
    traits = [match for matches in found for match in matches if match.weight < 2]
    return _get_trait(heads, labels[0].category) or _get_trait(traits, labels[0].category) or labels[-1]


def find_label(text: str, category: str = "") -> Label:
    """Find what a name means, else what a text names. Raises `DataError` with the closest known name."""
    label = find_subcategory(text, category) or find_in_words(text, category)
    if label is None:
        nearest = get_nearest(text, category)
        where = f"in {category}" if category else "in any category"
        hint = f"did you mean {nearest!r}?" if nearest else "`a2 dataset taxonomy` lists them all"
        raise DataError(f"{text!r} names nothing {where}, or several things", hint=hint)
    return label


def normalise(category: str, subcategory: str = "") -> tuple[str, str]:
    """One of the eight categories and a subcategory as records spell them, from any words for both.

    A subcategory that the category does not know is kept as it is said. A category that is empty follows from the
    subcategory, and a category that is a subcategory's name gives both. Raises `DataError` for a category that is
    none of the eight, with the closest one.
    """
    said = " ".join(subcategory.split())
    label = find_subcategory(category) if category.strip() else find_subcategory(said)
    if label is None:
        wrong = f"category {category!r} is none of the eight" if category.strip() else "no category is said"
        raise DataError(wrong, hint=get_suggestion(category.strip().lower(), CATEGORIES))
    known = find_subcategory(said, label.category) if said else label
    return label.category, (known.subcategory if known else "") or said


def get_aliases(category: str, subcategory: str) -> tuple[str, ...]:
    """The other names of a subcategory, singular; () of none."""
    text = SYNONYMS[category].get(subcategory, "")
    return split_names(text) if text else ()


def get_nearest(name: str, category: str = "") -> str:
    """The known name that looks most like an unknown one, "" if none does."""
    said = " ".join(get_words(name))
    known = [key for key, entry in get_index().items() if entry.choose(category)]
    swapped = [key for key in known if len(key) > 2 and sorted(key) == sorted(said)]  # "dgo"
    close = difflib.get_close_matches(said, swapped or known, n=1, cutoff=0 if swapped else 0.75)
    return close[0] if close else ""


@cache
def _get_glyph_labels() -> dict[str, Label]:
    """What the emoji names mean that are no names otherwise, by their words."""
    labels = {}
    for category in CATEGORIES:
        for glyph in get_glyph_names(category):
            found = find_in_words(glyph, category) or Label(category)
            labels[" ".join(get_words(glyph))] = Label(category, found.subcategory, glyph.lower())
    return labels


def _split_sentences(text: str) -> list[str]:
    """The words of a part of a path, with a mark after each sentence but the last."""
    words: list[str] = []
    for sentence in _SENTENCE_END.split(text):
        words += [*([_END] if words else []), *get_words(sentence)]
    return words


def _list_matches(words: list[str], *, folder: bool) -> list[_Match]:
    """The known names in one part of a path, longest first, then last; no word is in two."""
    free = [True] * len(words)
    matches = []
    for length in range(min(get_longest(), len(words)), 0, -1):
        for start in range(len(words) - length, -1, -1):
            if all(free[start : start + length]) and (name := find_name(words[start : start + length])):
                free[start : start + length] = [False] * length
                weight = _get_weight(name, words, start, start + length, folder=folder)
                matches.append(_Match(name, start, start + length, max(length, len(name.words)), weight))
    matches = [match for match in matches if match.weight >= 0 and match.name.labels]
    return sorted(matches, key=lambda match: match.start)


def _get_weight(name: Name, words: list[str], start: int, end: int, *, folder: bool) -> int:
    """How much a name counts where it stands; -1 for "train" and "mask" where they may mean a part of a data set."""
    if len(name.words) == 1 and name.words[0] in ARTICLED:
        if start and words[start - 1] in _ARTICLES:
            return 2
        return 0 if folder and len(words) == 1 else -1
    return min(name.weight, get_weights().get(" ".join(words[start:end]), 2))


def _get_heads(words: list[str], matches: list[_Match]) -> list[_Match]:
    """The names of the first phrase that has any which count."""
    taken = {i for match in matches for i in range(match.start, match.end)}
    whole = {match.end for match in matches if match.name.general}  # "a portrait of a man" is about the man
    cuts = [
        i
        for i, word in enumerate(words)
        if word in _CUTS and i not in taken and not (word == "of" and i in whole)
    ]
    phrases: dict[int, list[_Match]] = {}
    for match in matches:
        if match.weight:
            phrases.setdefault(sum(cut < match.start for cut in cuts), []).append(match)
    first = phrases[min(phrases)] if phrases else []
    return [match for match in first if match.weight == max(other.weight for other in first)]


def _get_folder_category(folders: list[list[str]]) -> str:
    names = [find_name(words) for words in folders if words]
    labels = [name.choose() for name in names if name and name.general]
    categories = {label.category for label in labels if label}
    return categories.pop() if len(categories) == 1 else ""


def _get_trait(matches: list[_Match], category: str) -> Label | None:
    """The last subcategory of a category among the matches."""
    labels = [label for match in matches if (label := match.name.choose(category))]
    return next((label for label in reversed(labels) if label.subcategory), None)
