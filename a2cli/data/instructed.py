"""What a record holds more where a sentence asks for an edit of a photo: its columns, and what must fit together."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from a2cli.config.suggest import get_suggestion
from a2cli.data.instructions.phrases import TASKS

SOURCE_PICTURES = ("src_image", "src_mask")
INSTRUCTION_TEXTS = ("task", "keyword")
INSTRUCTED = (*SOURCE_PICTURES, *INSTRUCTION_TEXTS)  # beside the others, in data sets that hold such records


def is_there(value: Any) -> bool:
    """Whether a picture column holds one: `datasets` may say None, or a pair of None."""
    if isinstance(value, Mapping):
        return value.get("bytes") is not None or value.get("path") is not None
    return value is not None


def list_there(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Which of `SOURCE_PICTURES` a row holds."""
    return tuple(name for name in SOURCE_PICTURES if is_there(row.get(name)))


def check_instruction(
    prompt: str, task: str, keyword: str, there: Collection[str]
) -> Iterator[tuple[str, str, str]]:
    """What does not fit in a record's texts: (kind of fault, column, cause), the kinds of `curation.faults`.

    `there` are its source pictures. A prompt that was not given is "".
    """
    if "src_image" not in there:
        texts = {"task": task, "keyword": keyword}
        for name in (*there, *(name for name, text in texts.items() if text)):
            yield "no source", name, "there is no src_image that it could be of"
        return
    if not prompt.strip():
        yield "no instruction", "prompt", "nothing says what to do with src_image"
    if task and task not in TASKS:
        yield "unknown task", "task", f"{task!r}: {get_suggestion(task, TASKS)}"
    if keyword and keyword not in prompt:
        yield "wrong keyword", "keyword", f"{keyword!r} does not stand in the prompt"


def find_misfit(prompt: str, task: str, keyword: str, there: Collection[str]) -> tuple[str, str] | None:
    """The first that makes a record unusable, (column, cause), if anything does.

    A wrong keyword does not: the words that name the thing can be looked for in the prompt.
    """
    found = check_instruction(prompt, task, keyword, there)
    return next(((column, cause) for kind, column, cause in found if kind != "wrong keyword"), None)
