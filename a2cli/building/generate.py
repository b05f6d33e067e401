"""Items with fewer than two pictures, completed by a generator behind an images API."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from a2cli.building.config import GenerateConfig
from a2cli.building.generate_client import Ask, Failure, ImageClient
from a2cli.building.records import Item, Reject, View
from a2cli.images.photo import Photo
from a2cli.remote.access import get_host

# Where the second picture is taken. A person for what is worn, a room for furniture: a natural place for the subject.
SCENES: dict[str, tuple[str, ...]] = {
    "garments": (
        "worn by a person in a busy street",
        "worn by a person in a park",
        "worn by a person at home",
    ),
    "accessories": ("worn or carried by a person in a street", "in use at a café", "worn or carried at home"),
    "portraits": ("in a street", "in a kitchen", "in a park", "in an office", "at a station"),
    "animals": (
        "in a meadow",
        "on a forest path",
        "in a garden",
        "by the water",
        "at home on a wooden floor",
    ),
    "plants": ("in a garden", "on a window sill", "on a market stall", "on a kitchen table"),
    "furniture": ("in a living room", "in a bright flat", "in an old house", "on a terrace"),
    "vehicles": ("in a city street", "on a country road", "by the sea", "in front of a house"),
    "architecture": ("seen from across the street", "seen from a hill", "among trees", "under a wide sky"),
}
ANYWHERE = ("indoors on a table", "in a garden", "in a living room", "in a street")
SIDES = ("from the left", "from the right", "from a little above", "from nearby", "from some way off")
LIGHTS = ("in soft daylight", "in the late afternoon sun", "under an overcast sky", "in warm evening light")


class Generator:
    """The stage "generate".

    An item without pictures gets a studio picture of its subject as its reference, then one of the same subject
    elsewhere; an item of one picture gets the latter alone. Others pass. Scene, side and light follow from the item's
    id, so a rerun asks the same and is answered from `cache`. `generated` says what was asked, of whom and which views
    it gave; the licence of a photograph stays that of the photograph.
    """

    name = "generate"
    gpu = False

    def __init__(self, config: GenerateConfig, cache: Path) -> None:
        self.config = config
        self.client = ImageClient(config, Path(cache))

    def __call__(self, item: Item) -> Item | Reject:
        """Complete an item to two views. Raises `ConfigError` without the API's key or a usable address."""
        if len(item.views) >= 2:
            return item
        subject = get_subject(item)
        if not item.views:
            answer = self._ask(item, "reference", build_reference_prompt(item, subject))
            if isinstance(answer, Reject):
                return answer
            rights = item.rights
            rights = replace(
                rights, source=rights.source or "generated", licence=rights.licence or self.config.licence
            )
            item = replace(answer, rights=rights)
        return self._ask(item, "second", build_second_prompt(item, subject), item.views[0].rgb)

    def _ask(self, item: Item, name: str, prompt: str, rgb: np.ndarray | None = None) -> Item | Reject:
        """The item with one view more: made from nothing, or from `rgb`."""
        ask = Ask("images/generations" if rgb is None else "images/edits", item.id, prompt, rgb)
        answer = self.client.ask(ask)
        if isinstance(answer, Failure):
            return Reject(
                item.id, self.name, answer.reason, answer.detail, item.dropped, failed=answer.broken
            )
        view = View(f"generated/{name}", flatten(answer), role="reference" if rgb is None else "")
        host = get_host(self.config.url)
        views = item.generated.get("views")
        made: dict[str, str] = {
            **item.generated,
            "model": self.config.model,
            "host": host,
            "size": self.config.size,
            "views": f"{views}, {name}" if views else name,
            f"{name}_endpoint": ask.endpoint,
            f"{name}_prompt": prompt,
        }
        if self.config.licence:
            made["licence"] = self.config.licence
        tools = {**item.tools, self.name: f"{self.config.model} at {host}"}
        return replace(item, views=(*item.views, view), tools=tools, generated=made)


def get_subject(item: Item) -> str:
    """What a picture shall show: the item's prompt without its "a photo of", else the subcategory or a noun."""
    from a2cli.data.taxonomy import CATEGORIES, get_nouns

    words = re.sub(
        r"^\s*(an?|the)?\s*(photo|photograph|picture|image)\s+of\s+", "", item.prompt, flags=re.IGNORECASE
    ).strip(" .\n")
    if words:
        return words
    if item.subcategory:
        return item.subcategory
    nouns = get_nouns(item.category) if item.category in CATEGORIES else ()
    return _choose(item, "noun", tuple(nouns)) if nouns else "everyday object"


def build_reference_prompt(item: Item, subject: str) -> str:
    """A plain studio picture of the subject; the item's id decides about the side it shows."""
    return (
        f"Studio photograph, sharp and true to life. Subject: {subject}. Only this one, whole, in the middle, seen "
        f"{_choose(item, 'side', SIDES)}, on a plain light grey ground in soft even light. No text, no frame."
    )


def build_second_prompt(item: Item, subject: str) -> str:
    """The same subject in a natural scene; the item's id decides about scene, side and light."""
    scene = _choose(item, "scene", SCENES.get(item.category, ANYWHERE))
    return (
        f"Photograph of exactly the same subject as in the given picture ({subject}), {scene}, seen "
        f"{_choose(item, 'other side', SIDES)}, {_choose(item, 'light', LIGHTS)}. Keep its shape, proportions, "
        "colours, material, pattern and markings. Change the surroundings, the pose and the point of view. "
        "It is wholly in view, sharp and the only one of its kind. No text, no frame."
    )


def flatten(photo: Photo) -> np.ndarray:
    """A generator's picture, (H, W, 3) uint8; what is transparent lies on white."""
    if photo.alpha is None:
        return photo.rgb
    weight = photo.alpha[..., None].astype(np.float32) / 255
    return np.rint(photo.rgb * weight + 255 * (1 - weight)).astype(np.uint8)


def _choose(item: Item, what: str, choices: tuple[Any, ...]) -> Any:
    """One of the choices, the same for the same item on every machine."""
    digest = hashlib.sha256(f"{item.id}\0{what}".encode()).digest()
    return choices[int.from_bytes(digest[:8], "big") % len(choices)]
