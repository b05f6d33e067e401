"""The two views of an item that differ most and still show one subject."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from a2cli.building.config import PairConfig
from a2cli.building.judge.embedding import EmbeddedEmbedder, get_distances
from a2cli.building.judge.quality import get_sharpness
from a2cli.building.records import Item, Reject, View
from a2cli.files import show_name
from a2cli.masks.morph import require_bounding_box

GRID = 64  # px a side on which two subjects are compared
SPAN = 2.6  # width of that grid in lengths of the subject, its length being the root of its area
SHAPE, LOOK, PLACE = 0.5, 0.25, 0.25  # shares of the variation
UNLIKE, SLACK = 1.3, 0.02
FULL_LOOK = 64.0  # mean difference of colour, in levels, that counts as 1
FULL_PLACE = 0.5  # way between the centres, in diagonals of the picture, that counts as 1
FULL_SCALE = float(np.log(4))  # log ratio of the lengths, relative to the picture, that counts as 1


class Pairer:
    """Stage "pair": leaves an item's reference and target, in this order.

    Of all pairs of typical views whose embeddings lie within `identity` of each other the one of the largest
    variation; the first of equal ones. A view with a role keeps it, and where both have one (an item's picture and a
    photo of it worn) their pictures may differ as they like: `identity` is not asked. Else the larger, sharper, less
    cut-off subject becomes the reference. Rejects: "one view only", "identity changes", "views too alike". The item's
    scores get "variation", "identity_distance", and of each end "sharpness_", "subject_" and "cut_" with "ref" or
    "tar".
    """

    name = "pair"

    def __init__(self, config: PairConfig) -> None:
        self.config = config
        self.gpu = config.embedding != "embedded"
        self._embedder: Any = None

    def __call__(self, item: Item) -> Item | Reject:
        """Take one item on."""
        views = [view for view in item.views if view.mask is not None and view.mask.any()]
        ends = list_ends(views)
        if not ends:
            why = "one view only" if len(views) < 2 else "one end only"
            return self._reject(item, why, f"{len(views)} of {len(item.views)} views have a mask")
        embedder = self._get_embedder()
        features = np.stack([embedder.embed(view.rgb, view.mask) for view in views])
        distances = get_distances(features, histograms=self.config.embedding == "embedded")
        variations = get_variations([view_subject(view) for view in views])
        typical = list_typical(distances)
        alike = [
            e
            for e in ends
            if _is_given(views, e)
            or (distances[e] <= self.config.identity and typical[e[0]] and typical[e[1]])
        ]
        if not alike:
            least = min(float(distances[e]) for e in ends)
            return self._reject(
                item, "identity changes", f"distance {least:.2f}, at most {self.config.identity:g}"
            )
        chosen = max(alike, key=lambda e: variations[e])  # the first of equal ones
        variation = float(variations[chosen])
        if variation < self.config.variation:
            return self._reject(
                item, "views too alike", f"variation {variation:.3f}, at least {self.config.variation:g}"
            )
        scores = {"variation": variation, "identity_distance": float(distances[chosen])}
        reference, target = order_ends(views[chosen[0]], views[chosen[1]])
        for end, view in (("ref", reference), ("tar", target)):
            for name in ("sharpness", "subject", "cut"):
                scores[f"{name}_{end}"] = view.scores[name]
        pair = tuple(replace(view, neighbours=(), motion=None) for view in (reference, target))
        tools = {**item.tools, self.name: f"largest variation; {embedder.name}"}
        return replace(item, views=pair, scores={**item.scores, **scores}, tools=tools)

    def _get_embedder(self) -> Any:
        if self._embedder is None:
            if self.config.embedding == "embedded":
                self._embedder = EmbeddedEmbedder()
            else:
                from a2cli.building.judge.vision_embedding import build_embedder

                self._embedder = build_embedder(self.config.embedding, self.config.device)
        return self._embedder

    def _reject(self, item: Item, reason: str, detail: str) -> Reject:
        names = ", ".join(show_name(view.name) for view in item.views[:3])
        return Reject(item.id, self.name, reason, f"{names}: {detail}", item.dropped)


def list_ends(views: list[View]) -> list[tuple[int, int]]:
    """Every pair of views that may be the two ends, i < j: not two references and not two targets."""
    count = len(views)
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
    return [(i, j) for i, j in pairs if not views[i].role or views[i].role != views[j].role]


def list_typical(distances: np.ndarray) -> np.ndarray:
    """Which of n views look like the rest: (n, n) distances -> (n,) bool; all where there are fewer than 4.

    The largest variation would else be that of a mask that went wrong. A view's own figure is the median of its
    distances to the others; it is typical up to UNLIKE times the median view's, plus SLACK.
    """
    count = len(distances)
    if count < 4:
        return np.ones(count, bool)
    others = distances[~np.eye(count, dtype=bool)].reshape(count, count - 1)
    own = np.median(others, axis=1)
    return np.asarray(own <= UNLIKE * np.median(own) + SLACK)


def _is_given(views: list[View], ends: tuple[int, int]) -> bool:
    return all(views[end].role for end in ends)


def order_ends(a: View, b: View) -> tuple[View, View]:
    """Reference and target: as their roles say, else the one that shows its subject larger, sharper and whole first.

    Both get the scores "sharpness", "subject" (share of the picture) and "cut" (share of the outline's box on the
    rim).
    """
    a, b = (_measure(view) for view in (a, b))
    if a.role == "target" or b.role == "reference":
        return b, a
    if a.role == "reference" or b.role == "target":
        return a, b
    return (a, b) if _get_worth(a) >= _get_worth(b) else (b, a)


def _measure(view: View) -> View:
    assert view.mask is not None
    found = {"subject": float(view.mask.mean()), "cut": get_cut(view.mask)}
    if "sharpness" not in view.scores:
        found["sharpness"] = get_sharpness(view.rgb, view.mask)
    return replace(view, scores={**view.scores, **found})


def _get_worth(view: View) -> float:
    assert view.mask is not None
    length = float(np.sqrt(view.mask.sum()))
    return length * view.scores["sharpness"] * (1 - view.scores["cut"])


def get_cut(mask: np.ndarray) -> float:
    """How far the frame cuts a subject off, (H, W) bool and not empty: its px on the rim per px around its box."""
    x0, y0, x1, y1 = require_bounding_box(mask)
    rim = int(mask[0].sum() + mask[-1].sum() + mask[:, 0].sum() + mask[:, -1].sum())
    return float(min(rim / (2 * (x1 - x0 + y1 - y0)), 1.0))


@dataclass(frozen=True)
class Subject:
    """A subject brought to a common centre and size, and where it was.

    mask (GRID, GRID) bool, rgb (GRID, GRID, 3) float32 in [0, 255]; centre (x, y) and length (root of the area) in
    diagonals of the picture.
    """

    mask: np.ndarray
    rgb: np.ndarray
    centre: np.ndarray
    length: float


def view_subject(view: View) -> Subject:
    """Bring a view's subject to the grid; its mask must not be empty."""
    assert view.mask is not None
    rows, columns = np.nonzero(view.mask)
    centre = np.array([columns.mean(), rows.mean()])
    length = float(np.sqrt(len(rows)))
    step = SPAN * length / GRID  # px of the view for one of the grid
    to_view = np.array(
        [[step, 0, centre[0] - step * (GRID - 1) / 2], [0, step, centre[1] - step * (GRID - 1) / 2]]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    blur = 0.5 * step
    soft, rgb = view.mask.astype(np.float32), view.rgb.astype(np.float32)
    if blur > 0.5:  # else a large view would be sampled here and there
        soft, rgb = cv2.GaussianBlur(soft, (0, 0), blur), cv2.GaussianBlur(rgb, (0, 0), blur)
    mask = cv2.warpAffine(soft, to_view, (GRID, GRID), flags=flags) > 0.5
    shown = cv2.warpAffine(rgb, to_view, (GRID, GRID), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    diagonal = float(np.hypot(*view.rgb.shape[:2]))
    return Subject(mask, shown, centre / diagonal, length / diagonal)


def get_variations(subjects: list[Subject]) -> np.ndarray:
    """How much each pair of subjects differs: (n, n) in [0, 1], symmetric.

    SHAPE * (1 - IoU of the masks on the grid) + LOOK * (mean difference of colour where both masks are, over
    FULL_LOOK) + PLACE * (the larger of way between the centres over FULL_PLACE and |log ratio of lengths| over
    FULL_SCALE), each part at most 1.
    """
    masks = np.stack([subject.mask.ravel() for subject in subjects]).astype(np.float32)  # (n, GRID * GRID)
    common = masks @ masks.T
    areas = masks.sum(axis=1)
    shape = 1 - common / np.maximum(areas[:, None] + areas[None] - common, 1)
    colours = np.stack([subject.rgb.reshape(-1, 3) for subject in subjects])  # (n, GRID * GRID, 3)
    look = np.zeros_like(shape)
    for n, (mask, colour) in enumerate(zip(masks, colours, strict=True)):
        difference = np.abs(colours - colour).mean(axis=2)  # (n, GRID * GRID)
        look[n] = (difference * (masks * mask)).sum(axis=1) / np.maximum(common[n], 1)
    centres = np.stack([subject.centre for subject in subjects])
    lengths = np.log([subject.length for subject in subjects])
    way = np.linalg.norm(centres[:, None] - centres[None], axis=2) / FULL_PLACE
    growth = np.abs(lengths[:, None] - lengths[None]) / FULL_SCALE
    place = np.maximum(way, growth)
    parts = ((SHAPE, shape), (LOOK, look / FULL_LOOK), (PLACE, place))
    total: np.ndarray = sum((share * np.clip(part, 0, 1) for share, part in parts), np.zeros_like(place))
    return total
