"""Words of published data sets as a2's category and subcategory."""

from __future__ import annotations

from a2cli.data.taxonomy import find_in_words, find_subcategory

ANY_INSERTION = {
    "accessory": "accessories",
    "garment": "garments",
    "person": "portraits",
    "animal": "animals",
    "plant": "plants",
    "vehicle": "vehicles",
    "furniture": "furniture",
    "building": "architecture",
}
UNKNOWN = "object"  # what AnyInsertion calls the rest; none of the eight categories


def get_any_insertion_labels(word: str, label: str) -> tuple[str, str]:
    """Category and subcategory of AnyInsertion's folder word and label.

    The label decides where the taxonomy knows it: "Trousers" lie in AnyInsertion's "accessory" and are garments. Else
    the word does; a word that stands for no category ("object") stays as it is.
    """
    found = find_subcategory(label) if label else None
    if found is not None:
        return found.category, found.subcategory or _tidy(label, word, found.category)
    category = ANY_INSERTION.get(word, word or UNKNOWN)
    return category, _tidy(label, word, category)


def get_instruction_labels(instruction: str) -> tuple[str, str]:
    """Category and subcategory of what an instruction speaks of; "object" where the taxonomy knows none of it."""
    found = find_in_words(instruction)
    return (found.category, found.subcategory) if found is not None else (UNKNOWN, "")


def get_any_insertion_word(category: str, split: str) -> str:
    """The folder of a category in AnyInsertion: its training part keeps garments among the accessories."""
    if category == "garments":
        return "garment" if split == "test" else "accessory"
    return {"accessories": "accessory", "portraits": "person"}.get(category, UNKNOWN)


def _tidy(label: str, word: str, category: str) -> str:
    """A label as a subcategory; what only repeats the word or the category says nothing."""
    text = " ".join(label.lower().replace("_", " ").split())
    return "" if text in (word, category, "unknown") else text
