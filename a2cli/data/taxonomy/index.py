"""Every known name and what it means, built once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from a2cli.data.taxonomy.aliases import CATEGORY_WORDS, NOTHING, OTHERS, SYNONYMS
from a2cli.data.taxonomy.ambiguous import MODEST, PREFERRED, QUIET
from a2cli.data.taxonomy.listing import CATEGORIES, get_subcategories
from a2cli.data.taxonomy.words import get_singulars, get_words


@dataclass(frozen=True)
class Label:
    """A category and one of its subcategories, "" where only the category is known.

    `noun` is the name as it was found, singular ("kitten"), "" for a category's own; labels compare without it.
    """

    category: str
    subcategory: str = ""
    noun: str = field(default="", compare=False)


@dataclass(frozen=True)
class Name:
    """One known name: its words, and what it means in each category that has it, the preferred one first.

    `weight` is 2 for a name that counts anywhere, 1 for a modest and 0 for a quiet one (see `ambiguous.py`);
    `general` tells that it names a whole category.
    """

    words: tuple[str, ...]
    labels: dict[str, Label]
    weight: int = 2
    general: bool = False

    def choose(self, category: str = "") -> Label | None:
        """What it means in `category`, or where it means most; None where it means nothing."""
        return self.labels.get(category) if category else next(iter(self.labels.values()), None)


def split_names(text: str) -> tuple[str, ...]:
    """The names of a text that parts them with commas."""
    return tuple(" ".join(name.split()) for name in text.split(","))


def list_names(category: str) -> Iterator[tuple[str, str]]:
    """Every (name, subcategory) of a category, its own names and synonyms first; "" names the category alone."""
    for name in split_names(CATEGORY_WORDS[category]):
        yield name, ""
    yield category, ""
    for subcategory in get_subcategories(category):
        yield subcategory, subcategory
    for subcategory, text in SYNONYMS[category].items():
        for name in split_names(text):
            yield name, subcategory
    for name in split_names(OTHERS[category]):
        yield name, ""


@cache
def get_index() -> dict[str, Name]:
    """Every known name by its words, parted by blanks; compounds also as one word ("sportscar")."""
    general = {_join(name) for text in CATEGORY_WORDS.values() for name in split_names(text)}
    general.update(CATEGORIES)
    meanings: dict[str, dict[str, Label]] = {_join(name): {} for name in split_names(NOTHING)}
    for category in CATEGORIES:
        for name, subcategory in list_names(category):
            labels = meanings.setdefault(_join(name), {})
            noun = "" if _join(name) in general else name
            labels.setdefault(category, Label(category, subcategory, noun))
    weights = get_weights()
    index = {}
    for key, labels in meanings.items():
        preferred = PREFERRED.get(key, "")
        ordered = dict(sorted(labels.items(), key=lambda pair: pair[0] != preferred))
        index[key] = Name(tuple(key.split()), ordered, weights.get(key, 2), key in general)
    compounds = {"".join(name.words): name for name in index.values() if len(name.words) > 1}
    return {**compounds, **index}


@cache
def get_weights() -> dict[str, int]:
    """The names that do not count anywhere, as they are written in `ambiguous.py`: 1 for modest, 0 for quiet."""
    return {_join(name): weight for weight, text in ((1, MODEST), (0, QUIET)) for name in split_names(text)}


@cache
def get_longest() -> int:
    """The number of words of the longest known name."""
    return max(len(name.words) for name in get_index().values())


def find_name(words: list[str]) -> Name | None:
    """The name that these words are as a whole: as they stand, in the singular, or written as one word."""
    index = get_index()
    for key in _list_spellings(words):
        if key in index:
            return index[key]
    return None


def _list_spellings(words: list[str]) -> Iterator[str]:
    before = "".join(f"{word} " for word in words[:-1])
    for last in (words[-1], *get_singulars(words[-1])):
        yield before + last
    if len(words) in (2, 3) and all(len(word) > 1 for word in words):
        joined = "".join(words)
        yield from (joined, *get_singulars(joined))


def _join(name: str) -> str:
    return " ".join(get_words(name))
