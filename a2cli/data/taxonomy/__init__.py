"""The eight UniEdit categories, their subcategories, and the names by which people call them (A2-Edit, appendix A)."""

from __future__ import annotations

from a2cli.data.taxonomy.glyph_names import get_glyph_names
from a2cli.data.taxonomy.index import Label
from a2cli.data.taxonomy.listing import CATEGORIES, get_listed, get_subcategories
from a2cli.data.taxonomy.lookup import (
    find_in_words,
    find_label,
    find_subcategory,
    get_aliases,
    get_nearest,
    normalise,
)
from a2cli.data.taxonomy.phrases import get_noun, get_nouns, get_phrase, get_with_article

__all__ = [
    "CATEGORIES",
    "Label",
    "find_in_words",
    "find_label",
    "find_subcategory",
    "get_aliases",
    "get_glyph_names",
    "get_listed",
    "get_nearest",
    "get_noun",
    "get_nouns",
    "get_phrase",
    "get_subcategories",
    "get_with_article",
    "normalise",
]
