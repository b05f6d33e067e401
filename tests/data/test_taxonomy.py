"""The taxonomy: what appendix A lists, every other name for it, and names inside paths and sentences."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import unicodedata
from collections import Counter

import pytest

from a2cli.cli import main
from a2cli.data.taxonomy import (
    CATEGORIES,
    Label,
    find_in_words,
    find_subcategory,
    get_aliases,
    get_glyph_names,
    get_listed,
    get_noun,
    get_nouns,
    get_phrase,
    get_subcategories,
    get_with_article,
    normalise,
)
from a2cli.data.taxonomy.aliases import CATEGORY_WORDS, OTHERS, SYNONYMS
from a2cli.data.taxonomy.ambiguous import PREFERRED
from a2cli.data.taxonomy.index import find_name, get_index, get_weights, list_names, split_names
from a2cli.data.taxonomy.words import get_singulars, get_words
from a2cli.errors import DataError

STATED = {
    "garments": 26, "portraits": 22, "animals": 33, "plants": 27,
    "accessories": 26, "furniture": 30, "vehicles": 24, "architecture": 21,
}  # fmt: skip


def say(label: Label | None) -> str:
    return f"{label.category} {label.subcategory}".strip() if label else ""


# -- the listing


def test_categories_and_glyphs_keep_the_order_that_trained_weights_know() -> None:
    names = json.dumps([[category, *get_glyph_names(category)] for category in CATEGORIES])
    assert (
        hashlib.sha256(names.encode()).hexdigest()
        == "f666bb54b0792ff469219a126f46dac586f9aeecec34862ab3e16a210bd3505c"
    )


def test_the_listing_has_as_many_names_as_the_appendix_says() -> None:
    assert {category: len(get_listed(category)) for category in CATEGORIES} == STATED
    assert sum(STATED.values()) == 209
    twice = {c: [n for n, k in Counter(get_listed(c)).items() if k > 1] for c in CATEGORIES}
    assert {c: names for c, names in twice.items() if names} == {"garments": ["Suit"], "furniture": ["Lamp"]}


def test_subcategories_are_lower_case_in_the_papers_order_each_once() -> None:
    assert sum(len(get_subcategories(category)) for category in CATEGORIES) == 207
    for category in CATEGORIES:
        names = get_subcategories(category)
        assert len(set(names)) == len(names)
        assert list(names) == list(dict.fromkeys(x.lower() for x in get_listed(category)))
    assert get_subcategories("garments")[:3] == ("t-shirt", "shirt", "sweater")
    assert get_subcategories("plants")[-1] == "bowl picking"
    every = [name for category in CATEGORIES for name in get_subcategories(category)]
    assert len(set(every)) == 207, "a subcategory stands in two categories"


# -- other names


def test_every_name_finds_its_subcategory() -> None:
    wrong = []
    for category in CATEGORIES:
        for name, subcategory in list_names(category):
            found = find_subcategory(name, category)
            if found != Label(category, subcategory):
                wrong.append((name, subcategory, found))
    assert wrong == []


def test_each_subcategory_has_other_names_and_none_is_in_two() -> None:
    for category in CATEGORIES:
        assert list(SYNONYMS[category]) == list(get_subcategories(category))
        owners: dict[str, str] = {}
        for name, subcategory in list_names(category):
            assert owners.setdefault(name, subcategory) == subcategory, (
                f"{name} means two things in {category}"
            )
        for name in split_names(f"{CATEGORY_WORDS[category]}, {OTHERS[category]}"):
            assert owners[name] == ""
    assert sum(len(get_aliases(c, s)) for c in CATEGORIES for s in get_subcategories(c)) > 1000


def test_names_of_two_categories_are_those_that_are_decided() -> None:
    shared = {key for key, name in get_index().items() if len(name.labels) > 1}
    assert shared == set(PREFERRED)
    for word, category in PREFERRED.items():
        found = find_subcategory(word)
        assert found is not None and found.category == category
    assert say(find_subcategory("mouse", "furniture")) == "furniture computer"
    assert say(find_subcategory("jaguar", "vehicles")) == "vehicles sports car"
    assert find_subcategory("mouse", "plants") is None


def test_words_that_count_less_are_known_words() -> None:
    assert [name for name in get_weights() if find_name(name.split()) is None] == []


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("couch", "furniture sofa"),
        ("automobile", "vehicles car"),
        ("kitten", "animals cat"),
        ("puppy", "animals dog"),
        ("spectacles", "accessories glasses"),
        ("jumper", "garments sweater"),
        ("Women", "portraits woman"),
        ("geese", "animals goose"),
        ("sheep", "animals sheep"),
        ("knives", "furniture knife"),
        ("dresses", "garments dress"),
        ("watches", "accessories watch"),
        ("buses", "vehicles bus"),
        ("scarves", "accessories scarf"),
        ("ponies", "animals horse"),
        ("cacti", "plants cactus"),
        ("bookshelves", "furniture bookshelf"),
        ("tomatoes", "plants tomato"),
        ("wolves", "animals wolf"),
        ("policemen", "portraits man"),
        ("shoe", "accessories shoes"),
        ("SUVs", "vehicles suv"),
        ("TVs", "furniture tv"),
        ("sports_cars", "vehicles sports car"),
        ("SportsCar", "vehicles sports car"),
        ("sportscar", "vehicles sports car"),
        ("T-Shirt", "garments t-shirt"),
        ("tshirts", "garments t-shirt"),
        ("sun glasses", "accessories sunglasses"),
        ("Bowl Picking", "plants bowl picking"),
        ("potted plants", "plants bowl picking"),
        ("  Sofa  ", "furniture sofa"),
        ("château", "architecture castle"),
        ("women's boots", "accessories boots"),
        ("clothing", "garments"),
        ("buildings", "architecture"),
        ("People", "portraits"),
        ("pets", "animals"),
        ("fox", "animals"),
        ("mask", "accessories mask"),
        ("train", "vehicles train"),
        ("running", "portraits running"),
        ("suit", "garments suit"),
        ("STEAM LOCOMOTIVE", "vehicles train"),
        ("🚂", "vehicles train"),
        ("👗", "garments dress"),
        ("🐈\u200d⬛", "animals cat"),
        ("👩🏽", "portraits woman"),
        ("❤️", ""),
        ("😂", "portraits"),
        ("object", ""),
        ("teddy bear", ""),
        ("red sports car", ""),
        ("", ""),
        ("0123", ""),
        ("\x00\n", ""),
    ],
)
def test_names_plurals_spellings_and_emoji(name: str, meaning: str) -> None:
    assert say(find_subcategory(name)) == meaning


def test_every_glyph_is_found_by_name_and_by_character() -> None:
    elsewhere = {
        "NECKTIE": "accessories", "SCARF": "accessories", "GLOVES": "accessories", "BALLET SHOES": "accessories",
        "ROLLER SKATE": "vehicles",
    }  # fmt: skip
    subcategories = 0
    for category in CATEGORIES:
        for glyph in get_glyph_names(category):
            by_name, by_character = find_subcategory(glyph), find_subcategory(unicodedata.lookup(glyph))
            assert by_name == by_character
            assert by_name is not None and by_name.category == elsewhere.get(glyph, category), glyph
            subcategories += bool(by_name.subcategory)
    assert subcategories > 250, "most of the 417 glyphs show a subcategory"


@pytest.mark.parametrize(
    ("plural", "singular"),
    [("ladies", "lady"), ("loaves", "loaf"), ("knives", "knife"), ("boxes", "box"), ("horses", "horse"),
     ("men", "man"), ("women", "woman"), ("mice", "mouse"), ("cats", "cat"), ("leaves", "leaf"), ("buses", "bus")],
)  # fmt: skip
def test_singulars(plural: str, singular: str) -> None:
    assert singular in get_singulars(plural)


@pytest.mark.parametrize("word", ["dress", "bus", "glass", "cat", "is", "tennis", "cactus", "s", ""])
def test_what_is_no_plural(word: str) -> None:
    assert get_singulars(word) == ()


def test_words() -> None:
    assert get_words("IMG_2034 redSports-Car's.café") == ["img", "red", "sports", "cars", "cafe"]
    assert get_words("XMLFile, 2SUVs/a\nb") == ["xml", "file", "suv", "a", "b"]
    assert get_words("猫 и кот") == ["猫", "и", "кот"]


# -- names inside longer texts


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("videos/red_sports-car 03.mp4", "vehicles sports car"),
        ("a school bus near a school", "vehicles school bus"),
        ("school_bus_stop", "architecture"),  # of names that overlap the last
        ("high school bus", "vehicles school bus"),
        ("cat_car.jpg", ""),
        ("a man and his dog", ""),
        ("IMG_2034", ""),
        ("holiday/beach 3", ""),
        # of one category the last
        ("cats/siamese/tabby_3", "animals tabby"),
        ("a golden retriever puppy", "animals retriever"),
        # prepositions
        ("a cat on a sofa", "animals cat"),
        ("a woman in a red dress", "portraits woman"),
        ("bowl of fruit", "furniture bowl"),
        ("a photo of a bunch of roses in a vase", "plants rose"),
        ("statue of liberty", "architecture monument"),
        ("kangaroo with bird", "animals"),
        ("a woman wearing a coat in front of a house", "portraits woman"),
        ("A man stands there. He has a red coat.", "portraits man"),
        ("A sunny day. A dog chasing a cat", "animals dog"),
        ("person riding a bicycle", "portraits"),
        ("portrait of a young woman with curly hair", "portraits woman"),
        ("a person in front of a house", "portraits"),
        # colours, places, whose they are
        ("orange_cat.jpg", "animals cat"),
        ("orange.jpg", "plants fruit"),
        ("dog_park_03", "animals dog"),
        ("park/0001", "architecture park"),
        ("bamboo chair", "furniture chair"),
        ("women's dress", "garments dress"),
        ("boys_jacket", "garments jacket"),
        ("3-piece suit men", "garments suit"),
        ("two men", "portraits man"),
        ("long-haired cat", "animals cat"),
        ("long hair 3", "portraits long hair"),
        # poses
        ("running dog", "animals dog"),
        ("running.mp4", ""),
        ("person running", "portraits running"),
        ("portraits/blonde_003", "portraits blonde"),
        ("chair/front.jpg", "furniture chair"),
        # parts of a data set
        ("train/cat/1", "animals cat"),
        ("train/0001", ""),
        ("train_0001", ""),
        ("cat_mask", "animals cat"),
        ("vehicles/train/0001", "vehicles train"),
        ("vehicles/train_0001", "vehicles"),
        ("a photo of a train", "vehicles train"),
        ("a mask on a table", "accessories mask"),
        # folders named as a category
        ("furniture/cat_tree", "furniture"),
        ("animals/fox_1", "animals"),
        ("clothing/woman/0001", "garments"),
        ("clothing/animals/cat", ""),
        # no subjects
        ("teddy bear", ""),
        ("cat beside a teddy bear", "animals cat"),
        ("🚂 3", "vehicles train"),
        ("a\\cat\\1.png", "animals cat"),
    ],
)
def test_names_in_texts(text: str, meaning: str) -> None:
    assert say(find_in_words(text)) == meaning


def test_a_category_that_is_known_leaves_only_its_names() -> None:
    assert say(find_in_words("cat_car.jpg", "vehicles")) == "vehicles car"
    assert say(find_in_words("woman/dress_7", "garments")) == "garments dress"
    assert say(find_in_words("running_01", "portraits")) == "portraits running"
    assert find_in_words("cat", "vehicles") is None


def test_any_name_is_found_among_words_that_mean_nothing() -> None:
    """All names that count anywhere, alone and in a path; a name of two categories means the preferred one."""
    wrong = []
    for key, name in get_index().items():
        if name.weight == 2 and name.labels and key not in ("mask", "train"):
            for text in (f"clip_07_{key.replace(' ', '_')}_final.mp4", f"zzz/{key.title()} 3/frame 0001"):
                found = find_in_words(text)
                if found != name.choose():
                    wrong.append((text, found))
    assert wrong == []


def test_the_noun_is_the_name_that_was_found() -> None:
    for text, noun in (
        ("two Kittens", "kitten"),
        ("sportscar", "sports car"),
        ("foxes", "fox"),
        ("animals", ""),
    ):
        found = find_in_words(text)
        assert found is not None and found.noun == noun


# -- records' spelling


@pytest.mark.parametrize(
    ("given", "spelt"),
    [
        (("Clothing", "Jumpers"), ("garments", "sweater")),
        (("animals", "Golden Retriever"), ("animals", "retriever")),
        (("vehicles", "hovercraft MK2"), ("vehicles", "hovercraft MK2")),
        (("animals", " red   fox "), ("animals", "red fox")),
        (("garments", "necktie"), ("garments", "necktie")),  # not one of garments' own
        (("dog", ""), ("animals", "dog")),
        (("dog", "husky"), ("animals", "husky")),
        (("", "couch"), ("furniture", "sofa")),
        (("ARCHITECTURE", ""), ("architecture", "")),
    ],
)
def test_normalise(given: tuple[str, str], spelt: tuple[str, str]) -> None:
    assert normalise(*given) == spelt


@pytest.mark.parametrize(
    ("category", "subcategory", "said"),
    [
        ("vehicels", "", "did you mean 'vehicles'"),
        ("object", "cat", "'object' is none of the eight"),
        ("", "whatever", "no category is said"),
        ("a\nb", "", r"'a\nb'"),
    ],
)
def test_an_unknown_category_is_refused(category: str, subcategory: str, said: str) -> None:
    with pytest.raises(DataError) as refused:
        normalise(category, subcategory)
    assert said in str(refused.value) and "\n" not in str(refused.value)


# -- in a sentence


def test_phrases() -> None:
    said = {
        ("furniture", "sofa"): "a sofa", ("garments", "jeans"): "jeans", ("vehicles", "suv"): "an SUV",
        ("accessories", "umbrella"): "an umbrella", ("garments", "uniform"): "a uniform",
        ("plants", "bowl picking"): "a potted plant", ("portraits", "long hair"): "a person with long hair",
        ("animals", ""): "an animal", ("plants", "rice"): "rice", ("garments", "dress"): "a dress",
        ("vehicles", "school bus"): "a school bus", ("architecture", "apartment"): "an apartment building",
    }  # fmt: skip
    assert {key: get_phrase(*key) for key in said} == said
    assert [get_with_article(n) for n in ("fox", "owl", "hourglass", "RV", "UFO", "unicorn", "socks", "the end")] == [
        "a fox", "an owl", "an hourglass", "an RV", "a UFO", "a unicorn", "socks", "the end",
    ]  # fmt: skip
    assert get_noun("plants", "bowl picking") == "potted plant" and get_noun("vehicles", "suv") == "SUV"
    assert get_noun("garments", "jeans") == "jeans" and get_noun("animals") == "animal"


def test_every_phrase_means_its_own_category() -> None:
    """So that a caption a2 wrote is read back as what it was written for."""
    for category in CATEGORIES:
        assert all(say(find_subcategory(noun)).split()[0] == category for noun in get_nouns(category))
        for subcategory in get_subcategories(category):
            found = find_in_words(f"a photo of {get_phrase(category, subcategory)}")
            assert found is not None and found.category == category, subcategory


# -- the command


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["dataset", "taxonomy", *arguments])
    done = capsys.readouterr()
    return code, done.out, done.err


def test_the_command_lists_all(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys)
    rows = [tuple(line.split("\t")) for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert rows == [(c, s) for c in CATEGORIES for s in get_subcategories(c)]
    code, out, err = run(capsys, "--category", "Clothing", "--json")
    records = [json.loads(line) for line in out.splitlines()]
    assert [r["subcategory"] for r in records] == list(get_subcategories("garments"))
    assert records[2] == {
        "category": "garments",
        "subcategory": "sweater",
        "aliases": list(get_aliases("garments", "sweater")),
    }


def test_the_command_resolves_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "couches")
    assert (code, err) == (0, "")
    assert out.startswith("furniture\tsofa\tcouch, settee") and out.count("\n") == 1
    assert run(capsys, "videos/red_sports-car 03.mp4")[1].startswith("vehicles\tsports car\t")
    assert (
        json.loads(run(capsys, "mouse", "--category", "furniture", "--json")[1])["subcategory"] == "computer"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("sofaa",), "did you mean 'sofa'?"),
        (("dgo",), "did you mean 'dog'?"),
        (("hosre",), "did you mean 'horse'?"),
        (("cta", "--category", "vehicles"), "`a2 dataset taxonomy` lists them all"),
        (("",), "the name is empty (leave it out to list all)"),
        ((" ",), "the name is empty"),
        (("--category", ""), "no category is said"),
        (("qqqq",), "`a2 dataset taxonomy` lists them all"),
        (("cat", "--category", "vehicles"), "'cat' names nothing in vehicles"),
        (("--category", "vehicels"), "did you mean 'vehicles'?"),
    ],
)
def test_what_the_command_does_not_know(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert said in err and err.count("\n") == 1


def test_the_command_imports_no_framework() -> None:
    code = (
        "import sys\nfrom a2cli.cli import main\nmain(['dataset', 'taxonomy', 'couch'])\n"
        "print([n for n in ('torch', 'numpy', 'cv2', 'PIL', 'transformers', 'datasets') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
