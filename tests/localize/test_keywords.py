"""Which words name the thing, in sentences as people write them, and where they land among the text's rows."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from a2cli.data.glyphs import get_split_glyphs
from a2cli.data.instructions.names import get_other_noun, get_thing_noun
from a2cli.data.instructions.phrases import TASKS, build_instruction
from a2cli.data.taxonomy import CATEGORIES
from a2cli.errors import DataError
from a2cli.localize import find_keyword, get_token_rows

PHRASES = {
    # orders
    "replace the red cup on the table with this one": "red cup",
    "Replace the cat with a dog.": "cat",
    "replace the small, red cup with a bowl": "small, red cup",
    "please replace my old shoes by these sneakers": "old shoes",
    "could you please remove the car in the background?": "car",
    "I want to replace the vase next to the window": "vase",
    "put a bus in place of the cat": "cat",
    "put this instead of the cup": "cup",
    "use a blue chair instead of the sofa": "sofa",
    "swap out my shoes": "shoes",
    "swap the bag for a backpack": "bag",
    "exchange the dog": "dog",
    "substitute a dog for the cat": "cat",
    "substitute the cat with a dog": "cat",
    "change the car into a horse": "car",
    "change the colour of the woman's blouse to green": "woman's blouse",
    "change the color of my car from red to blue": "car",
    "change the dog's colour to white": "dog",
    "change the couch color to navy": "couch",
    "turn the man into an astronaut": "man",
    "turn the red and white shirt blue": "red and white shirt",
    "make the red cup blue": "red cup",
    "make the orange orange": "orange",
    "make the dress look more elegant": "dress",
    "make the dog a cat": "dog",
    "make the lamp on the left bigger": "lamp",
    "make the shirt red and the hat blue": "shirt",
    "make the red shirt with a tie blue": "red shirt with a tie",
    "paint the wall with red": "wall",
    "dress the woman in bright red": "woman",
    "paint the wooden fence bright green": "wooden fence",
    "recolour the sofa to beige": "sofa",
    "dye her hair purple": "hair",
    "give the man a new hat": "man",
    "remove all the people from the beach": "people",
    "delete that ugly sign, please": "ugly sign",
    "erase the power lines in the sky": "power lines",
    "get rid of the trash can": "trash can",
    "take the ball away": "ball",
    "take away the bicycle": "bicycle",
    "cut out the dog": "dog",
    "remove the man with a hat": "man with a hat",
    "remove the woman in a red coat": "woman in a red coat",
    "remove the dog and make the sky blue": "dog",
    "In this picture, replace the cup with a mug": "cup",
    "replace the cat. Keep everything else as it is": "cat",
    "keep the dog but remove the cat": "cat",
    "don't touch the dog, remove the cat": "cat",
    "make it red, the cup": None,
    "put a hat on the dog": "hat",
    "put this on the chair": "chair",
    "add a birthday hat to the dog": "birthday hat",
    "put a bus where the cat is": "cat",
    "the cup should be blue": "cup",
    "I want the sofa to be green": "sofa",
    "I'd like a dog instead of the cat": "cat",
    "cat -> dog": "cat",
    "swap my friend’s jacket for this one": "friend’s jacket",
    "replace the t-shirt": "t-shirt",
    "segment the statue of liberty": "statue of liberty",
    "find the man holding an umbrella": "man",
    "switch the café table for a bench": "café table",
    "remove the Škoda from the picture": "Škoda",
    "REPLACE THE LAMP WITH A TREE": "LAMP",
    "  replace   the   cup   with  a dog": "cup",
    "replace the two dogs on the right with cats": "two dogs",
    "change the built-in wardrobe into a shelf": "built-in wardrobe",
    "remove the paint can": "paint can",
    "replace the jeans 🙂": "jeans",
    "Replace her handbag w/ this": "handbag",
    "turn on the lights": "lights",
    "what if the dog was a cat?": "dog",
    "where is the dog": "dog",
    "replace all of the bottles": "bottles",
    "remove the person standing behind the car": "person",
    "remove the standing person": "standing person",
    "put my cat on the sofa instead of the dog": "dog",
    "change hair color to blonde": "hair",
    # quotes win
    'change "the red door" to blue': "the red door",
    "replace 'dog' with 'cat'": "dog",
    "remove the “old bench” by the lake": "old bench",
    "remplace «la tasse rouge» par un chien": "la tasse rouge",
    "把“杯子”换成狗": "杯子",
    "replace the dog's bowl and the cat's toy": "dog's bowl and the cat's toy",
    # names and captions
    "red cup": "red cup",
    "a red cup": "red cup",
    "my shoes": "shoes",
    "the dog on the left": "dog",
    "man with a cap": "man with a cap",
    "a photo of a dog": "dog",
    "a photo of a grey cat, partly hidden, on the left": "grey cat",
    "a close-up picture of the statue": "statue",
    "a street without the cars": "cars",
    # nothing to be found
    "": None,
    "   ": None,
    "make it blue": None,
    "replace this with that": None,
    "change everything": None,
    "!?": None,
    "do not remove the dog": None,
    "ersetze die rote Tasse durch einen Hund": None,
    "remplace le chat par un chien": None,
    "cambia el coche por una bicicleta": None,
    "把红色的杯子换成狗": None,
    "замени кошку на собаку": None,
    "猫を犬に変えて": None,
}


@pytest.mark.parametrize(("prompt", "words"), PHRASES.items(), ids=list(PHRASES))
def test_words_that_name_the_thing(prompt: str, words: str | None) -> None:
    span = find_keyword(prompt)
    assert (prompt[slice(*span)] if span else None) == words


def test_the_words_of_drawn_instructions_are_found() -> None:
    """A name with "with" in it may end before it: "replace the man with a cap" can be read in two ways."""
    rng = np.random.default_rng(0)
    labels = [
        label.lower()
        for c in CATEGORIES
        for split in ("train", "test")
        for label in get_split_glyphs(c, split)
    ]
    found, near = [], []
    for label in labels:
        for task in TASKS:
            name, colour = get_thing_noun(label, "red"), "blue"
            other = get_other_noun(labels[int(rng.integers(len(labels)))])
            told = build_instruction(task, name, rng, other=other, colour=colour)
            start, end = find_keyword(told.text) or (0, 0)
            found.append((start, end) == (told.start, told.end))
            near.append(start == told.start and told.start < end <= told.end)
    assert len(found) > 1000
    assert np.mean(found) > 0.97
    assert np.mean(near) > 0.99


@pytest.mark.parametrize(
    "prompt",
    [
        "make " + "all the " * 500,
        "make x" + " " * 5000 + "y",
        "make the red " * 900,
        "' " * 5000,
        "the " * 3000,
        "a" * 100_000,
    ],
    ids=["articles", "spaces", "orders", "quotes", "one word", "letters"],
)
def test_no_prompt_takes_long(prompt: str) -> None:
    start = time.perf_counter()
    span = find_keyword(prompt)
    assert time.perf_counter() - start < 2
    assert span is None or 0 <= span[0] < span[1] <= len(prompt)


def get_words(tokenizer: Any, prompt: str, rows: tuple[int, ...], length: int) -> str:
    ids = tokenizer(prompt, padding="max_length", truncation=True, max_length=length)["input_ids"]
    return tokenizer.decode([ids[row] for row in rows])


@pytest.fixture(scope="module")
def bytewise() -> Any:
    from transformers import ByT5Tokenizer

    return ByT5Tokenizer()


@pytest.fixture(scope="module")
def fast() -> Any:
    """A tokenizer as T5's: pieces of words marked by where words begin, the end of the sequence at the end."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator([*PHRASES, "replace the teapot", "replace the red cup"] * 4, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", tokenizer.token_to_id("</s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tokenizer without offsets that marks words as sentencepiece does."""
    from transformers import PreTrainedTokenizer

    class Words(PreTrainedTokenizer):
        names = (
            "<pad>",
            "</s>",
            "<unk>",
            "▁replace",
            "▁the",
            "▁red",
            "▁cup",
            "▁tea",
            "pot",
            "<0xC3>",
            "<0xA9>",
        )

        def __init__(self) -> None:
            super().__init__(pad_token="<pad>", eos_token="</s>", unk_token="<unk>")

        @property
        def vocab_size(self) -> int:
            return len(self.names)

        def get_vocab(self) -> dict[str, int]:
            return {name: number for number, name in enumerate(self.names)}

        def _tokenize(self, text: str, **_: Any) -> list[str]:
            pieces: list[str] = []
            for word in text.lower().split():
                known = {"teapot": ["▁tea", "pot"], "é": ["<0xC3>", "<0xA9>"]}
                pieces += known.get(word, [f"▁{word}"])
            return pieces

        def _convert_token_to_id(self, token: str) -> int:
            return self.names.index(token) if token in self.names else 2

        def _convert_id_to_token(self, index: int) -> str:
            return self.names[index]

        def build_inputs_with_special_tokens(self, ids: list[int], _: Any = None) -> list[int]:
            return [*ids, 1]

        def get_special_tokens_mask(self, ids: list[int], *_: Any, **__: Any) -> list[int]:
            return [*[0] * len(ids), 1]

    return Words()


@pytest.mark.parametrize("words", ["red cup", "café", "杯子", "🙂 cup", "</s> red", "a"])
def test_rows_of_bytes(bytewise: Any, words: str) -> None:
    prompt = f"the  {words}, is"
    span = (5, 5 + len(words))
    rows = get_token_rows(bytewise, prompt, span, 40)
    ids = bytewise(prompt, padding="max_length", truncation=True, max_length=40)["input_ids"]
    own = words.replace("</s> ", "").encode()  # the end of a sequence, even a typed one, is no word
    assert bytes(ids[row] - 3 for row in rows).replace(b" ", b"") == own.replace(b" ", b"")


def test_rows_of_pieces(fast: Any) -> None:
    prompt = "replace the red cup on the table"
    rows = get_token_rows(fast, prompt, (12, 19), 64)
    assert get_words(fast, prompt, rows, 64) == "red cup"
    assert len(rows) >= 2
    part = get_token_rows(fast, prompt, (16, 19), 64)
    assert set(part) < set(rows) and get_words(fast, prompt, part, 64) == "cup"


def test_rows_of_a_tokenizer_without_offsets(slow: Any) -> None:
    assert get_token_rows(slow, "Replace the  teapot é", (13, 19), 12) == (2, 3)
    assert get_token_rows(slow, "Replace the  teapot é", (20, 21), 12) == (4, 5)
    assert get_token_rows(slow, "replace the red cup", None, 12) == (0, 1, 2, 3)
    with pytest.raises(DataError, match="changes the prompt 'replace the lamp'"):
        get_token_rows(slow, "replace the lamp", (12, 16), 12)


def test_neither_padding_nor_the_end_is_a_row(bytewise: Any, fast: Any) -> None:
    for tokenizer in (bytewise, fast):
        prompt = "replace the red cup"
        rows = get_token_rows(tokenizer, prompt, None, 48)
        encoded = tokenizer(prompt, padding="max_length", max_length=48, return_special_tokens_mask=True)
        real = [
            row
            for row in range(48)
            if encoded["attention_mask"][row] and not encoded["special_tokens_mask"][row]
        ]
        spaces = [row for row in real if not tokenizer.decode([encoded["input_ids"][row]]).strip()]
        assert sorted({*rows, *spaces}) == real and len(real) < 47


def test_left_padding_moves_the_rows(fast: Any) -> None:
    prompt = "replace the red cup"
    right = get_token_rows(fast, prompt, (12, 19), 48)
    length = len(fast(prompt)["input_ids"])
    fast.padding_side = "left"
    try:
        assert get_token_rows(fast, prompt, (12, 19), 48) == tuple(row + 48 - length for row in right)
    finally:
        fast.padding_side = "right"


def test_rows_beyond_the_end_are_dropped(bytewise: Any) -> None:
    prompt = "replace the red cup"
    assert get_token_rows(bytewise, prompt, (12, 19), 16) == (12, 13, 14)  # 15 bytes and the end
    with pytest.raises(DataError, match=r"'red cup' in the prompt 'replace the red cup' .* 12 text tokens"):
        get_token_rows(bytewise, prompt, (12, 19), 12)
    with pytest.raises(DataError, match="the prompt '' reaches none"):
        get_token_rows(bytewise, "", None, 12)
