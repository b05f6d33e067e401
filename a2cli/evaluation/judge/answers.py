"""What a judge's words say: marks in range or nothing, never a guess."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from a2cli.evaluation.judge.questions import Choice, Mark, Question
from a2cli.files import show_name

MOST_TEXT = 1 << 16  # characters of an answer that are looked at, its end
MOST_STARTS = 200  # braces at which an object is looked for
NUMBER = re.compile(r"\s*(\d{1,6}(?:\.\d{1,6})?)\s*(?:(?:/|out of)\s*(\d{1,4}))?\s*")
SORRY = re.compile(
    r"\W*(?:i\W?m (?:very )?sorry|i am (?:very )?sorry|sorry|unfortunately|i can\W?t|i cannot|i can not|i won\W?t"
    r"|i will not|i\W?m (?:unable|not able)|i am (?:unable|not able)|as an ai)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Reading:
    """The fields that could be read; `problem` says what keeps others from it, `refused`: the judge will not judge."""

    values: dict[str, float | str] = field(default_factory=dict)
    problem: str = ""
    refused: bool = False


def read_answer(text: str, question: Question) -> Reading:
    """The fields of an answer: of the text as JSON, else of the last whole object in it.

    Numbers may be written as text ("85", "85/100"). A mark out of range, missing, not finite, true or false is not
    read: nothing is clamped. Where no object has every field, the one that has most. Never raises.
    """
    text = text[-MOST_TEXT:]
    best: Reading | None = None
    for value in _find_objects(text):
        reading = _read_fields(value, question)
        if not reading.problem:
            return reading
        if best is None or len(reading.values) > len(best.values):
            best = reading
    if (best is None or not best.values) and SORRY.match(text):
        return Reading(problem=f"the judge declines: {_quote(text)}", refused=True)
    if best is not None:
        return best
    return Reading(
        problem=f"no JSON object in the answer: {_quote(text)}" if text.strip() else "an empty answer"
    )


def _find_objects(text: str) -> Iterator[dict[str, Any]]:
    """JSON objects: the whole text, then those inside it from the last to the first."""
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        whole = None
    if isinstance(whole, dict):
        yield whole
    decoder = json.JSONDecoder()
    for match in reversed([*re.finditer(r"\{", text)][-MOST_STARTS:]):
        try:
            inner, _ = decoder.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            continue
        if isinstance(inner, dict):
            yield inner


def _read_fields(value: dict[str, Any], question: Question) -> Reading:
    given = {re.sub(r"[\s-]+", "_", name.strip().lower()): found for name, found in value.items()}
    values: dict[str, float | str] = {}
    problems = []
    for name, wanted in question.fields.items():
        if name not in given:
            problems.append(f"{name} is missing")
            continue
        found = (
            _read_choice(given[name], wanted)
            if isinstance(wanted, tuple)
            else _read_mark(given[name], wanted)
        )
        if found is None:
            problems.append(f"{name} is {_quote(json.dumps(given[name], default=str), 40)}")
        else:
            values[name] = found
    return Reading(values, "; ".join(problems))


def _read_mark(value: Any, mark: Mark) -> float | None:
    """A number within the mark's range, ends included, else None."""
    if isinstance(value, str):
        match = NUMBER.fullmatch(value)
        if match is None or match[2] not in (None, str(mark.highest)):
            return None
        value = float(match[1])
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return float(value) if mark.lowest <= value <= mark.highest else None


def _read_choice(value: Any, choices: Choice) -> str | None:
    word = value.strip().lower() if isinstance(value, str) else None
    return word if word in choices else None


def _quote(text: str, most: int = 120) -> str:
    line = show_name(" ".join(text.split()))
    return line if len(line) <= most else line[:most] + "…"
