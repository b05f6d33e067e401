"""Items without pictures, for a generator to make."""

from __future__ import annotations

from collections.abc import Iterator

from a2cli.building.config import InputConfig
from a2cli.building.readers.about import About
from a2cli.building.readers.parts import build_any
from a2cli.building.records import Input


def list_generated(config: InputConfig) -> Iterator[Input]:
    """`config.count` items, `generated/CATEGORY/SUBCATEGORY/0001`, ...; "any" stands for what is not said."""
    place = f"generated/{config.category or 'any'}/{config.subcategory or 'any'}"
    for number in range(1, config.count + 1):
        yield build_any(f"{place}/{number:04d}", [], About(), config, "generated", {"parts": []})
