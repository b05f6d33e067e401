"""What counts as an answer, and what is missing rather than guessed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from a2cli.evaluation.judge.answers import read_answer
from a2cli.evaluation.judge.questions import BETTER, EDIT, MEANING

GOOD = {"boundary_quality": 80, "visual_realism": 70, "local_consistency": 60}
TEXT = json.dumps(GOOD)

READ = {
    "plain": TEXT,
    "with findings": json.dumps({"findings": "a {seam} on the left", **GOOD}),
    "fenced": f"Here you are:\n```json\n{TEXT}\n```\nAnything else?",
    "in prose": f"I think {{this}} is decent. {TEXT} Thanks {{x}}!",
    "after thoughts": f"<think>maybe {json.dumps(dict.fromkeys(GOOD, 5))}?</think> {TEXT}",
    "inside another": json.dumps({"marks": GOOD, "model": "x"}),
    "in a list": f"[{TEXT}]",
    "spelt otherwise": '{"Boundary Quality": 80, " visual-realism": 70, "LOCAL_CONSISTENCY": 60}',
    "as text": '{"boundary_quality": "80", "visual_realism": "70/100", "local_consistency": " 60.0 out of 100"}',
}


@pytest.mark.parametrize("name", READ)
def test_marks_are_found(name: str) -> None:
    reading = read_answer(READ[name], EDIT)
    assert reading.values == GOOD and reading.problem == "" and not reading.refused
    assert all(type(value) is float for value in reading.values.values())


UNREAD: dict[str, Any] = {
    "below": 0, "above": 101, "far above": 10**400, "negative": -5, "nan": float("nan"), "infinite": float("inf"),
    "true": True, "none": None, "words": "high", "empty": "", "of ten": "8/10", "percent": "80%", "exponent": "1e2",
    "list": [80], "object": {"mark": 80}, "range": "70-80",
}  # fmt: skip


@pytest.mark.parametrize("name", UNREAD)
def test_what_is_no_mark_is_missing(name: str) -> None:
    """Neither clamped nor zero; the other marks stay."""
    reading = read_answer(json.dumps({**GOOD, "visual_realism": UNREAD[name]}), EDIT)
    assert reading.values == {"boundary_quality": 80, "local_consistency": 60}
    assert reading.problem.startswith("visual_realism is ") and len(reading.problem) < 80


def test_a_missing_mark_is_named_and_the_fullest_object_is_kept() -> None:
    reading = read_answer('{"boundary_quality": 5} {"boundary_quality": 80, "visual_realism": 70} {}', EDIT)
    assert reading.values == {"boundary_quality": 80, "visual_realism": 70}
    assert reading.problem == "local_consistency is missing"


@pytest.mark.parametrize(
    "text",
    ["", "  \n", "80, 70, 60", "{", "null", "[1, 2, 3]", '"text"', "{'boundary_quality': 80}", "\ud800"],
)
def test_no_object_is_no_answer(text: str) -> None:
    reading = read_answer(text, EDIT)
    assert reading.values == {} and not reading.refused
    assert reading.problem.startswith(("no JSON object in the answer", "an empty answer"))
    assert reading.problem.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "**I cannot** judge people.",
        "Sorry - no. {}",
        "As an AI, no",
    ],
)
def test_a_refusal_is_told_from_nonsense(text: str) -> None:
    reading = read_answer(text, EDIT)
    assert reading.refused and reading.values == {} and "the judge declines" in reading.problem
    assert not read_answer(f"I'm sorry, the seam shows. {TEXT}", EDIT).refused


def test_hostile_answers_end_soon() -> None:
    for text in (
        "{" * 100_000,
        '{"a":' * 30_000,
        "[" * 100_000,
        '{"boundary_quality": ' + "9" * 100_000 + "}",
    ):
        assert read_answer(text, EDIT).values == {}


def test_ranges_and_choices_belong_to_the_question() -> None:
    assert read_answer('{"request_followed": 0, "rest_kept": "10/10"}', MEANING).values == {
        "request_followed": 0,
        "rest_kept": 10,
    }
    assert read_answer('{"request_followed": 11, "rest_kept": 3}', MEANING).values == {"rest_kept": 3}
    assert read_answer('{"better": " Second "}', BETTER).values == {"better": "second"}
    for wrong in ('"third"', "1", "true", "null", '["first"]'):
        assert read_answer(f'{{"better": {wrong}}}', BETTER).values == {}
