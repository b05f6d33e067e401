"""Getting a judge's answer: from the cache, else within the budget and in a few tries, each ask once at a time."""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from a2cli.evaluation.judge.answers import Reading, read_answer
from a2cli.evaluation.judge.model import Model, Words
from a2cli.evaluation.judge.questions import Ask, Question
from a2cli.evaluation.judge.tally import Tally
from a2cli.files import show_name, write_bytes
from a2cli.remote.budget import Budget
from a2cli.remote.calls import CallError, Fault, fail, try_often

FIRST_WAIT_S = 1.0  # doubled from try to try
MOST_WAIT_S = 60.0  # also for a server's Retry-After
MOST_SILENT, MOST_REFUSED = 6, 20  # asks in a row without an answer, after which no more are sent
FATAL = frozenset({301, 302, 303, 307, 308, 401, 402, 404, 429})  # refusals that hold for every ask
SILENT, REFUSED, NONSENSE = "judge does not answer", "judge refuses the request", "judge answers nonsense"
DECLINED, SPENT = "judge declines to judge", "judge budget spent"
CLOSED, STOPPED = "judge not asked any more", "judge interrupted"
KEPT = ".json"
REASONS = {"silent": SILENT, "refused": REFUSED, "nonsense": NONSENSE}


class _NotAskedError(Exception):
    """No call was made, and none will be; the reason, and a line of detail."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class _Failure:
    reason: str
    detail: str
    values: dict[str, float | str]


@dataclass
class _Attempt:
    """What the tries of one ask have brought so far."""

    values: dict[str, float | str] = field(default_factory=dict)
    nudge: int = 0
    declined: str = ""


class Asker:
    """Asks a model and keeps its answers in `cache`, under everything that was asked and of whom.

    DIGEST.json is an answer that could be read, or that declines; DIGEST-N.asked a call that was paid or may have been,
    which `budget` counts (None: calls cost nothing). After a failure that holds for every ask, or many in a row, no
    more calls are made.
    """

    def __init__(self, model: Model, cache: Path, budget: Budget | None, retries: int) -> None:
        self.model = model
        self.cache = cache
        self.budget = budget
        self.retries = retries
        self.tally = Tally()
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._failures: dict[str, _Failure] = {}
        self._in_a_row: dict[str, int] = {}
        self._closed = ""
        self._stop = threading.Event()

    def ask(self, ask: Ask) -> dict[str, float | str]:
        """The fields of the answer that could be had, no others. Raises `DataError` where nothing can be kept."""
        digest = self.get_digest(ask)
        with self._lock:
            lock = self._locks.setdefault(digest, threading.Lock())
        with lock:
            self.tally.add("asked")
            kept = self._open_kept(digest, ask.question)
            if kept is not None:
                if kept.refused:
                    self.tally.fail(DECLINED, kept.problem)
                else:
                    self.tally.add("from_cache")
                return kept.values
            if digest not in self._failures:
                return self._ask_anew(ask, digest)
            failure = self._failures[digest]
            self.tally.fail(failure.reason, failure.detail)
            return failure.values

    def get_digest(self, ask: Ask) -> str:
        """What an answer is kept under: everything that is asked, and of whom."""
        return hashlib.sha256(f"{self.model.identity}\0{ask.digest}".encode()).hexdigest()

    def stop(self) -> None:
        """Make no more calls; tries that wait for their turn end at once."""
        self._stop.set()

    def _ask_anew(self, ask: Ask, digest: str) -> dict[str, float | str]:
        attempt = _Attempt()
        try:
            try_often(
                lambda number: self._ask_once(ask, digest, attempt, number),
                self.retries,
                first_wait_s=FIRST_WAIT_S if self.budget else 0.0,
                most_wait_s=MOST_WAIT_S,
                sleep=self._stop.wait,
            )
        except _NotAskedError as error:
            failure = _Failure(error.reason, error.detail, attempt.values)
        except CallError as error:
            self._watch(error.fault)
            failure = _Failure(REASONS[error.fault.cause], error.fault.detail, attempt.values)
        else:
            self._in_a_row.clear()
            if not attempt.declined:
                self.tally.add("answered")
                return attempt.values
            failure = _Failure(DECLINED, attempt.declined, {})
        self._failures[digest] = failure
        self.tally.fail(failure.reason, failure.detail)
        return failure.values

    def _ask_once(self, ask: Ask, digest: str, attempt: _Attempt, number: int) -> None:
        """One call, its answer read and kept. Raises `CallError`, or `_NotAskedError`."""
        words = self._call(ask, digest, attempt.nudge, number)
        self.tally.add_words(words)
        reading = _read(words, ask.question)
        if reading.problem and not reading.refused:
            attempt.nudge += 1
            if len(reading.values) > len(attempt.values):
                attempt.values = reading.values
            raise fail(f"cut off for its length: {reading.problem}" if words.cut else reading.problem)
        attempt.values, attempt.declined = reading.values, reading.problem
        self._keep(digest, ask, words)

    def _call(self, ask: Ask, digest: str, nudge: int, number: int) -> Words:
        if self._stop.is_set() or self._closed:
            raise _NotAskedError(STOPPED if self._stop.is_set() else CLOSED, self._closed or "interrupted")
        mark = f"{digest}-{secrets.token_hex(4)}"
        if self.budget is not None and not self.budget.take(mark):
            raise _NotAskedError(SPENT, f"{self.budget.most} calls were paid; raise judge.budget")
        self.tally.add("calls")
        if number:
            self.tally.add("retries")
        try:
            return self.model.answer(ask, nudge)
        except CallError as error:
            if self.budget is not None and not error.fault.paid:
                self.budget.give_back(mark)
            raise

    def _watch(self, fault: Fault) -> None:
        """Stop calling where nothing else can be expected."""
        with self._lock:
            if fault.cause == "nonsense":
                self._in_a_row.clear()
                return
            self._in_a_row[fault.cause] = self._in_a_row.get(fault.cause, 0) + 1
            most = MOST_SILENT if fault.cause == "silent" else MOST_REFUSED
            fatal = fault.cause == "refused" and fault.status in FATAL
            if fatal or self._in_a_row[fault.cause] >= most:
                self._closed = fault.detail

    def _open_kept(self, digest: str, question: Question) -> Reading | None:
        """The answer that was kept; None where there is none, or a damaged one, which is asked for again."""
        try:
            value: Any = json.loads((self.cache / f"{digest}{KEPT}").read_bytes())
            reading = _read(Words(value["text"], refused=value["refused"]), question)
        except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
            return None
        return reading if reading.refused or not reading.problem else None

    def _keep(self, digest: str, ask: Ask, words: Words) -> None:
        value = {
            "question": ask.question.name,
            "model": self.model.name,
            "text": words.text,
            "refused": words.refused,
            "tokens": words.tokens,
        }
        write_bytes(
            json.dumps(value, ensure_ascii=False).encode(errors="replace"), self.cache / f"{digest}{KEPT}"
        )


def _read(words: Words, question: Question) -> Reading:
    if words.refused:
        return Reading(problem=f"declined: {show_name(words.refused)[:200]}", refused=True)
    return read_answer(words.text, question)
