"""Words out of names, paths and emoji, and the singulars of English plurals."""

from __future__ import annotations

import re
import unicodedata

_APOSTROPHES = re.compile(r"['’`]")
_ACRONYM_PLURAL = re.compile(r"(?<![^\W\d_])([A-Z]{2,})s\b")  # SUVs, TVs
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[^\W\d_A-Za-z]+")

_IRREGULAR = {
    "people": "person", "children": "child", "geese": "goose", "mice": "mouse", "oxen": "ox", "lice": "louse",
    "teeth": "tooth", "feet": "foot", "dice": "die", "cacti": "cactus", "octopi": "octopus", "fungi": "fungus",
    "hippopotami": "hippopotamus", "kine": "cow", "bureaux": "bureau", "chateaux": "chateau", "leaves": "leaf",
    "chassis": "chassis", "buses": "bus", "busses": "bus", "gases": "gas", "brethren": "brother",
}  # fmt: skip


def get_words(text: str) -> list[str]:
    """Split a name, a path or a sentence into lower-case words without accents.

    Underscores, hyphens, digits, punctuation and a change of case part words; apostrophes do not. An emoji stands
    for the words of its Unicode name, skin tones and presentation selectors for none.
    """
    spelt = "".join(_spell(character) for character in text)
    plain = "".join(c for c in unicodedata.normalize("NFKD", spelt) if not unicodedata.combining(c))
    plain = _ACRONYM_PLURAL.sub(r"\1", _APOSTROPHES.sub("", plain))
    return [word.lower() for word in _WORD.findall(plain)]


def is_emoji(text: str) -> bool:
    """Tell whether a text has pictographs and no letters."""
    symbols = [unicodedata.category(character) for character in text]
    return "So" in symbols and not any(symbol.startswith("L") for symbol in symbols)


def _spell(character: str) -> str:
    if unicodedata.category(character) != "So":
        return character
    return f" {_APOSTROPHES.sub('', unicodedata.name(character, ''))} "


def get_singulars(word: str) -> tuple[str, ...]:
    """List what `word` may be the plural of, likeliest first; () when it looks like no plural.

    The candidates are spellings, not words: the caller knows which of them exist.
    """
    if word in _IRREGULAR:
        return (_IRREGULAR[word],)
    if word.endswith("men"):
        return (word[:-3] + "man",)
    if len(word) < 3 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return ()
    stem = word[:-1]
    if word.endswith("ies"):
        return (word[:-3] + "y", stem)
    if word.endswith("ves"):
        return (word[:-3] + "f", word[:-3] + "fe", stem)
    if word.endswith(("ses", "xes", "zes", "ches", "shes", "oes")):
        return (word[:-2], stem, word[:-3]) if word.endswith("zzes") else (word[:-2], stem)
    return (stem,)
