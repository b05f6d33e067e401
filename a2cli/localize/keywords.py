"""Which words of a prompt name the thing to edit, and which rows of the text they become."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from a2cli.errors import DataError
from a2cli.localize import grammar
from a2cli.localize.scope import find_whole

Span = tuple[int, int]
_READ = 2000  # characters of a prompt that are read; no text encoder takes more
_SHOWN = 60  # characters of a prompt in a message


def find_keyword(prompt: str) -> Span | None:
    """Find the words that name the thing an edit is about: where they start and end in `prompt`, in characters.

    "replace the red cup on the table with this one" -> "red cup": no article, no place, nothing of what comes instead.
    Words in quotes win. Reads English; None where no words can be told from the others, as in other languages, and
    where the whole picture is meant.
    """
    sentence, letters = _squeeze(prompt)
    span = _find(sentence)
    if span is None or _asks_for_all(sentence, span):
        return None
    return letters[span[0]], letters[span[1] - 1] + 1


def is_about_all(prompt: str) -> bool:
    """Whether an English sentence asks for another look of the whole picture, and names no thing to look for in it.

    "turn the whole photo into a watercolour", "change the weather to rainy"; not "make everything on the table red".
    """
    sentence, _ = _squeeze(prompt)
    return _asks_for_all(sentence, _find(sentence))


def _asks_for_all(sentence: str, named: Span | None) -> bool:
    """Whether some order is about the whole picture, and the words that seem to name a thing are part of it."""
    whole = find_whole(sentence)
    return whole is not None and (named is None or (whole[0] <= named[0] and named[1] <= whole[1]))


def _squeeze(prompt: str) -> tuple[str, list[int]]:
    """The sentence with single spaces, and where each of its letters stands in `prompt`."""
    letters = [i for i, c in enumerate(prompt[:_READ]) if not (c.isspace() and prompt[i - 1 : i].isspace())]
    return "".join(" " if prompt[i].isspace() else prompt[i] for i in letters), letters


def _find(prompt: str) -> Span | None:
    quoted = grammar.QUOTED.search(prompt)
    if quoted:
        group = next(i for i, words in enumerate(quoted.groups(), 1) if words is not None)
        span = _strip(prompt, *quoted.span(group))
        if span:
            return span
    if not _is_latin(prompt):
        return None
    for start, end in _list_phrases(prompt):
        span = _get_name(prompt, start, end)
        if span:
            return span
    return None


def _list_phrases(prompt: str) -> Iterator[Span]:
    """Where the thing may stand, the likeliest first: behind a verb, in another's stead, in a caption, alone."""
    orders = [v for v in grammar.VERB.finditer(prompt) if grammar.LEAD.search(prompt, 0, v.start())]
    wanted = [v for v in orders if not grammar.NEGATION.search(prompt, 0, v.start())]
    for verb in wanted:
        start = grammar.PARTICLE.match(prompt, verb.end()).end()  # type: ignore[union-attr]
        stop = grammar.CLAUSE_END.search(prompt, start)
        yield from _FUNCTIONS[str(verb.lastgroup)](prompt, start, stop.start() if stop else len(prompt))
    if grammar.FOREIGN.search(prompt) or (orders and not wanted):
        return
    yield from _after(grammar.STEAD, prompt, 0, len(prompt))
    yield from _before(grammar.STATE, prompt, 0, len(prompt))
    yield from _after(grammar.WITHOUT, prompt, 0, len(prompt))
    yield from _after(grammar.CAPTION, prompt, 0, len(prompt))
    if not orders:
        yield 0, len(prompt)


def _after(pattern: re.Pattern[str], prompt: str, start: int, end: int) -> Iterator[Span]:
    found = pattern.search(prompt, start, end)
    if found:
        yield found.end(), end


def _before(pattern: re.Pattern[str], prompt: str, start: int, end: int) -> Iterator[Span]:
    found = pattern.search(prompt, start, end)
    if found:
        yield start, found.start()


def _replace(prompt: str, start: int, end: int) -> Iterator[Span]:
    yield from _before(grammar.OTHER, prompt, start, end)
    yield start, end


def _substitute(prompt: str, start: int, end: int) -> Iterator[Span]:
    """ "substitute a dog for the cat" is about the cat, "substitute the cat with a dog" too."""
    yield from _after(grammar.FOR, prompt, start, end)
    yield from _replace(prompt, start, end)


def _remove(prompt: str, start: int, end: int) -> Iterator[Span]:
    yield start, end


def _make(prompt: str, start: int, end: int) -> Iterator[Span]:
    """ "make the red cup blue": the name ends where its new look begins."""
    yield from _after(grammar.STEAD, prompt, start, end)
    yield from _before(grammar.TO, prompt, start, end)
    stop = end
    for _ in range(2):  # "make the shirt red and the hat blue" has two looks
        looks = grammar.COMPLEMENT.match(prompt[start:stop])
        stop = start + looks.end("thing") if looks else stop
        between = grammar.ALMOST.search(prompt, start, stop)
        if between is None:
            break
        stop = between.start()
    if stop == end:
        yield from _before(grammar.BECOMES, prompt, start, end)
    yield start, stop


def _place(prompt: str, start: int, end: int) -> Iterator[Span]:
    """ "put a bus in place of the cat" is about the cat, "put a hat on the dog" about the hat."""
    yield from _after(grammar.STEAD, prompt, start, end)
    yield from _before(grammar.TO, prompt, start, end)
    yield start, end
    yield from _after(grammar.PLACE, prompt, start - 1, end)


_FUNCTIONS = {
    "replace": _replace,
    "substitute": _substitute,
    "remove": _remove,
    "make": _make,
    "place": _place,
}


def _get_name(prompt: str, start: int, end: int) -> Span | None:
    """The name alone: without articles before it, without what says where it is or how; None where nothing is left."""
    span = _strip(prompt, start, end)
    while span and (lead := grammar.LEADING.match(prompt[slice(*span)] + " ")):
        span = _strip(prompt, min(span[0] + lead.end(), span[1]), span[1])
    if span is None:
        return None
    start, end = span
    for pattern in (grammar.PUNCTUATION, grammar.PLACE):
        cut = pattern.search(prompt, start, end)
        if cut:
            end = cut.start()
    while tail := grammar.TRAILING.search(prompt[start:end]):
        end = start + tail.start()
    span = _strip(prompt, start, end)
    words = prompt[slice(*span)] if span else ""
    if not words or grammar.NOTHING.match(words) or len(words.split()) > grammar.MOST_WORDS:
        return None
    return span


def _strip(prompt: str, start: int, end: int) -> Span | None:
    """Leave out what stands at both ends that is neither letter nor figure."""
    while start < end and not prompt[start].isalnum():
        start += 1
    while end > start and not (prompt[end - 1].isalnum() or unicodedata.combining(prompt[end - 1])):
        end -= 1
    return (start, end) if start < end else None


def _is_latin(text: str) -> bool:
    return all(unicodedata.name(letter, "").startswith("LATIN") for letter in text if letter.isalpha())


def get_token_rows(tokenizer: Any, prompt: str, span: Span | None, max_length: int) -> tuple[int, ...]:
    """Rows of the text's sequence that hold the characters of `span` (None: the whole prompt).

    `tokenizer` is one of transformers', asked as the backbone asks it: padded and cut to `max_length`. Rows of padding
    and of special tokens are never among them. `DataError` where no row is left, or where a tokenizer without offsets
    has changed the prompt, so that nobody can say which row is which word.
    """
    encoded = tokenizer(
        prompt,
        padding="max_length",
        truncation=True,
        max_length=max_length,
        return_special_tokens_mask=True,
        return_offsets_mapping=bool(tokenizer.is_fast),
    )
    start, end = (0, len(prompt)) if span is None else span
    ids, special = encoded["input_ids"], encoded["special_tokens_mask"]
    places = encoded["offset_mapping"] if tokenizer.is_fast else _align(tokenizer, prompt, ids)
    marks = _get_marks(tokenizer)
    rows = tuple(
        row
        for row, (first, last) in enumerate(places)
        if not special[row] and ids[row] not in marks and prompt[max(first, start) : min(last, end)].strip()
    )
    if not rows:
        what = "the prompt" if span is None else f"{show_words(prompt[start:end])} in the prompt"
        raise DataError(
            f"{what} {show_words(prompt)} reaches none of the model's {max_length} text tokens",
            hint="name the thing early, in few words",
        )
    return rows


def _get_marks(tokenizer: Any) -> set[int]:
    """Padding, ends and such; a word the tokenizer does not know is still a word."""
    return set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}


def _align(tokenizer: Any, prompt: str, ids: list[int]) -> list[Span]:
    """Where each token of a tokenizer without offsets stands in the prompt, found by reading both side by side."""
    data = prompt.encode()
    characters = [number for number, letter in enumerate(prompt) for _ in letter.encode()]
    is_bytes, marks = type(tokenizer).__name__.startswith("ByT5"), _get_marks(tokenizer)
    places, at = [], 0
    for token, number in zip(tokenizer.convert_ids_to_tokens(ids), ids, strict=True):
        piece = _get_bytes(token, is_bytes)
        found = at
        while data[found : found + len(piece)].lower() != piece.lower() and data[found : found + 1].isspace():
            found += 1
        if data[found : found + len(piece)].lower() == piece.lower() and piece:
            at = found + len(piece)
            places.append((characters[found], characters[at - 1] + 1))
        elif number in marks or not piece:  # not in the prompt
            places.append((0, 0))
        else:
            raise DataError(
                f"the tokenizer changes the prompt {show_words(prompt)}",
                hint="plain words without special signs",
            )
    return places


def _get_bytes(token: str, is_bytes: bool) -> bytes:
    """What a token stands for, without the marks by which tokenizers tell words from parts of words."""
    if is_bytes and len(token) == 1:
        return bytes([ord(token)])
    if re.fullmatch(r"<0x[0-9A-F]{2}>", token):
        return bytes([int(token[3:5], 16)])
    return token.removeprefix("##").removesuffix("</w>").replace("▁", " ").strip().encode()


def show_words(words: str) -> str:
    """Words in quotes for a message, cut where they are long."""
    return repr(words if len(words) <= _SHOWN else words[: _SHOWN - 1] + "…")
