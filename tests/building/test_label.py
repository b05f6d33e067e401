"""The stage "label": given labels are spelt, names are read, looks are asked, in this order."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from tiny_clip import build_clip

from a2cli.building.config import LabelConfig
from a2cli.building.label import Labeller, find_label_of_names, get_best_view, get_caption, get_sharpness
from a2cli.building.records import Box, Item, Reject, View
from a2cli.data.taxonomy import Label
from a2cli.errors import BackboneError


def make_picture(seed: int, size: tuple[int, int] = (32, 32)) -> np.ndarray:
    cells = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(cells).resize((size[1], size[0]), Image.Resampling.NEAREST))


def make_item(name: str, *views: str, category: str = "", subcategory: str = "", prompt: str = "") -> Item:
    pictures = tuple(View(view, make_picture(i)) for i, view in enumerate(views or ("0001.jpg",)))
    return Item(name, name, pictures, category=category, subcategory=subcategory, prompt=prompt)


def label(item: Item, config: LabelConfig | None = None) -> Item:
    result = Labeller(config or LabelConfig())(item)
    assert isinstance(result, Item), result
    return result


# -- given


@pytest.mark.parametrize(
    ("given", "spelt", "prompt", "tool"),
    [
        (("Clothing", "Jumpers"), ("garments", "sweater"), "a photo of a sweater", "given"),
        (("vehicles", "hovercraft"), ("vehicles", "hovercraft"), "a photo of a hovercraft", "given"),
        (("", "couch"), ("furniture", "sofa"), "a photo of a sofa", "given"),
        (("animals", ""), ("animals", ""), "a photo of an animal", "given"),
        (("dog", ""), ("animals", "dog"), "a photo of a dog", "given"),
    ],
)
def test_what_is_given_is_spelt(
    given: tuple[str, str], spelt: tuple[str, str], prompt: str, tool: str
) -> None:
    done = label(make_item("x/0001", category=given[0], subcategory=given[1]))
    assert (done.category, done.subcategory) == spelt
    assert (done.prompt, done.tools) == (prompt, {"label": tool})


def test_what_is_given_is_not_overruled_by_names() -> None:
    done = label(make_item("cars/bus_7", category="animals", subcategory="cat", prompt="a horse"))
    assert (done.category, done.subcategory, done.prompt) == ("animals", "cat", "a horse")
    assert done.tools == {"label": "given"}


def test_names_say_the_subcategory_of_a_given_category() -> None:
    done = label(make_item("woman/red_dress_7", category="garments"))
    assert (done.category, done.subcategory, done.tools["label"]) == ("garments", "dress", "given, words")


def test_names_say_the_category_of_an_unknown_subcategory() -> None:
    done = label(make_item("vehicles/0007", subcategory="hovercraft MK2"))
    assert (done.category, done.subcategory) == ("vehicles", "hovercraft MK2")
    assert (done.prompt, done.tools["label"]) == ("a photo of a hovercraft MK2", "words")


def test_a_category_that_there_is_not_leaves_with_a_suggestion() -> None:
    item = replace(make_item("cat", category="vehicels"), dropped={"blurred": 2})
    result = Labeller(LabelConfig(required=False))(item)
    assert isinstance(result, Reject)
    assert (result.id, result.stage, result.reason, result.dropped) == (
        "cat",
        "label",
        "unknown category",
        {"blurred": 2},
    )
    assert "did you mean 'vehicles'?" in result.detail


# -- words


@pytest.mark.parametrize(
    ("item", "found"),
    [
        (make_item("videos/red_sports-car 03"), ("vehicles", "sports car", "a photo of a sports car")),
        (make_item("0001", "kitten_1.jpg", "cat-2.jpg"), ("animals", "cat", "a photo of a cat")),
        (make_item("0001", prompt="A pair of jeans on a chair"), ("garments", "jeans", "A pair of jeans on a chair")),
        (make_item("couches/0001", "cat.jpg"), ("furniture", "sofa", "a photo of a sofa")),
        (make_item("animals/0001", "husky.jpg"), ("animals", "husky", "a photo of a husky dog")),
        (make_item("animals/0001", "husky.jpg", "cat.jpg"), ("animals", "", "a photo of an animal")),
        (make_item("foxes/0001"), ("animals", "", "a photo of a fox")),
        (make_item("0001", "car.jpg", "cat.jpg", prompt="a tulip"), ("plants", "tulip", "a tulip")),
    ],
)  # fmt: skip
def test_names_are_read_in_order(item: Item, found: tuple[str, str, str]) -> None:
    done = label(item)
    assert (done.category, done.subcategory, done.prompt) == found
    assert done.tools == {"label": "words"}
    assert done.scores == {}


def test_the_name_of_the_source_is_the_weakest_hint() -> None:
    item = replace(make_item("0001"), folder="dogs")
    assert (label(item).subcategory, label(item).tools) == ("dog", {"label": "words"})
    assert label(replace(item, prompt="a tulip")).subcategory == "tulip"
    assert label(replace(item, category="furniture")).subcategory == ""
    for folder in ("Desktop", "home", "videos", "train", "raw"):  # where files are kept, not what they show
        assert isinstance(Labeller(LabelConfig())(replace(item, folder=folder)), Reject)


def test_nothing_found_leaves_unless_that_is_allowed() -> None:
    item = make_item("DSC\n0001", *(f"{i}.jpg" for i in range(9)))
    result = Labeller(LabelConfig())(item)
    assert isinstance(result, Reject)
    assert (result.stage, result.reason) == ("label", "no category")
    assert "DSC\\n0001, 0.jpg, 1.jpg, ..." in result.detail and "label.model" in result.detail
    assert "\n" not in result.detail
    assert Labeller(LabelConfig(required=False))(item) is item


def test_a_pose_of_a_category_that_is_given() -> None:
    assert find_label_of_names(make_item("running_1"), "portraits") == Label("portraits", "running")
    assert find_label_of_names(make_item("running_1")) is None


@pytest.mark.parametrize(
    ("found", "caption"),
    [
        (Label("garments", "jeans"), "a photo of jeans"),
        (Label("accessories", "umbrella"), "a photo of an umbrella"),
        (Label("portraits", "red hair", "redhead"), "a photo of a person with red hair"),
        (Label("animals", "", "owl"), "a photo of an owl"),
        (Label("architecture"), "a photo of a building"),
    ],
)
def test_captions(found: Label, caption: str) -> None:
    assert get_caption(found) == caption


# -- looks


def test_the_sharpest_view_is_looked_at_and_one_with_a_mask_before_it() -> None:
    sharp = make_picture(1, (60, 90))
    blurred = np.asarray(Image.fromarray(sharp).filter(ImageFilter.GaussianBlur(4)))
    assert get_sharpness(blurred) < 0.2 * get_sharpness(sharp)
    soft, crisp = View("soft", blurred), View("crisp", sharp)
    assert get_best_view((soft, crisp)) is crisp
    assert get_best_view((crisp, View("same", sharp))) is crisp
    boxed = replace(soft, boxes=(Box(0, 0, 9, 9),))
    masked = replace(soft, mask=np.ones((60, 90), bool))
    assert get_best_view((crisp, boxed)) is boxed
    assert get_best_view((crisp, boxed, masked)) is masked
    assert get_sharpness(np.zeros((1, 4096, 3), np.uint8)) == 0.0


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> LabelConfig:
    """A CLIP to which picture 0 is a tulip and picture 1 a school bus."""
    seen = [(make_picture(0), "a tulip"), (make_picture(1), "a school bus")]
    return LabelConfig(
        model=build_clip(tmp_path_factory.mktemp("models") / "tiny-clip", seen=seen), device="cpu"
    )


def test_looks_name_what_names_do_not(config: LabelConfig) -> None:
    labeller = Labeller(config)
    assert (labeller.name, labeller.gpu, Labeller(LabelConfig()).gpu) == ("label", True, False)
    for seed, found in ((0, ("plants", "tulip")), (1, ("vehicles", "school bus"))):
        done = labeller(Item("0001", "g", (View("0001.jpg", make_picture(seed)),), scores={"other": 1.0}))
        assert isinstance(done, Item)
        assert (done.category, done.subcategory) == found
        assert done.prompt == f"a photo of a {found[1]}"
        assert done.tools == {"label": "CLIPModel tiny-clip"}
        assert done.scores.keys() == {"other", "label"} and 1 / 207 < done.scores["label"] <= 1


def test_looks_stay_within_a_category_that_is_known(config: LabelConfig) -> None:
    view = View("0001.jpg", make_picture(0))
    given = label(Item("0001", "g", (view,), category="plants"), config)
    assert (given.subcategory, given.tools["label"]) == ("tulip", "given, CLIPModel tiny-clip")
    named = label(Item("vehicles/0001", "g", (view,)), config)
    assert named.category == "vehicles" and named.subcategory
    assert named.tools["label"] == "words, CLIPModel tiny-clip"


def test_the_model_is_not_opened_where_names_suffice() -> None:
    missing = LabelConfig(model="/nowhere/clip")
    assert label(make_item("cats/1"), missing).subcategory == "cat"
    assert label(make_item("foxes/1"), missing).prompt == "a photo of a fox"
    with pytest.raises(BackboneError, match="/nowhere/clip"):
        Labeller(missing)(make_item("0001"))


def test_an_item_without_views_is_named_by_words_alone(config: LabelConfig) -> None:
    assert label(Item("generated/animals/cat/0001", "g", ()), config).subcategory == "cat"
    result = Labeller(config)(Item("0001", "g", ()))
    assert isinstance(result, Reject) and result.reason == "no category"


def test_a_labeller_travels_to_another_process_without_its_model(config: LabelConfig) -> None:
    labeller = Labeller(config)
    item = Item("0001", "g", (View("0001.jpg", make_picture(1)),))
    first = labeller(item)
    sent = pickle.dumps(labeller)
    assert len(sent) < 1000
    again = pickle.loads(sent)(item)
    assert isinstance(first, Item) and isinstance(again, Item)
    assert (again.subcategory, again.scores) == (first.subcategory, first.scores)


def test_the_model_runs_on_a_folder_with_its_own_home(config: LabelConfig, tmp_path: Path) -> None:
    """Nothing but the folder is needed: no hub, no name in a cache."""
    assert config.model is not None
    moved = Path(config.model).rename(tmp_path / "elsewhere")
    try:
        done = label(
            Item("0001", "g", (View("0001.jpg", make_picture(0)),)), replace(config, model=str(moved))
        )
        assert done.tools == {"label": "CLIPModel elsewhere"}
    finally:
        moved.rename(config.model)
