"""From edits to a page that asks people, and the key that stays behind: which pairs, which sides, which order."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np

from a2cli.config.suggest import get_suggestion
from a2cli.errors import A2Error, ConfigError, DataError
from a2cli.evaluation.report.gallery import Views
from a2cli.evaluation.study.config import QUESTIONS, StudyConfig, StudyKey, Trial
from a2cli.evaluation.study.items import StudyItem
from a2cli.evaluation.study.page import build_study_page
from a2cli.images.thumbnail import encode_thumbnail
from a2cli.masks.morph import require_bounding_box
from a2cli.pages.outline import trace_mask

MOST_BYTES = 96 << 20  # of pictures as base64; larger pages are slow to open
QUALITY = 92  # of WebP: what the file loses must not hide what the edits differ in
AROUND = 0.35  # of the mask's box, seen around it when zoomed in

Slot = tuple[str, str]
"""A record and a protocol."""


Small = tuple[str, int, int]
"""A picture for the page: WebP as base64, width, height."""


@dataclass(frozen=True)
class _Scene:
    """A record in small; the outline and the box to zoom to in px of the photo, where there is a mask to see."""

    source: Small
    edits: dict[str, Small]
    reference: Small | None
    outline: str
    zoom: list[float]
    prompt: str


@dataclass
class _Album:
    """The page's pictures, each once, in the order in which they are first shown."""

    numbers: dict[Small, int] = field(default_factory=dict)
    size: int = 0

    def add(self, picture: Small) -> int:
        if picture not in self.numbers:
            self.numbers[picture] = len(self.numbers)
            self.size += len(picture[0])
            if self.size > MOST_BYTES:
                hint = "fewer pairs, or a smaller side"
                raise ConfigError("the page of the study would be too large", hint=hint)
        return self.numbers[picture]


def build_study(config: StudyConfig, items: Sequence[StudyItem]) -> tuple[str, StudyKey]:
    """The page, HTML, and its key, a function of `config` and `items`.

    Nothing in the page tells methods, records or which trials repeat another but by their pictures. Records that
    cannot be opened are left out and named in the key. Raises `ConfigError` for a method that has no edits and for a
    page that would be too large, `DataError` where no pair is left.
    """
    methods = _choose_methods(config, items)
    by_slot = {(item.id, item.protocol): item for item in items}
    rng = random.Random(f"a2 study {config.seed}")
    drawn = _draw_pairs(config, methods, items, rng)
    scenes: dict[Slot, _Scene] = {}
    left_out: list[str] = []
    for slot in dict.fromkeys((trial.id, trial.protocol) for trial in drawn):
        try:
            scenes[slot] = _build_scene(by_slot[slot].load(), config.side)
        except A2Error as error:
            left_out.append(str(error))
    shown = [trial for trial in drawn if (trial.id, trial.protocol) in scenes]
    if not shown:
        raise DataError(
            f"no pair of edits can be shown: {left_out[0] if left_out else 'no record has two of them'}"
        )
    trials = _add_repeats(_balance_sides(shown, rng), config.repeats, rng)
    named = [[asdict(trial), repeated] for trial, repeated in trials]
    whole = json.dumps([config.seed, config.questions, named])
    study = hashlib.sha256(whole.encode()).hexdigest()[:16]
    coded = _name_trials(study, trials)
    album, records = _Album(), []
    for trial in coded:
        slot = trial.id, trial.protocol
        records.append(_build_record(trial, scenes[slot], album))
    key = StudyKey(study, config.title, config.seed, config.questions, methods, tuple(coded), tuple(left_out))
    data = {
        "study": study,
        "questions": [{"name": name, "text": QUESTIONS[name]} for name in config.questions],
        "trials": records,
        "pictures": list(album.numbers),
    }
    return build_study_page(config.title, data), key


def _choose_methods(config: StudyConfig, items: Sequence[StudyItem]) -> tuple[str, ...]:
    there = tuple(dict.fromkeys(name for item in items for name in item.methods))
    wanted = [*config.methods, *([config.against] if config.against else [])]
    for name in wanted:
        if name not in there:
            raise ConfigError(f"no edit by {name!r}", hint=get_suggestion(name, there))
    return config.methods or there


def _draw_pairs(
    config: StudyConfig, methods: Sequence[str], items: Sequence[StudyItem], rng: random.Random
) -> list[Trial]:
    """At most `pairs` trials: every pair of methods as often as the others, records and categories in turn."""
    drawn: dict[tuple[str, str], list[Trial]] = {}
    for one, other in combinations(methods, 2):
        if config.against in (None, one, other):
            able = [item for item in items if one in item.methods and other in item.methods]
            trials = [Trial("", i.id, i.category, i.protocol, one, other) for i in _mix(able, rng)]
            if trials:
                drawn[one, other] = trials
    turns: list[Trial] = []
    for place in range(max(map(len, drawn.values()), default=0)):
        turns += [trials[place] for trials in drawn.values() if place < len(trials)]
    return turns[: config.pairs]


def _mix(items: Sequence[StudyItem], rng: random.Random) -> list[StudyItem]:
    """In an order of chance in which categories take turns."""
    turns: dict[str, int] = {}
    keyed: list[tuple[int, int, StudyItem]] = []
    for item in rng.sample(list(items), len(items)):
        turn = turns[item.category] = turns.get(item.category, -1) + 1
        keyed.append((turn, len(keyed), item))
    return [item for _, _, item in sorted(keyed, key=lambda one: one[:2])]


def _balance_sides(trials: Sequence[Trial], rng: random.Random) -> list[Trial]:
    """Each method of a pair is on the left in half of their trials; the order of all is chance."""
    by_pair: dict[tuple[str, str], list[Trial]] = {}
    for trial in trials:
        by_pair.setdefault((trial.left, trial.right), []).append(trial)
    turned: list[Trial] = []
    for own in by_pair.values():
        first = rng.randrange(2)
        for place, trial in enumerate(rng.sample(own, len(own))):
            turned.append(_swap(trial) if (place + first) % 2 else trial)
    return rng.sample(turned, len(turned))


def _swap(trial: Trial) -> Trial:
    return replace(trial, left=trial.right, right=trial.left)


def _add_repeats(trials: Sequence[Trial], share: float, rng: random.Random) -> list[tuple[Trial, int | None]]:
    """Some of the first third come again, sides changed, in the second half: each with what it repeats."""
    count = min(round(share * len(trials)), len(trials) // 2)
    early = range(max(count, len(trials) // 3))
    shown: list[tuple[Trial, int | None]] = [(trial, None) for trial in trials]
    half = -(-len(trials) // 2)
    for place in rng.sample(early, count):
        shown.insert(rng.randint(max(half, count), len(shown)), (_swap(trials[place]), place))
    return shown


def _name_trials(study: str, trials: Sequence[tuple[Trial, int | None]]) -> list[Trial]:
    """Codes that tell nothing, and by them which trial each repeats."""
    codes = [hashlib.sha256(f"{study}/{place}".encode()).hexdigest()[:10] for place in range(len(trials))]
    firsts = [code for code, (_, repeated) in zip(codes, trials, strict=True) if repeated is None]
    return [
        replace(trial, code=code, repeats="" if repeated is None else firsts[repeated])
        for code, (trial, repeated) in zip(codes, trials, strict=True)
    ]


def _build_scene(views: Views, side: int) -> _Scene:
    def shrink(rgb: np.ndarray) -> Small:
        data, (height, width) = encode_thumbnail(rgb, side, quality=QUALITY)
        return base64.b64encode(data).decode(), width, height

    source = shrink(views.source)
    size, whole = (source[2], source[1]), bool(views.mask.all())
    return _Scene(
        source,
        {name: shrink(edit) for name, edit in views.edits.items()},
        None if views.reference is None else shrink(views.reference),
        "" if whole else trace_mask(views.mask, size),
        [] if whole else _get_zoom(views.mask, size),
        views.prompt,
    )


def _build_record(trial: Trial, scene: _Scene, album: _Album) -> dict[str, Any]:
    """What the page knows of a trial: numbers of pictures, the mask, the prompt."""
    return {
        "code": trial.code,
        "prompt": scene.prompt,
        "source": album.add(scene.source),
        "reference": None if scene.reference is None else album.add(scene.reference),
        "left": album.add(scene.edits[trial.left]),
        "right": album.add(scene.edits[trial.right]),
        "outline": scene.outline,
        "zoom": scene.zoom,
    }


def _get_zoom(mask: np.ndarray, size: tuple[int, int]) -> list[float]:
    """The mask's box and what is around it as [x, y, width, height] in a drawing of `size` (height, width)."""
    x0, y0, x1, y1 = require_bounding_box(mask)
    around = AROUND * max(x1 - x0, y1 - y0)
    scale = size[1] / mask.shape[1], size[0] / mask.shape[0]
    left, top = max(0.0, x0 - around), max(0.0, y0 - around)
    right, bottom = min(float(mask.shape[1]), x1 + around), min(float(mask.shape[0]), y1 + around)
    box = (left * scale[0], top * scale[1], (right - left) * scale[0], (bottom - top) * scale[1])
    return [round(value, 1) for value in box]
