"""The prompt's own part of what a backbone reads: its states, and which of their rows are which words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from a2cli.backbones.base import Backbone
from a2cli.config.localize import get_span
from a2cli.context.passes import Condition
from a2cli.errors import BackboneError, ConfigError
from a2cli.localize.keywords import find_keyword, get_token_rows, show_words


@dataclass(frozen=True)
class TextReader:
    """How a backbone reads prompts: `encode` gives states (B, `length`, J) and a pooled vector (B, Q)."""

    encode: Callable[[list[str]], tuple[Tensor, Tensor]]
    tokenizer: Any
    length: int


def get_text_reader(backbone: Backbone) -> TextReader:
    """The reader of a backbone whose states are its tokenizer's tokens, row by row.

    Raises BackboneError for one that does not tell which row is which word.
    """
    encode = getattr(backbone, "encode_text", None)
    tokenizer = getattr(backbone, "components", {}).get("tokenizer_2")
    length = get_text_length(backbone)
    if encode is None or tokenizer is None or length is None:
        raise BackboneError(
            f"backbone {backbone.name!r} does not tell which of its tokens are which words of the prompt, so no region "
            "can be found from them",
            hint="give --mask",
        )
    return TextReader(encode, tokenizer, length)


def get_text_length(backbone: Backbone) -> int | None:
    """Rows of text states a prompt has; None where the backbone does not say."""
    return backbone.traits.text_tokens or getattr(backbone, "max_text_tokens", None)


def get_prompt_states(backbone: Backbone, condition: Condition) -> Tensor:
    """The prompt's states (B, T, J), without those of the reference that may follow them."""
    return condition.text[:, : get_text_length(backbone)]


def find_words(prompt: str, keyword: str | None) -> tuple[int, int]:
    """Where in the prompt the words stand that name the thing: (start, end).

    `keyword` where it is given, upper or lower case, the whole prompt where nothing is recognised. Raises ConfigError
    for an empty prompt and for a keyword that is not in it.
    """
    if not prompt.strip():
        raise ConfigError("nothing says what is to be edited", hint="give --prompt, or --mask")
    if keyword is None:
        return find_keyword(prompt) or (0, len(prompt))
    span = get_span(prompt, keyword)
    if span is None:
        raise ConfigError(
            f"--keyword {show_words(keyword)} is not in the prompt {show_words(prompt)}",
            hint="repeat words of it, letter by letter",
        )
    return span


def get_rows(reader: TextReader, prompt: str, span: tuple[int, int]) -> tuple[int, ...]:
    """The rows of those words among the prompt's states, one at least; an error where the prompt is cut before them."""
    return get_token_rows(reader.tokenizer, prompt, span, reader.length)
