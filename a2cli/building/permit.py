"""Which items may be used: governance comes before any picture is looked at."""

from __future__ import annotations

import re

from a2cli.building.records import Item, Reject


class Permit:
    """Lets through what one of the allowed licences covers; None allows everything."""

    name = "permit"
    gpu = False

    def __init__(self, allowed: tuple[str, ...] | None) -> None:
        self.allowed = None if allowed is None else {get_licence_key(name) for name in allowed}

    def __call__(self, item: Item) -> Item | Reject:
        """The item, or a reject that quotes its licence."""
        if self.allowed is None or is_allowed(item.rights.licence, self.allowed):
            return item
        if not item.rights.licence.strip():
            return Reject(item.id, self.name, "no licence stated", item.rights.source)
        return Reject(item.id, self.name, f"licence {item.rights.licence} not allowed", item.rights.source)


def is_allowed(licence: str, allowed: set[str]) -> bool:
    """Whether a licence, or what SPDX joins of several by AND and OR, is among the allowed keys.

    AND binds more tightly, as in SPDX; brackets are not read: such a text must be allowed as it stands.
    """
    if get_licence_key(licence) in allowed:
        return True
    ways = re.split(r"\s+OR\s+", licence.strip(), flags=re.IGNORECASE)
    return "(" not in licence and any(
        all(get_licence_key(name) in allowed for name in re.split(r"\s+AND\s+", way, flags=re.IGNORECASE))
        for way in ways
    )


def get_licence_key(name: str) -> str:
    """A licence's name without case, blanks and punctuation: `CC BY 4.0` and `cc-by-4.0` are one.

    Versions and terms stay: `CC-BY-NC-4.0` is another licence.
    """
    return re.sub(r"[\s_\-]+", "-", name.strip().casefold())
