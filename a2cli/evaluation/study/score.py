"""What people preferred: win rates, strengths, and how far the answers themselves can be trusted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from a2cli.evaluation.study.answers import Answer, Answers
from a2cli.evaluation.study.config import StudyKey, Trial
from a2cli.evaluation.study.strength import get_strengths

Z = 1.959963984540054  # of a normal distribution, 95 %
LEVEL = 0.95


@dataclass(frozen=True)
class Share:
    """A share of `n`, in [0, 1], and its 95 % interval; None of nothing."""

    share: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Duel:
    """How often `a` was preferred to `b`, ties counted half; the interval covers both of those in `score_study`."""

    question: str
    a: str
    b: str
    wins: int
    ties: int
    losses: int
    rate: Share
    raters: int
    items: int


@dataclass(frozen=True)
class Strength:
    """A method's Bradley-Terry score: natural logarithm of its odds against an average method, and 95 % interval."""

    question: str
    method: str
    score: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Rater:
    """One person: answers, share of repeated pairs answered alike, share of left among answers that name a side."""

    rater: str
    n: int
    consistency: Share
    left: Share
    median_seconds: float | None


@dataclass(frozen=True)
class StudyScores:
    """All of a study's scores. `repeats` is the share of pairs shown again that were answered alike."""

    study: str
    n: int
    ties: int
    duels: tuple[Duel, ...]
    strengths: tuple[Strength, ...]
    repeats: Share
    left: Share
    raters: tuple[Rater, ...]
    problems: tuple[str, ...] = ()


def score_study(key: StudyKey, answers: Answers, *, resamples: int = 2000, seed: int = 0) -> StudyScores:
    """Win rates of every two methods for every question, and strengths where there are three methods or more.

    Only the first showing of a pair counts; repeats tell how steady people are. A rate's interval goes from the lower
    to the higher end of two: Wilson's (Probable inference, 1927), as if all answers were independent, and a bootstrap
    that draws raters and records anew (`resamples` times), which is wider where these differ. Strengths: Bradley and
    Terry, Rank analysis of incomplete block designs, 1952, with the same bootstrap.
    """
    trials = key.by_code
    first = [answer for answer in answers.answers if not trials[answer.code].repeats]
    duels: list[Duel] = []
    strengths: list[Strength] = []
    for question in key.questions:
        table = _Table.build([a for a in first if a.question == question], trials)
        weights = table.draw(resamples, seed)
        for a, b in combinations(key.methods, 2):
            if duel := _build_duel(question, a, b, table, weights):
                duels.append(duel)
        if len(key.methods) > 2:
            strengths += _build_strengths(question, key.methods, table, weights)
    return StudyScores(
        study=key.study,
        n=len(answers.answers),
        ties=sum(answer.choice == "tie" for answer in first),
        duels=tuple(duels),
        strengths=tuple(strengths),
        repeats=_get_consistency(answers.answers, trials),
        left=_get_left(answers.answers),
        raters=tuple(_describe_raters(answers.answers, trials)),
        problems=answers.problems,
    )


def get_share(wins: float, n: int) -> Share:
    """A share and Wilson's interval; `wins` may hold halves."""
    if not n:
        return Share(None, None, None, 0)
    p, scale = wins / n, 1 + Z * Z / n
    middle = (p + Z * Z / (2 * n)) / scale
    half = Z / scale * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    return Share(p, max(0.0, middle - half), min(1.0, middle + half), n)


def to_record(scores: StudyScores) -> dict[str, Any]:
    """The same for JSON: no NaN."""
    return asdict(scores)


def list_tables(scores: StudyScores) -> list[tuple[str, list[tuple[str, ...]]]]:
    """Titles and rows, the columns' names first: preferences, strengths where there are any, people."""
    duels = [("question", "a", "b", "a wins", "ties", "b wins", "a preferred", "95 %", "raters", "records")]
    for d in scores.duels:
        counts = (str(d.wins), str(d.ties), str(d.losses))
        duels.append(
            (d.question, d.a, d.b, *counts, *_show_share(d.rate), str(d.raters), str(d.items)),
        )
    tables: list[tuple[str, list[tuple[str, ...]]]] = [("Preferences, ties counted half", list(duels))]
    if scores.strengths:
        rows: list[tuple[str, ...]] = [("question", "method", "strength", "95 %")]
        for s in sorted(scores.strengths, key=lambda s: (s.question, -s.score)):
            span = "" if s.low is None or s.high is None else f"{s.low:.2f} to {s.high:.2f}"
            rows.append((s.question, s.method, f"{s.score:.2f}", span))
        tables.append(("Strengths: log odds against an average method", rows))
    people: list[tuple[str, ...]] = [
        ("rater", "answers", "repeats alike", "95 %", "repeats", "left", "95 %", "seconds")
    ]
    every = Rater("all", scores.n, scores.repeats, scores.left, None)
    for r in (*scores.raters, every):
        seconds = "" if r.median_seconds is None else f"{r.median_seconds:.1f}"
        shares = (*_show_share(r.consistency), str(r.consistency.n), *_show_share(r.left))
        people.append((r.rater, str(r.n), *shares, seconds))
    return [*tables, ("People", people)]


@dataclass(frozen=True)
class _Table:
    """First answers: methods on both sides by name, the share of the left one, and who answered about what."""

    left: np.ndarray
    right: np.ndarray
    won: np.ndarray
    rater: np.ndarray
    item: np.ndarray

    @staticmethod
    def build(answers: Sequence[Answer], trials: dict[str, Trial]) -> _Table:
        shown = [trials[answer.code] for answer in answers]
        marks = {"left": 1.0, "tie": 0.5, "right": 0.0}
        return _Table(
            np.array([trial.left for trial in shown], dtype=object),
            np.array([trial.right for trial in shown], dtype=object),
            np.array([marks[answer.choice] for answer in answers]),
            _number([answer.rater for answer in answers]),
            _number([trial.id for trial in shown]),
        )

    def draw(self, resamples: int, seed: int) -> np.ndarray:
        """How often each answer counts where raters and records are drawn anew: (resamples, answers)."""
        if not self.won.size:
            return np.ones((0, 0))
        rng = np.random.default_rng(seed)
        raters, items = int(self.rater.max()) + 1, int(self.item.max()) + 1
        by_rater = rng.multinomial(raters, np.full(raters, 1 / raters), size=resamples)
        by_item = rng.multinomial(items, np.full(items, 1 / items), size=resamples)
        return (by_rater[:, self.rater] * by_item[:, self.item]).astype(np.float64)


def _build_duel(question: str, a: str, b: str, table: _Table, weights: np.ndarray) -> Duel | None:
    ahead, behind = (table.left == a) & (table.right == b), (table.left == b) & (table.right == a)
    own = ahead | behind
    n = int(own.sum())
    if not n:
        return None
    won = np.where(ahead, table.won, 1 - table.won)[own]
    rate = get_share(float(won.sum()), n)
    assert rate.low is not None and rate.high is not None
    counts = weights[:, own].sum(axis=1)
    means = (weights[:, own] @ won)[counts > 0] / counts[counts > 0]
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) if means.size else (1.0, 0.0)
    rate = Share(rate.share, min(rate.low, float(low)), max(rate.high, float(high)), n)
    wins, ties = int((won == 1).sum()), int((won == 0.5).sum())
    raters, items = np.unique(table.rater[own]).size, np.unique(table.item[own]).size
    return Duel(question, a, b, wins, ties, n - wins - ties, rate, raters, items)


def _build_strengths(
    question: str, methods: Sequence[str], table: _Table, weights: np.ndarray
) -> list[Strength]:
    places = {method: i for i, method in enumerate(methods)}
    if not table.won.size:
        return []
    left = np.array([places[name] for name in table.left])
    right = np.array([places[name] for name in table.right])
    scores = get_strengths(_count_wins(left, right, table.won, np.ones((1, left.size)), len(methods)))
    if scores is None:
        return []
    drawn = get_strengths(_count_wins(left, right, table.won, weights, len(methods)))
    found = []
    for i, method in enumerate(methods):
        low = high = None
        if drawn is not None and len(drawn):
            low, high = map(float, np.quantile(drawn[:, i], [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
        found.append(Strength(question, method, float(scores[0, i]), low, high))
    return found


def _count_wins(
    left: np.ndarray, right: np.ndarray, won: np.ndarray, weights: np.ndarray, methods: int
) -> np.ndarray:
    """How often each method beat each other, ties counted half: (resamples, methods, methods)."""
    wins = np.zeros((len(weights), methods, methods))
    for i in range(methods):
        for j in range(methods):
            own = (left == i) & (right == j)
            wins[:, i, j] += weights[:, own] @ won[own]
            wins[:, j, i] += weights[:, own] @ (1 - won[own])
    return wins


def _get_consistency(answers: Iterable[Answer], trials: dict[str, Trial]) -> Share:
    """Repeats answered as the first time: the same edit preferred, or equal both times."""
    given = {(a.rater, a.code, a.question): a.choice for a in answers}
    alike = n = 0
    turned = {"left": "right", "right": "left", "tie": "tie"}
    for (rater, code, question), choice in given.items():
        before = given.get((rater, trials[code].repeats, question)) if trials[code].repeats else None
        if before is not None:
            n += 1
            alike += turned[choice] == before
    return get_share(alike, n)


def _get_left(answers: Iterable[Answer]) -> Share:
    named = [answer.choice == "left" for answer in answers if answer.choice != "tie"]
    return get_share(sum(named), len(named))


def _describe_raters(answers: Sequence[Answer], trials: dict[str, Trial]) -> Iterable[Rater]:
    by_rater: dict[str, list[Answer]] = {}
    for answer in answers:
        by_rater.setdefault(answer.rater, []).append(answer)
    for name, own in by_rater.items():
        times = [answer.ms / 1000 for answer in own if answer.ms is not None]
        middle = float(np.median(times)) if times else None
        yield Rater(name, len(own), _get_consistency(own, trials), _get_left(own), middle)


def _number(names: Sequence[str]) -> np.ndarray:
    places = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return np.array([places[name] for name in names], dtype=np.intp)


def _show_share(share: Share) -> tuple[str, str]:
    """In per cent, and its interval."""
    if share.share is None or share.low is None or share.high is None:
        return "", ""
    return f"{100 * share.share:.1f} %", f"{100 * share.low:.1f} to {100 * share.high:.1f} %"
