"""Studies of noise, and people who answer them by rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from a2cli.errors import DataError
from a2cli.evaluation.report.gallery import Views
from a2cli.evaluation.study.answers import Answer, Answers
from a2cli.evaluation.study.config import StudyConfig, StudyKey, Trial
from a2cli.evaluation.study.items import StudyItem
from a2cli.evaluation.study.make import build_study

METHODS = ("zebrafish", "quokka")  # names that no page holds by chance


def make_item(number: int, methods: Sequence[str] = METHODS, *, broken: bool = False) -> StudyItem:
    """A photo of noise with a box for a region; every method leaves noise of its own."""

    def load() -> Views:
        if broken:
            raise DataError(f"case {number}: its photo is gone")
        rng = np.random.default_rng(number)
        photo = np.repeat(np.repeat(rng.integers(0, 256, (6, 8, 3), np.uint8), 8, axis=0), 8, axis=1)
        mask = np.zeros((48, 64), bool)
        mask[16:32, 24:40] = True
        edits = {name: np.roll(photo, 5 * i + 3, axis=1) for i, name in enumerate(methods)}
        return Views(photo, mask, edits, photo, photo[:32, :32], "a thing")

    return StudyItem(f"case {number}", "ab"[number % 2], "fine", tuple(methods), load)


def make_study(count: int, methods: Sequence[str] = METHODS, **settings: object) -> tuple[str, StudyKey]:
    return build_study(
        StudyConfig(**settings),  # type: ignore[arg-type]
        [make_item(number, methods) for number in range(count)],
    )


def make_key(trials: int, methods: Sequence[str] = METHODS, repeats: int = 0) -> StudyKey:
    """A key without a page: every two methods in turn, then the first `repeats` again."""
    pairs = [(a, b) for a in methods for b in methods if a != b]
    shown = [Trial(f"c{i}", f"case {i}", "a", "fine", *pairs[i % len(pairs)]) for i in range(trials)]
    again = [
        Trial(f"r{i}", trial.id, "a", "fine", trial.right, trial.left, trial.code)
        for i, trial in enumerate(shown[:repeats])
    ]
    return StudyKey("study1", "T", 0, ("overall",), tuple(methods), (*shown, *again))


def answer_all(
    key: StudyKey, raters: int, choose: Callable[[Trial, int], str], question: str = "overall"
) -> Answers:
    """Every person answers every trial as `choose` says: a method's name, or left, right, tie."""
    found = []
    for rater in range(raters):
        for trial in key.trials:
            said = choose(trial, rater)
            side = {trial.left: "left", trial.right: "right"}.get(said, said)
            found.append(Answer(f"p{rater}", trial.code, question, side, 1500.0))  # type: ignore[arg-type]
    return Answers(tuple(found))
