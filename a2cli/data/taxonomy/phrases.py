"""A subcategory in a sentence: with its article for a caption, as plain nouns for a detector."""

from __future__ import annotations

from a2cli.data.taxonomy.words import get_singulars

_NOUNS = {
    "garments": ("clothes", "shirt", "dress", "coat", "trousers"),
    "portraits": ("person", "man", "woman", "child", "face"),
    "animals": ("animal", "dog", "cat", "bird", "horse", "fish"),
    "plants": ("plant", "tree", "flower", "fruit", "vegetable"),
    "accessories": ("bag", "hat", "shoes", "glasses", "jewellery", "watch"),
    "furniture": ("furniture", "chair", "table", "sofa", "bed", "lamp", "cup"),
    "vehicles": ("vehicle", "car", "bus", "truck", "motorcycle", "bicycle", "train", "boat", "airplane"),
    "architecture": ("building", "house", "tower", "church", "bridge"),
}

_WHOLE = {
    "garments": "a garment",
    "portraits": "a person",
    "animals": "an animal",
    "plants": "a plant",
    "accessories": "an accessory",
    "furniture": "a piece of furniture",
    "vehicles": "a vehicle",
    "architecture": "a building",
}

_SUBSTANCES = frozenset(
    {"outerwear", "sportswear", "underwear", "bamboo", "rice", "wheat", "corn", "maize", "grass", "jewellery"}
)

# What "a" and the name alone would say wrongly, or not clearly.
_SAID = {
    "elder": "an elderly person",
    "blonde": "a person with blonde hair",
    "brunette": "a person with brown hair",
    "black hair": "a person with black hair",
    "red hair": "a person with red hair",
    "curly hair": "a person with curly hair",
    "straight hair": "a person with straight hair",
    "long hair": "a person with long hair",
    "short hair": "a person with short hair",
    "front": "a person seen from the front",
    "profile": "a person in profile",
    "bust": "a person from the chest up",
    "full body": "a person from head to toe",
    "sitting": "a sitting person",
    "standing": "a standing person",
    "running": "a running person",
    "jumping": "a jumping person",
    "tabby": "a tabby cat",
    "ragdoll": "a ragdoll cat",
    "persian": "a Persian cat",
    "retriever": "a retriever dog",
    "shepherd": "a shepherd dog",
    "husky": "a husky dog",
    "pine": "a pine tree",
    "cherry": "a cherry tree",
    "maple": "a maple tree",
    "bowl picking": "a potted plant",
    "heels": "high heels",
    "sleeves": "arm sleeves",
    "roller blades": "roller blades",
    "washer": "a washing machine",
    "electromobile": "an electric vehicle",
    "office": "an office building",
    "apartment": "an apartment building",
    "mall": "a shopping mall",
    "school": "a school building",
    "square": "a town square",
    "suv": "an SUV",
    "tv": "a TV",
}

_VOWEL_SAID_CONSONANT = ("uni", "use", "usa", "uk", "eu", "one", "ura", "ute")
_CONSONANT_SAID_VOWEL = ("hour", "honest", "heir", "honour")
_SPELT_WITH_VOWEL = frozenset("aefhilmnorsx")  # "an RV", "an X"


def get_nouns(category: str) -> tuple[str, ...]:
    """List a few plain nouns that a detector can be asked for, the most general first."""
    return _NOUNS[category]


def get_phrase(category: str, subcategory: str = "") -> str:
    """Say a subcategory in a sentence: "a sofa", "jeans", "a person with long hair"; of none, its category."""
    if not subcategory:
        return _WHOLE[category]
    return _SAID.get(subcategory) or get_with_article(subcategory)


def get_noun(category: str, subcategory: str = "") -> str:
    """Say a subcategory as a detector is asked for it, without an article: "potted plant" for "bowl picking"."""
    return get_phrase(category, subcategory).removeprefix("a ").removeprefix("an ")


def get_with_article(noun: str) -> str:
    """Put "a" or "an" before a noun, or nothing before plurals and substances."""
    words = noun.split()
    first, last = words[0].lower(), words[-1].lower()
    if first in ("a", "an", "the") or last in _SUBSTANCES or get_singulars(last):
        return noun
    if words[0].isupper() and len(words[0]) < 4:
        vowel = first[0] in _SPELT_WITH_VOWEL
    elif first.startswith(_VOWEL_SAID_CONSONANT):
        vowel = False
    else:
        vowel = first[0] in "aeiou" or first.startswith(_CONSONANT_SAID_VOWEL)
    return f"{'an' if vowel else 'a'} {noun}"
