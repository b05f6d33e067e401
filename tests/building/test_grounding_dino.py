"""Grounding DINO on a tiny model: coordinates are checked on tensors, results against transformers' own."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_models import build_grounding_dino

from a2cli.building.config import DetectConfig
from a2cli.building.detect.grounding_dino import (
    BoxFinder,
    GroundingDinoDetector,
    clip_box,
    get_phrases,
    get_query,
    load_finder,
)
from a2cli.building.records import Box, Item, Reject, View
from a2cli.data.taxonomy import CATEGORIES, get_nouns

RNG = np.random.default_rng(0)
WIDE = RNG.integers(0, 256, (150, 310, 3), dtype=np.uint8)
TALL = RNG.integers(0, 256, (90, 40, 3), dtype=np.uint8)
NOWHERE = DetectConfig(method="grounding-dino", model="/nowhere", device="cpu")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> DetectConfig:
    folder = build_grounding_dino(tmp_path_factory.mktemp("models") / "dino")
    return DetectConfig(method="grounding-dino", model=folder, device="cpu")


@pytest.fixture(scope="module")
def finder(config: DetectConfig) -> BoxFinder:
    return load_finder(config)


@contextmanager
def answering(
    finder: BoxFinder, found: list[tuple[list[float], float, str]]
) -> Iterator[list[dict[str, Any]]]:
    """Let the model find boxes (cx, cy, w, h in [0, 1]; score; word); yields what it was given."""
    seen: list[dict[str, Any]] = []
    words = finder.processor.tokenizer.get_vocab()

    def replace(_module: Any, _args: Any, inputs: dict[str, Any], outputs: Any) -> Any:
        seen.append({**inputs, "outputs": outputs.logits.shape})
        outputs.logits.fill_(-torch.inf)
        ids = inputs["input_ids"][0].tolist()
        here = [one for one in found if words[one[2]] in ids]  # of several queries, those that name it
        for i, (box, score, word) in enumerate(here):
            outputs.pred_boxes[0, i] = torch.tensor(box)
            outputs.logits[0, i, ids.index(words[word])] = torch.logit(torch.tensor(score))
        return outputs

    handle = finder.model.register_forward_hook(replace, with_kwargs=True)
    try:
        yield seen
    finally:
        handle.remove()


def run(config: DetectConfig, finder: BoxFinder, item: Item) -> Item | Reject:
    stage = GroundingDinoDetector(config)
    stage._finder = finder
    return stage(item)


def build_item(*views: View, category: str = "animals", subcategory: str = "cat") -> Item:
    return Item("one", "one", views, category=category, subcategory=subcategory)


def test_boxes_are_in_the_pictures_own_pixels(finder: BoxFinder) -> None:
    found = [([0.5, 0.25, 0.2, 0.3], 0.6, "cat"), ([0.95, 0.9, 0.3, 0.4], 0.9, "dog")]
    with answering(finder, found) as seen:
        boxes = finder.find(WIDE, ("cat", "dog"))
    height, width = seen[0]["pixel_values"].shape[-2:]
    assert (height, width) == (52, 107)  # the long side's limit decides: 150 x 107 / 310; nothing is padded
    assert bool((seen[0]["pixel_mask"] == 1).all())
    best, second = boxes
    assert (best.label, second.label) == ("dog", "cat")
    np.testing.assert_allclose([best.score, second.score], [0.9, 0.6], rtol=1e-5)
    np.testing.assert_allclose(
        [second.x0, second.y0, second.x1, second.y1], [0.4 * 310, 0.1 * 150, 0.6 * 310, 0.4 * 150], rtol=1e-5
    )
    np.testing.assert_allclose([best.x0, best.y0], [0.8 * 310, 0.7 * 150], rtol=1e-5)
    assert (best.x1, best.y1) == (310, 150)  # clipped


def test_detections_below_the_threshold_or_a_pixel_are_none(finder: BoxFinder) -> None:
    found = [
        ([0.5, 0.5, 0.2, 0.2], 0.29, "cat"),
        ([0.5, 0.5, 0.002, 0.2], 0.9, "cat"),
        ([1.2, 0.5, 0.2, 0.2], 0.9, "cat"),
    ]
    with answering(finder, found):
        assert finder.find(WIDE, ("cat",)) == ()
    assert clip_box([-5, 2, 3, 900], (10, 20)) == (0, 2, 3, 10)
    assert clip_box([float("nan"), 2, 3, 4], (10, 20)) in (None, (0, 2, 3, 4))


def test_equals_transformers_own_computation(config: DetectConfig, finder: BoxFinder) -> None:
    """Random weights, every query kept."""
    open_config = DetectConfig(
        config.method, config.model, box_threshold=0.0, text_threshold=0.0, device="cpu"
    )
    boxes = BoxFinder(finder.model, finder.processor, open_config, "cpu").find(WIDE, ("sports car", "cat"))
    inputs = finder.processor(images=Image.fromarray(WIDE), text="sports car. cat.", return_tensors="pt")
    with torch.no_grad():
        outputs = finder.model(**inputs)
    centres, sides = outputs.pred_boxes[0, :, :2], outputs.pred_boxes[0, :, 2:]
    corners = torch.cat([centres - sides / 2, centres + sides / 2], dim=1) * torch.tensor(
        [310, 150, 310, 150]
    )
    corners = corners.clamp(min=0).minimum(torch.tensor([310, 150, 310, 150]))
    scores = outputs.logits[0].sigmoid().max(dim=1).values
    order = scores.argsort(descending=True, stable=True)
    assert len(boxes) == len(scores) == 12
    got = np.array([[b.x0, b.y0, b.x1, b.y1, b.score] for b in boxes])
    wanted = torch.cat([corners, scores[:, None]], dim=1)[order].numpy()
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-3)


def test_a_view_alone_equals_the_view_in_company(config: DetectConfig, finder: BoxFinder) -> None:
    low = DetectConfig(config.method, config.model, box_threshold=0.0, device="cpu")
    loose = BoxFinder(finder.model, finder.processor, low, "cpu")
    together = run(low, loose, build_item(View("a", WIDE), View("b", TALL)))
    assert isinstance(together, Item)
    for view in together.views:
        alone = run(low, loose, build_item(View(view.name, view.rgb)))
        assert isinstance(alone, Item) and alone.views[0].boxes == view.boxes and view.boxes


def test_the_query_is_made_of_what_is_known() -> None:
    assert get_phrases(build_item(subcategory="Sports car. Fast?")) == ("sports car fast",)
    assert get_phrases(build_item(subcategory="")) == tuple(
        dict.fromkeys(n.lower() for n in get_nouns("animals"))
    )
    every = get_phrases(build_item(category="", subcategory=""))
    assert set(every) >= {noun.lower() for category in CATEGORIES for noun in get_nouns(category)}
    assert get_query(("cat", "sports car")) == "cat. sports car."


def test_more_phrases_than_a_query_holds_are_asked_in_turn(finder: BoxFinder) -> None:
    phrases = tuple(
        f"red {a} {b}" for a in ("cat", "dog", "car", "tree") for b in ("chair", "person", "dress", "cat")
    )
    with answering(finder, []) as seen:
        finder.find(TALL, phrases)
    texts = [finder.processor.tokenizer.decode(one["input_ids"][0], skip_special_tokens=True) for one in seen]
    assert len(texts) > 1 and all(one["input_ids"].shape[1] <= 48 for one in seen)
    asked = [
        phrase.strip() for text in texts for phrase in text.replace(" .", ".").split(".") if phrase.strip()
    ]
    assert tuple(asked) == phrases


def test_what_came_with_the_data_is_kept_without_the_model() -> None:
    mask = np.zeros(TALL.shape[:2], bool)
    mask[3:9, 4:8] = True
    views = (View("a", TALL, mask=mask, given=True), View("b", TALL, boxes=(Box(1, 2, 3, 4),), given=True))
    item = GroundingDinoDetector(NOWHERE)(build_item(*views))
    assert isinstance(item, Item) and item.views == views and item.tools == {"detect": "given"}


def test_views_without_a_box_are_dropped_and_counted(config: DetectConfig, finder: BoxFinder) -> None:
    given = View("b", TALL, boxes=(Box(1, 2, 30, 40),), given=True)
    with answering(finder, []):
        item = run(config, finder, build_item(View("a", WIDE), given, View("c", WIDE)))
        none = run(config, finder, build_item(View("a", WIDE), View("c", WIDE)))
    assert isinstance(item, Item) and item.views == (given,) and item.dropped == {"no subject found": 2}
    assert (
        isinstance(none, Reject)
        and none.reason == "no subject found"
        and none.dropped == {"no subject found": 2}
    )
    assert none.detail == "a: nothing called cat at 0.3 or more"


def test_the_winning_label_names_an_item_without_category(config: DetectConfig, finder: BoxFinder) -> None:
    found = [([0.5, 0.5, 0.4, 0.4], 0.7, "dog"), ([0.3, 0.3, 0.2, 0.2], 0.6, "cat")]
    with answering(finder, found):
        item = run(config, finder, build_item(View("a", WIDE), View("b", TALL), category="", subcategory=""))
    assert isinstance(item, Item) and (item.category, item.subcategory) == ("animals", "dog")
    assert [[box.label for box in view.boxes] for view in item.views] == [["dog"], ["dog"]]
    assert item.tools["detect"].startswith("GroundingDinoForObjectDetection dino")


def test_a_given_category_is_not_changed(config: DetectConfig, finder: BoxFinder) -> None:
    with answering(finder, [([0.5, 0.5, 0.4, 0.4], 0.7, "dog")]):
        item = run(config, finder, build_item(View("a", WIDE), category="animals", subcategory=""))
    assert isinstance(item, Item) and (item.category, item.subcategory) == ("animals", "")


def test_the_stage_travels_without_its_model(config: DetectConfig, tmp_path: Path) -> None:
    low = DetectConfig(config.method, config.model, box_threshold=0.0, device="cpu")
    stage = GroundingDinoDetector(low)
    assert (stage.name, stage.gpu) == ("detect", True)
    first = stage(build_item(View("a", TALL)))
    data = pickle.dumps(stage)
    assert len(data) < 2000
    again = pickle.loads(data)(build_item(View("a", TALL)))
    assert (
        isinstance(first, Item) and isinstance(again, Item) and first.views[0].boxes == again.views[0].boxes
    )
