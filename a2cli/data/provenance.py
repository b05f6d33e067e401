"""Where a pair comes from and who allows its use: the record's column `provenance`, JSON text."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Rights:
    """Who made a picture and what may be done with it; texts as the owner states them, "" where unknown.

    `source` is an address or the name of a collection, `licence` an SPDX identifier where there is one
    ("CC-BY-4.0"), `permission` what the owner granted beyond it.
    """

    source: str = ""
    author: str = ""
    licence: str = ""
    permission: str = ""


@dataclass(frozen=True)
class Provenance:
    """`Rights`, and how the pair came about.

    `group` names the object, person or video shown: pairs of one group never stand in two splits. `ref` and `tar`
    name the pictures in their source, `tools` what made each part ("segment": "SamModel facebook/sam-vit-base"),
    `scores` what was measured ("sharpness": 0.7), `generated` what a generator was asked, empty for photographs.
    """

    rights: Rights = field(default_factory=Rights)
    group: str = ""
    ref: str = ""
    tar: str = ""
    tools: dict[str, str] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    generated: dict[str, str] = field(default_factory=dict)

    def to_text(self) -> str:
        """One line of JSON with the rights on its top level; what is empty is left out."""
        values = asdict(self)
        flat = {**values.pop("rights"), **values}
        return json.dumps({name: value for name, value in flat.items() if value}, sort_keys=True)


def parse_provenance(text: str) -> Provenance:
    """Read the column of any data set: our JSON, else the words are taken for the source."""
    try:
        value = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        return Provenance(Rights(source=text))
    texts = {name: _get_text(value, name) for name in ("source", "author", "licence", "permission")}
    if not texts["licence"]:
        texts["licence"] = _get_text(value, "license")
    return Provenance(
        Rights(**texts),
        group=_get_text(value, "group"),
        ref=_get_text(value, "ref"),
        tar=_get_text(value, "tar"),
        tools=_get_mapping(value, "tools"),
        scores=_get_mapping(value, "scores"),
        generated=_get_mapping(value, "generated"),
    )


def _get_text(value: dict[str, Any], name: str) -> str:
    found = value.get(name)
    return found if isinstance(found, str) else "" if found is None else json.dumps(found)


def _get_mapping(value: dict[str, Any], name: str) -> dict[str, Any]:
    found = value.get(name)
    return found if isinstance(found, dict) else {}
