"""What an item shows: as it is given, else from its names, else from its looks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from a2cli.building.config import LabelConfig
from a2cli.building.records import Item, Reject, View
from a2cli.data.taxonomy import (
    Label,
    find_in_words,
    find_subcategory,
    get_phrase,
    get_with_article,
    normalise,
)
from a2cli.errors import DataError
from a2cli.files import show_name

if TYPE_CHECKING:
    from a2cli.building.zero_shot import ZeroShot

SIDE = 256  # px at which views are compared
SHOWN = 3  # names in a message
# What a folder of files is called, whatever they show.
STORES = frozenset({"bucket", "desktop", "gallery", "home", "library"})
REMEDY = "name the category in a sidecar or with --category, or name a CLIP model in label.model"


class Labeller:
    """The stage "label": every item gets one of the eight categories, a subcategory and a prompt.

    What is given is only spelt as records spell it. Else the item's id, the names of its views, its prompt and the name
    of its source's folder are read, in this order, the first that names something; what they leave open is asked of
    `LabelConfig.model`. The tools tell who said it: "given", "words", the model, or two of them with a comma. An item
    that keeps no category is rejected where one is required.
    """

    name = "label"

    def __init__(self, config: LabelConfig) -> None:
        self.config = config
        self.gpu = config.model is not None
        self._model: ZeroShot | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_model": None}  # the model stays where it was loaded

    def __call__(self, item: Item) -> Item | Reject:
        """Label one item. Raises what `load_zero_shot` raises, and `DataError` where the model fails on the picture."""
        try:
            label, said = _get_given(item)
        except DataError as error:
            return Reject(item.id, self.name, "unknown category", str(error), item.dropped)
        if not (label.category and label.subcategory):
            label, said = _add(label, find_label_of_names(item, label.category), said, "words")
        scores = item.scores
        unsure = not label.category or not (label.subcategory or label.noun)
        if unsure and self.config.model is not None and item.views:
            model = self._load(self.config.model)
            seen, score = model.name_subject(get_best_view(item.views), label.category)
            label, said = _add(label, seen, said, model.name)
            scores = {**scores, self.name: score}
        if not label.category:
            return self._pass_on(item)
        return replace(
            item,
            category=label.category,
            subcategory=label.subcategory,
            prompt=item.prompt if item.prompt.strip() else get_caption(label),
            tools={**item.tools, self.name: ", ".join(said)},
            scores=scores,
        )

    def _pass_on(self, item: Item) -> Item | Reject:
        if not self.config.required:
            return item
        names = dict.fromkeys((item.id, *(view.name for view in item.views)))
        shown = show_name(", ".join(list(names)[:SHOWN])) + (", ..." if len(names) > SHOWN else "")
        detail = f"{shown}: names and prompt do not say what it shows ({REMEDY})"
        return Reject(item.id, self.name, "no category", detail, item.dropped)

    def _load(self, model: str) -> ZeroShot:
        from a2cli.building.zero_shot import load_zero_shot

        self._model = self._model or load_zero_shot(model, self.config.device)
        return self._model


def find_label_of_names(item: Item, category: str = "") -> Label | None:
    """What the item's id, its views' names, its prompt or its source's folder name, of `category` alone if it is said.

    Views that name different things name nothing. Where only a category is named, the rest may still say what of it.
    """
    general = None
    folder = "" if item.folder.casefold() in STORES else item.folder
    for texts in ((item.id,), tuple(view.name for view in item.views), (item.prompt,), (folder,)):
        found = [label for text in texts if (label := find_in_words(text, category))]
        if len({label.category for label in found}) != 1:
            continue
        kinds = {label.subcategory or label.noun: label for label in found if label.subcategory or label.noun}
        if len(kinds) == 1:
            return next(iter(kinds.values()))
        general = general or Label(found[0].category)
        category = general.category
    return general


def get_best_view(views: tuple[View, ...]) -> View:
    """The view to judge an item by: the sharpest with a mask, else with boxes, else of all; of equals the first."""

    def rank(view: View) -> tuple[bool, bool, float]:
        return view.mask is not None, bool(view.boxes), get_sharpness(view.rgb)

    return max(views, key=rank)


def get_sharpness(rgb: np.ndarray) -> float:
    """The variance of the Laplacian of a picture ((H, W, 3) uint8) scaled to 256 px at the longer side."""
    height, width = rgb.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    grey = cv2.cvtColor(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())


def get_caption(label: Label) -> str:
    """A prompt for what has none: "a photo of a sofa", "a photo of jeans", "a photo of a fox"."""
    if not label.subcategory and label.noun:
        return f"a photo of {get_with_article(label.noun)}"
    return f"a photo of {get_phrase(label.category, label.subcategory)}"


def _get_given(item: Item) -> tuple[Label, list[str]]:
    """What came with the item, and whether anything did. Raises `DataError` for a category that there is not."""
    said = " ".join(item.subcategory.split())
    if not item.category.strip() and find_subcategory(said) is None:
        return Label("", said), []
    return Label(*normalise(item.category, said)), ["given"]


def _add(label: Label, found: Label | None, said: list[str], tool: str) -> tuple[Label, list[str]]:
    """Let `found` fill what `label` leaves open; `tool` joins those that said something if it did."""
    if found is None:
        return label, said
    full = Label(
        label.category or found.category, label.subcategory or found.subcategory, label.noun or found.noun
    )
    known = (full.category, full.subcategory, full.noun) == (label.category, label.subcategory, label.noun)
    return full, said if known else [*said, tool]
