"""Answers of people, read with care: what is wrong with a file is said in a line, the rest counts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from a2cli.errors import DataError
from a2cli.evaluation.study.config import ANSWERS_FORMAT, VERSION, StudyKey, load_json
from a2cli.files import show_name

Choice = Literal["left", "right", "tie"]
LONGEST = 864e5  # ms, a day; what is longer was not looked at all the while


@dataclass(frozen=True)
class Answer:
    """What one person said of one trial; `ms` is how long it took, None where unknown."""

    rater: str
    code: str
    question: str
    choice: Choice
    ms: float | None = None


@dataclass(frozen=True)
class Answers:
    """All that counts of some files, and what does not, a line each."""

    answers: tuple[Answer, ...]
    problems: tuple[str, ...] = ()


def load_answers(paths: Iterable[str | Path], key: StudyKey) -> Answers:
    """Read files that the page gave out.

    A file that is no JSON, of another study or of no study is left out whole; an answer to an unknown trial or
    question, one that is none, and a second one of the same person to the same are left out alone. Raises `DataError`
    where nothing is left.
    """
    found: dict[tuple[str, str, str], Answer] = {}
    problems: list[str] = []
    codes = {trial.code for trial in key.trials}
    for path in paths:
        shown = show_name(str(path))
        try:
            record = _check(load_json(path), shown, key)
        except DataError as error:
            problems.append(str(error))
            continue
        wrong: dict[str, int] = {}
        for entry in record["answers"]:
            answer = _parse(entry, str(record["rater"]), codes, key.questions)
            if isinstance(answer, str):
                wrong[answer] = wrong.get(answer, 0) + 1
            elif (place := (answer.rater, answer.code, answer.question)) in found:
                wrong["given twice, the first counts"] = wrong.get("given twice, the first counts", 0) + 1
            else:
                found[place] = answer
        problems += [
            f"{shown}: {count} {'answer' if count == 1 else 'answers'} {what}"
            for what, count in wrong.items()
        ]
    if not found:
        if problems:
            raise DataError(problems[0])  # with its own remedy
        raise DataError("no files of answers", hint="the page saves them at its end")
    return Answers(tuple(found.values()), tuple(problems))


def _check(record: object, shown: str, key: StudyKey) -> Mapping[str, Any]:
    if not isinstance(record, dict) or record.get("format") != ANSWERS_FORMAT:
        raise DataError(f"{shown}: not the answers of a study", hint="the page saves them at its end")
    if record.get("version") != VERSION:
        raise DataError(f"{shown}: version {record.get('version')!r}, this a2 reads {VERSION}")
    if record.get("study") != key.study:
        other = show_name(str(record.get("study"))[:40])
        raise DataError(f"{shown}: answers to study {other}, the key is that of {key.study}")
    if not isinstance(record.get("rater"), str) or not isinstance(record.get("answers"), list):
        raise DataError(f"{shown}: no rater or no answers", hint="the file was changed")
    return record


def _parse(entry: object, rater: str, codes: Collection[str], questions: Collection[str]) -> Answer | str:
    """An answer, or what is wrong with it."""
    if not isinstance(entry, dict):
        return "of no known form"
    code: Any = entry.get("trial")
    ms: Any = entry.get("ms")
    if not isinstance(code, str) or code not in codes:
        return "to a pair that the study has not"
    if entry.get("question") not in questions:
        return "to a question that the study has not"
    if entry.get("answer") not in get_args(Choice):
        return "neither left, right nor tie"
    known = isinstance(ms, int | float) and not isinstance(ms, bool) and 0 <= ms <= LONGEST
    return Answer(rater, code, entry["question"], entry["answer"], float(ms) if known else None)
