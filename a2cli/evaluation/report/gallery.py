"""Which edits the page shows, and their pictures made small: the worst and the best under every protocol."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from a2cli.errors import A2Error
from a2cli.evaluation.results import Exhibit, Picture, Row
from a2cli.images.thumbnail import encode_thumbnail
from a2cli.metrics.table import METRICS
from a2cli.pages.outline import trace_mask

SIDES = (96, 256)  # px, smallest and largest of a thumbnail's longer side
MOST_BYTES = 1_400_000  # of all thumbnails of a gallery, about: base64 makes a third more of them
BYTES_PER_PIXEL = 0.2  # of a detailed photograph as WebP
MOST_WORDS = 300  # letters of a prompt
PREFERRED = ("@mask", "@crop", "")  # a bad edit of a small region does not show over the whole picture


@dataclass(frozen=True)
class Choice:
    """A case to be shown: which record under which protocol, and why."""

    id: str
    category: str
    protocol: str
    why: str


@dataclass(frozen=True)
class Views:
    """A chosen case: pictures (H, W, 3) uint8, `source` and `mask` (H, W) bool as the methods got them.

    `edits` are by method, `prompt` says what was to be done or shown.
    """

    source: np.ndarray
    mask: np.ndarray
    edits: Mapping[str, np.ndarray]
    target: np.ndarray | None = None
    reference: np.ndarray | None = None
    prompt: str = ""


@dataclass(frozen=True)
class Judged:
    """What the ends are told by: a value's name, its direction, the method, and its edits by protocol."""

    key: str
    higher_is_better: bool
    method: str
    ranked: Mapping[str, list[Row]]


def choose_exhibits(
    rows: Sequence[Row], baselines: Mapping[str, bool], metrics: Iterable[str], count: int
) -> tuple[Choice, ...]:
    """The `count` worst and the `count` best edits under every protocol, the worst first.

    They are ranked by the first of `metrics` (names in order) that single edits have values of, over the mask where
    there is such a value, and are edits of the first method of `baselines` (by method, whether it is one) that is
    none; of the first method where all are. Categories take turns: the worst of each comes before the second of any.
    No edit is at both ends. Protocols follow each other as in `rows`, whose order decides nothing else.
    """
    found = _judge(rows, baselines, metrics)
    if found is None:
        return ()
    chosen: list[Choice] = []
    for protocol, those in found.ranked.items():
        best_first = sorted(those, key=lambda row: (row.values[found.key], row.id))
        if found.higher_is_better:
            best_first = sorted(those, key=lambda row: (-row.values[found.key], row.id))
        worst = _take_turns(best_first[::-1], min(count, (len(those) + 1) // 2))
        taken = {row.id for row in worst}
        best = _take_turns([row for row in best_first if row.id not in taken], count)
        for end, picked in (("worst", worst), ("best", best)):
            why = f"{end} by {found.key}, {found.method}"
            chosen += [Choice(row.id, row.category, protocol, why) for row in picked]
    return tuple(chosen)


def build_gallery(
    choices: Sequence[Choice], rows: Iterable[Row], load: Callable[[Choice], Views]
) -> tuple[Exhibit, ...]:
    """The exhibits of `choices`, in thumbnails so small that a page can hold them all.

    `load` opens the pictures of one case; a case for which it raises `A2Error` is left out.
    """
    wanted = {(choice.id, choice.protocol) for choice in choices}
    values: dict[tuple[str, str], dict[str, dict[str, float]]] = {}
    methods = set()
    for row in rows:
        methods.add(row.method)
        if (row.id, row.protocol) in wanted:
            values.setdefault((row.id, row.protocol), {})[row.method] = row.values
    cases = len({choice.id for choice in choices})
    side = get_side(2 * cases + len(choices) * max(1, len(methods)))
    shown = []
    for choice in choices:
        try:
            views = load(choice)
        except A2Error:
            continue
        shown.append(build_exhibit(choice, views, values.get((choice.id, choice.protocol), {}), side=side))
    return tuple(shown)


def build_exhibit(
    choice: Choice, views: Views, values: Mapping[str, Mapping[str, float]], *, side: int = SIDES[1]
) -> Exhibit:
    """One exhibit; `values` by method, `side` the longer one of its thumbnails in px."""
    pictures = {"source": views.source, "reference": views.reference, "target": views.target}
    pictures |= {f"edit: {method}": edit for method, edit in views.edits.items()}
    small = {name: _shrink(rgb, side) for name, rgb in pictures.items() if rgb is not None}
    outline = "" if views.mask.all() else trace_mask(views.mask, small["source"].size)
    kept = {method: dict(found) for method, found in values.items()}
    names = choice.id, choice.category, choice.protocol, choice.why
    return Exhibit(*names, small, outline, kept, " ".join(views.prompt.split())[:MOST_WORDS])


def get_side(pictures: int) -> int:
    """The longer side in px that so many thumbnails may have."""
    room = MOST_BYTES / max(1, pictures) / BYTES_PER_PIXEL
    return int(min(max(SIDES[0], room**0.5), SIDES[1]))


def _judge(rows: Sequence[Row], baselines: Mapping[str, bool], metrics: Iterable[str]) -> Judged | None:
    method = next((name for name, is_one in baselines.items() if not is_one), next(iter(baselines), ""))
    own = [row for row in rows if row.method == method and not row.error]
    for name in (name for name in metrics if name in METRICS):
        for key in (f"{name}{region}" for region in PREFERRED):
            ranked: dict[str, list[Row]] = {}
            for row in own:
                if key in row.values and np.isfinite(row.values[key]):
                    ranked.setdefault(row.protocol, []).append(row)
            if ranked:
                return Judged(key, METRICS[name].higher_is_better, method, ranked)
    return None


def _take_turns(rows: Sequence[Row], count: int) -> list[Row]:
    """The first `count`, where the n-th of one category comes after the (n - 1)-th of every other."""
    turns: dict[str, int] = {}
    keyed = []
    for place, row in enumerate(rows):
        turn = turns[row.category] = turns.get(row.category, -1) + 1
        keyed.append((turn, place, row))
    return [row for _, _, row in sorted(keyed, key=lambda item: item[:2])[:count]]


def _shrink(rgb: np.ndarray, side: int) -> Picture:
    data, size = encode_thumbnail(rgb, side)
    return Picture(base64.b64encode(data).decode(), size)
