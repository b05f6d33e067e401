"""What each way saw, as small pictures for the page: even steps from the worst record to the best."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

import numpy as np

from a2cli.engine.sheet import draw_heat
from a2cli.evaluation.localization.config import PLAIN
from a2cli.evaluation.localization.results import Shown
from a2cli.evaluation.localization.ways import Sight
from a2cli.evaluation.records.cases import Case
from a2cli.evaluation.results import Picture, Row
from a2cli.images.thumbnail import encode_thumbnail
from a2cli.pages.outline import trace_mask

SIDE = 176  # px of a picture's longer side


def build_shown(case: Case, seen: Mapping[str, Sight], rows: Sequence[Row]) -> Shown:
    """A record in small: the photo with its thing, the target, and the map and the region of every way."""
    pictures = {"source": _shrink(case.source)}
    outlines = {"source": _trace(case.named, pictures["source"])}
    if case.target is not None:
        pictures["target"] = _shrink(case.target)
    for way, sight in seen.items():
        pictures[way] = _shrink(draw_heat(case.source, sight.soft))
        outlines[way] = _trace(sight.region, pictures[way])
    return Shown(
        id=case.id,
        task=case.task,
        category=case.category,
        prompt=case.prompt,
        keyword=next((sight.keyword for sight in seen.values() if sight.keyword), case.keyword),
        pictures=pictures,
        outlines=outlines,
        values={row.method: row.values for row in rows if not row.error},
    )


def choose_shown(shown: Sequence[Shown], ways: Sequence[str], count: int) -> tuple[Shown, ...]:
    """At most `count` records, in even steps from the worst to the best by IoU.

    Of the last way that is a model's, of the last one where none is.
    """
    if not ways:
        return ()
    judged = [way for way in ways if way not in PLAIN] or list(ways)
    ranked = sorted(shown, key=lambda one: (one.values.get(judged[-1], {}).get("iou", 0.0), one.id))
    if len(ranked) <= count:
        return tuple(ranked)
    places = np.linspace(0, len(ranked) - 1, count).round().astype(int)
    return tuple(ranked[place] for place in places)


def _shrink(rgb: np.ndarray) -> Picture:
    data, size = encode_thumbnail(rgb, SIDE)
    return Picture(base64.b64encode(data).decode(), size)


def _trace(mask: np.ndarray | None, picture: Picture) -> str:
    """The outline; of a whole picture none: it would be its frame."""
    return "" if mask is None or mask.all() else trace_mask(mask, picture.size)
