"""What one calls a thing, and which other things the same words would fit: a sentence must leave no doubt."""

from __future__ import annotations

import re
from functools import cache

from a2cli.data.captions import get_noun

# Labels of glyphs that show something else than Unicode's name says, or a name that recolouring makes untrue.
_CALLED = {
    "dark sunglasses": "sunglasses",
    "derelict house building": "derelict house",
    "face massage": "person having a massage",
    "face palm": "person hiding the face",
    "frame with picture": "picture frame",
    "green apple": "apple",
    "haircut": "person having a haircut",
    "herb": "twig",
    "information desk person": "person showing a palm",
    "leafy green": "lettuce",
    "necktie": "shirt with tie",
    "person with blond hair": "person",
    "personal computer": "laptop",
    "red apple": "apple",
    "running shirt with sash": "vest with sash",
    "shrug": "shrugging person",
    "station": "train at a station",
    "wedding": "wedding chapel",
    "womans boots": "womans boot",
    "wood": "wooden log",
}
# Words, and the names of things they fit as well.
_FITS = {
    "adult": "woman;princess;prince;vampire;dancer;mage;ninja;superhero;zombie;police officer;guardsman;bearded person;"
    "older man;older woman;deaf person;person hiding the face;person showing a palm;person having a haircut;"
    "person with a headscarf;person with a crown;shrugging person;standing person;bride with a veil",
    "animal": "carousel horse",
    "automobile": "taxi;oncoming taxi;police car;racing car;ambulance;pickup truck;auto rickshaw",
    "badger": "skunk",
    "bear": "panda face",
    "bird": "hatching chick;baby chick",
    "bug": "honeybee;lady beetle;beetle;scorpion",
    "bus": "minibus",
    "cat": "tiger;tiger face;leopard",
    "chicken": "rooster",
    "child": "boy;girl;baby;baby angel;princess",
    "church": "wedding chapel",
    "classical building": "bank",
    "clover shamrock": "four leaf clover;shamrock",
    "cow": "water buffalo;bison",
    "crown": "prince;princess",
    "dog": "poodle",
    "eyeglasses": "sunglasses;goggles",
    "fallen leaf": "leaf in the wind",
    "fish": "shark",
    "flat shoe": "man's shoe;athletic shoe;ballet shoes",
    "girl": "woman;princess;dancer",
    "goat": "ram",
    "goggles": "sunglasses;eyeglasses",
    "grinning": "smiling face with sunglasses;clown face;face with a cowboy hat",
    "hatching baby chick": "baby chick;hatching chick",
    "horse": "unicorn face;zebra face",
    "house": "houses",
    "jar": "honey pot",
    "laptop": "desktop computer",
    "leaf in the wind": "fallen leaf",
    "man": "older man;prince;vampire;guardsman;bearded person;man with a turban;Father Christmas",
    "man's shoe": "athletic shoe;flat shoe",
    "melon": "watermelon",
    "metro light rail train": "metro train;light rail train;tram;tram car",
    "monkey": "gorilla;orangutan",
    "mountain cableway": "aerial tramway",
    "mouse": "rat",
    "older woman": "Mother Christmas",
    "older man": "Father Christmas",
    "person": "adult;baby;baby angel;boy;girl;woman;older man;older woman;child;princess;prince;vampire;zombie;dancer;"
    "mage;ninja;superhero;police officer;guardsman;man with a turban;bride with a veil;Father Christmas;"
    "Mother Christmas;Statue of Liberty;grinning face;clown face;face with a cowboy hat;smiling face with sunglasses;"
    "face with a party horn and party hat",
    "person with a crown": "prince;princess",
    "person with a headscarf": "bride with a veil",
    "pig": "boar",
    "pouch": "handbag",
    "rat": "mouse",
    "rose": "wilted flower;hibiscus",
    "rowboat": "canoe",
    "ship": "ferry;motor boat;speedboat",
    "speedboat": "motor boat",
    "standing person": "dancer;superhero",
    "sunglasses": "eyeglasses;goggles;smiling face with sunglasses",
    "train": "railway car;steam locomotive;monorail;tram;tram car;suspension railway",
    "truck": "fire engine;articulated lorry",
    "delivery truck": "articulated lorry",
    "vest": "safety vest;vest with a sash",
    "water buffalo": "bison",
    "woman": "princess;dancer;older woman;Mother Christmas;bride with a veil;person with a headscarf;Statue of Liberty",
}
_KINDS = {"garments": "garment", "portraits": "person", "animals": "animal", "vehicles": "vehicle"}
_OF_NO_KIND = re.compile(r"\b(?:face with|grinning|clown|smiling|satellite|cableway|tramway)\b")


def get_thing_noun(label: str, colour: str = "") -> str:
    """What one calls a subject, without article: ("necktie", "red") -> "red shirt with a tie"."""
    return drop_article(get_noun(_CALLED.get(label, label), colour))


def get_other_noun(label: str, *, piece: bool = False) -> str:
    """What one calls a subject that is to come, with its article; `piece` tells that it is a part of a photo."""
    noun = get_noun(_CALLED.get(label, label))
    return f"a cut-out of {noun}" if piece else noun


def get_kind(noun: str, category: str, others: list[tuple[str, str]]) -> str:
    """The word for a thing's kind ("animal") where it fits none of the others, nouns and categories; else ""."""
    kind = _KINDS.get(category, "")
    near = ("garments", "accessories") if category == "garments" else (category,)
    taken = any(of in near or kind in _get_words(other) for other, of in others)
    return "" if taken or _OF_NO_KIND.search(noun) else kind


def is_ambiguous(noun: str, other: str) -> bool:
    """Whether one of two names would fit the other thing too: "cat" and "cat face", "bus" and "minibus"."""
    return _split(noun) <= _get_words(other) or _split(other) <= _get_words(noun)


def drop_article(noun: str) -> str:
    """ "a red cup" -> "red cup"."""
    return re.sub(r"^(?:an?|the) ", "", noun)


@cache
def _get_words(noun: str) -> frozenset[str]:
    """The words of a name, and those that would fit the thing as well."""
    general = (words for words, names in _FITS.items() if noun in names.split(";"))
    return _split(noun).union(*map(_split, general))


def _split(noun: str) -> frozenset[str]:
    return frozenset(noun.lower().split())
