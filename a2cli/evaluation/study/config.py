"""The settings of a study, and the key: what the page's codes stand for, kept apart from the page."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from a2cli.config.load import build
from a2cli.errors import ConfigError, DataError
from a2cli.evaluation.store import load_text, parse_json
from a2cli.files import show_name, write_bytes

Question = Literal["overall", "identity", "blend", "realism"]
QUESTIONS: dict[str, str] = {
    "overall": "Which result is better overall?",
    "identity": "In which result is the subject more like the reference?",
    "blend": "In which result does the subject sit better in the photo?",
    "realism": "Which result looks more like a real photograph?",
}
KEY_FORMAT, ANSWERS_FORMAT, VERSION = "a2-study-key", "a2-study-answers", 1


@dataclass(frozen=True)
class StudyConfig:
    """One study.

    `methods` are set against each other in every combination, or only `against` one of them; none named means all
    that the edits hold. `pairs` is how many pairs a person sees, divided evenly; `repeats` the share of them that
    comes once more with the sides changed, to tell how steady a person is. `side` is the longer side of a picture in
    px. Sides, order and choice are functions of `seed`.
    """

    methods: tuple[str, ...] = ()
    against: str | None = None
    questions: tuple[Question, ...] = ("overall",)
    pairs: int = 60
    repeats: float = 0.1
    seed: int = 0
    side: int = 512
    title: str = "Which edit is better?"

    def __post_init__(self) -> None:
        unknown = [name for name in self.questions if name not in get_args(Question)]
        if unknown or not self.questions or len(set(self.questions)) < len(self.questions):
            raise ConfigError(
                f"questions: {', '.join(self.questions) or 'none'}", hint=f"each once: {', '.join(QUESTIONS)}"
            )
        if len(set(self.methods)) < len(self.methods) or len(self.methods) == 1:
            raise ConfigError(f"methods: {', '.join(self.methods)}", hint="two or more, each once")
        if self.against is not None and self.methods and self.against not in self.methods:
            raise ConfigError(f"against: {self.against!r} is none of the methods")
        if self.pairs < 1 or not 0 <= self.repeats <= 0.5:
            raise ConfigError(
                f"{self.pairs} pairs, {self.repeats} of them again", hint="1 or more; repeats up to 0.5"
            )
        if not 64 <= self.side <= 2048:
            raise ConfigError(f"side must be 64 to 2048 px, not {self.side}")
        if self.seed < 0:
            raise ConfigError(f"seed must be 0 or more, not {self.seed}")


@dataclass(frozen=True)
class Trial:
    """Two edits shown once. `repeats` is the code of the trial that this one shows again with the sides changed."""

    code: str
    id: str
    category: str
    protocol: str
    left: str
    right: str
    repeats: str = ""


@dataclass(frozen=True)
class StudyKey:
    """What must not be seen by those who answer. `left_out` says which records could not be shown."""

    study: str
    title: str
    seed: int
    questions: tuple[Question, ...]
    methods: tuple[str, ...]
    trials: tuple[Trial, ...]
    left_out: tuple[str, ...] = ()
    format: str = KEY_FORMAT
    version: int = VERSION

    @property
    def by_code(self) -> dict[str, Trial]:
        return {trial.code: trial for trial in self.trials}


def write_key(key: StudyKey, path: str | Path) -> None:
    """Write KEY.json in one step. Raises `DataError` when the disk refuses."""
    text = json.dumps(asdict(key), indent=1, ensure_ascii=False) + "\n"
    write_bytes(text.encode("utf-8", "backslashreplace"), path)


def load_key(path: str | Path) -> StudyKey:
    """Read KEY.json. Raises `DataError` naming the file for one that is missing, damaged or another's."""
    shown = show_name(str(path))
    record = load_json(path)
    if not isinstance(record, dict) or record.get("format") != KEY_FORMAT:
        raise DataError(
            f"{shown}: not the key of a study", hint="a2 eval study make writes it beside the page"
        )
    if record.get("version") != VERSION:
        raise DataError(f"{shown}: version {record.get('version')!r}, this a2 reads {VERSION}")
    try:
        key = build(StudyKey, record, where=shown)
    except ConfigError as error:
        raise DataError(error.message, hint="the key is damaged") from error
    if len(key.by_code) < len(key.trials) or not key.trials:
        raise DataError(f"{shown}: codes that stand there twice, or none", hint="the key is damaged")
    return key


def load_json(path: str | Path) -> object:
    """A JSON file's value. Raises `DataError` naming the file."""
    hint = "the file is cut off or was changed"
    return parse_json(load_text(Path(path), hint="check the path"), show_name(str(path)), hint=hint)
