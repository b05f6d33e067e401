"""Boxes by name: Grounding DINO (Liu et al. 2023) asked for what the item is called."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from a2cli.building.config import DetectConfig
from a2cli.building.records import Box, Item, Reject, View, drop_views
from a2cli.data.taxonomy import CATEGORIES
from a2cli.metrics.models import get_device, get_model_name, load_model, load_processor, name_view

NOTHING = "no subject found"


class GroundingDinoDetector:
    """The stage "detect" on a transformers model.

    Views that come with a mask or boxes keep them. The others are asked for the item's subcategory, else for its
    category's nouns, else for those of all eight; boxes lie in the view's own pixels, best first. An item without a
    category gets that of the label with the largest sum of scores over its views, and keeps the boxes of that label
    alone: the two views of a pair show one thing. Views without a box are dropped.
    """

    name = "detect"
    gpu = True

    def __init__(self, config: DetectConfig) -> None:
        self.config = config
        self._finder: BoxFinder | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"config": self.config, "_finder": None}  # the model stays where it was loaded

    def __call__(self, item: Item) -> Item | Reject:
        """Give every view its boxes. Raises what `load_model` raises, and `DataError` where the model fails."""
        views = list(item.views)
        asked = [i for i, view in enumerate(views) if view.mask is None and not view.boxes]
        phrases = get_phrases(item)
        tool = "given"
        if asked:
            finder = self._finder = self._finder or load_finder(self.config)
            tool = finder.name
        for i in asked:
            views[i] = replace(views[i], boxes=finder.find(views[i].rgb, phrases, name=views[i].name))
        item = replace(item, tools={**item.tools, self.name: tool})
        if not item.category:
            item, views = _settle_category(item, views)
        kept = [view for view in views if view.mask is not None or view.boxes]
        item = drop_views(item, kept, [NOTHING] * (len(views) - len(kept)))
        if kept:
            return item
        where = f"{views[0].name}: " if views else "no pictures; "
        detail = f"{where}nothing called {', '.join(phrases)} at {self.config.box_threshold} or more"
        return Reject(item.id, self.name, NOTHING, detail, item.dropped)


def get_phrases(item: Item) -> tuple[str, ...]:
    """What to ask for: the subcategory, else the category's nouns, else the nouns of all categories."""
    from a2cli.data.taxonomy import get_noun, get_nouns

    noun = get_noun(item.category, item.subcategory) if item.subcategory else ""
    wanted = " ".join(re.sub(r"[.?!]", " ", noun.lower()).split())  # these part phrases
    if wanted:
        return (wanted,)
    categories = (item.category,) if item.category in CATEGORIES else CATEGORIES
    return tuple(dict.fromkeys(noun.lower() for category in categories for noun in get_nouns(category)))


def get_query(phrases: Sequence[str]) -> str:
    """Phrases as the model was trained on them: lower case, a full stop after each."""
    return " ".join(f"{phrase}." for phrase in phrases)


def load_finder(config: DetectConfig) -> BoxFinder:
    """Open the model, its image processor (without torchvision) and its tokenizer; raises as `load_model` does."""
    from transformers import (
        AutoTokenizer,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessorPil,
        GroundingDinoProcessor,
    )

    device = get_device(config.device)
    model = load_model(GroundingDinoForObjectDetection, config.model, device)
    images = load_processor(GroundingDinoImageProcessorPil.from_pretrained, config.model)
    tokenizer = load_processor(AutoTokenizer.from_pretrained, config.model)
    return BoxFinder(model, GroundingDinoProcessor(images, tokenizer), config, device)


@dataclass(frozen=True)
class BoxFinder:
    """A loaded Grounding DINO. `device` is where `model` lies."""

    model: Any
    processor: Any
    config: DetectConfig
    device: str

    @property
    def name(self) -> str:
        return get_model_name(self.model, self.config.model)

    def find(self, rgb: np.ndarray, phrases: Sequence[str], *, name: str = "input") -> tuple[Box, ...]:
        """Boxes of what the phrases name in `rgb` ((H, W, 3) uint8), in its pixels, inside it, best first.

        The picture is a batch of its own: nothing is padded, so boxes in [0, 1] of what the model sees are boxes in
        [0, 1] of the picture. More phrases than a query holds are asked in turn. Raises `DataError` naming `name`.
        """
        boxes: list[Box] = []
        with name_view(name):
            for query in self._get_queries(phrases):
                boxes += self._ask(rgb, query)
        return tuple(sorted(boxes, key=lambda box: -box.score))

    def _get_queries(self, phrases: Sequence[str]) -> Iterator[str]:
        room = self.model.config.max_text_len
        held: list[str] = []
        for phrase in phrases:
            longer = get_query([*held, phrase])
            if held and len(self.processor.tokenizer(longer)["input_ids"]) > room:
                yield get_query(held)
                held = []
            held.append(phrase)
        yield get_query(held)

    def _ask(self, rgb: np.ndarray, query: str) -> Iterator[Box]:
        import torch

        limits = {"truncation": True, "max_length": self.model.config.max_text_len}
        inputs = self.processor(images=Image.fromarray(rgb), text=query, return_tensors="pt", **limits)
        with torch.inference_mode():
            outputs = self.model(**inputs.to(self.device))
        found = self.processor.post_process_grounded_object_detection(
            outputs,
            inputs["input_ids"],
            threshold=self.config.box_threshold,
            text_threshold=self.config.text_threshold,
            target_sizes=[rgb.shape[:2]],
        )[0]
        # Not strict: where nothing is found, transformers decodes no tokens to one empty label.
        for corners, score, label in zip(
            found["boxes"].tolist(), found["scores"].tolist(), found["text_labels"], strict=False
        ):
            box = clip_box(corners, (rgb.shape[0], rgb.shape[1]))
            if box is not None:
                yield Box(*box, score=score, label=label.strip(" ."))


def clip_box(corners: Sequence[float], size: tuple[int, int]) -> tuple[float, float, float, float] | None:
    """The part of (x0, y0, x1, y1) on a picture of `size` (H, W); None where less than a pixel is left."""
    height, width = size
    x0, x1 = (min(max(float(x), 0.0), float(width)) for x in (corners[0], corners[2]))
    y0, y1 = (min(max(float(y), 0.0), float(height)) for y in (corners[1], corners[3]))
    return (x0, y0, x1, y1) if x1 - x0 >= 1 and y1 - y0 >= 1 else None


def _settle_category(item: Item, views: list[View]) -> tuple[Item, list[View]]:
    """Name an item by what was found in it; found boxes of other names go, given views stay as they are."""
    sums: defaultdict[tuple[str, str], float] = defaultdict(float)
    names = [[_get_label(box) for box in view.boxes] for view in views]
    for view, labels in zip(views, names, strict=True):
        best: dict[tuple[str, str], float] = {}
        for box, label in zip(view.boxes, labels, strict=True):
            if label is not None:
                best[label] = max(best.get(label, 0.0), box.score)
        for label, score in best.items():
            sums[label] += score
    if not sums:
        return item, views
    winner = max(sums, key=lambda label: sums[label])
    settled = [
        view
        if view.given
        else replace(
            view, boxes=tuple(b for b, label in zip(view.boxes, labels, strict=True) if label == winner)
        )
        for view, labels in zip(views, names, strict=True)
    ]
    return replace(item, category=winner[0], subcategory=item.subcategory or winner[1]), settled


def _get_label(box: Box) -> tuple[str, str] | None:
    from a2cli.data.taxonomy import find_in_words, find_subcategory

    label = (find_subcategory(box.label) or find_in_words(box.label)) if box.label else None
    return (label.category, label.subcategory) if label else None
