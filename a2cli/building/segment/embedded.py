"""Boxes to masks without a model: motion and the colours it teaches, then GrabCut (Rother et al. 2004)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import cv2
import numpy as np

from a2cli.building.config import SegmentConfig
from a2cli.building.detect.motion import find_moving, get_working_size
from a2cli.building.records import Box, Item, Reject, View, drop_views
from a2cli.building.segment.colours import count_colours, get_colours, get_odds
from a2cli.building.segment.refine import clean_mask, enlarge_mask, filter_along_edges
from a2cli.images.cutout import find_on_plain_ground
from a2cli.images.geometry import get_bounding_box, resize
from a2cli.masks.morph import get_iou

UNSURE = "mask unsure"
ROUNDS = 3  # of learning colours from the masks and masks from the colours
NEAR = 0.02  # of the longer side: how far beyond what moves the subject may reach
SURE_GROUND, SURE_SUBJECT = 0.12, 0.92  # likelihoods that GrabCut may not overrule
LEAST_AGREEMENT = 0.6  # IoU of what the evidence says and what GrabCut makes of it
AREA_RATIO = 2.8  # a frame's subject is at most so many times larger or smaller than the video's median one
SAME_BOX = 0.7  # IoU of boxes from which on they mean one thing
LEAST_FILL, MOST_SHARE = 0.12, 0.95  # of its box that a subject fills; of the picture


class EmbeddedSegmenter:
    """Stage "segment": a mask for each view that has a box; given masks are kept.

    Frames with `motion` are cut out together, with one idea of the subject's colours; others each in its box. Views
    whose mask is implausible are dropped ("mask unsure"); an item without any left is rejected. `scores["mask"]` in
    [0, 1] tells how far evidence and GrabCut agree.
    """

    name = "segment"
    gpu = False

    def __init__(self, config: SegmentConfig) -> None:
        self.config = config

    @cached_property
    def tool(self) -> str:
        """What goes on record."""
        return f"OpenCV {cv2.__version__} motion, colour and GrabCut"

    def __call__(self, item: Item) -> Item | Reject:
        """Take one item on."""
        frames = [view for view in item.views if view.mask is None and view.motion is not None]
        cut = dict(zip(map(id, frames), cut_out_frames(frames), strict=True)) if frames else {}
        kept, reasons = [], []
        for view in item.views:
            if view.mask is None:
                found = cut[id(view)] if id(view) in cut else cut_out_box(view)
                if found is None or found[0].mean() > MOST_SHARE:
                    reasons.append(UNSURE)
                    continue
                mask, agreement = found
                view = replace(view, mask=mask, motion=None, scores={**view.scores, "mask": agreement})
            kept.append(view)
        taken = drop_views(item, kept, reasons)
        if not kept:
            detail = f"{item.id}: none of {len(item.views)} views gave a plausible mask"
            return Reject(item.id, self.name, UNSURE, detail, taken.dropped)
        if all(view.mask is not None for view in item.views):
            return taken
        return replace(taken, tools={**item.tools, self.name: self.tool})


def cut_out_frames(views: Sequence[View]) -> list[tuple[np.ndarray, float] | None]:
    """Masks (H, W) bool of one video's frames that have `motion`, each with its agreement in [0, 1].

    A pixel's log odds add up what its colour says, in all frames together, what its motion says, and how far it is
    from what moves; smoothed along the picture's edges they become likelihoods, which teach the colours anew. GrabCut
    draws the outline where they leave it open. None where nothing moves, evidence and GrabCut differ, or the area is
    far from the median of all.
    """
    frames = [_Evidence(view) for view in views]
    subject, ground = (
        (sum(c) for c in zip(*(f.count_first() for f in frames), strict=True)) if frames else (0, 0)
    )
    for _ in range(ROUNDS):
        odds = get_odds(np.asarray(subject), np.asarray(ground))
        counts = [frame.weigh(odds) for frame in frames]
        subject, ground = (sum(c) for c in zip(*counts, strict=True))
    found = [frame.cut() for frame in frames]
    areas = [float(mask.mean()) for mask, agreement in found if agreement >= LEAST_AGREEMENT]
    middle = float(np.median(areas)) if areas else 0.0
    cut: list[tuple[np.ndarray, float] | None] = []
    for view, (mask, agreement) in zip(views, found, strict=True):
        area = float(mask.mean())
        sane = area > 0 and middle / AREA_RATIO <= area <= middle * AREA_RATIO
        fine = sane and agreement >= LEAST_AGREEMENT
        cut.append((enlarge_mask(mask, view.rgb), agreement) if fine else None)
    return cut


class _Evidence:
    """What one frame says at working size; `likelihood` (h, w) in [0, 1] is refined round by round."""

    def __init__(self, view: View) -> None:
        self.rgb = resize(view.rgb, get_working_size(view.rgb.shape))
        size = (self.rgb.shape[0], self.rgb.shape[1])
        self.motion = np.zeros(size, np.float32) if view.motion is None else resize(view.motion, size)
        moving = find_moving(self.motion)
        self.moving = np.zeros(size, bool) if moving is None else moving
        self.near = cv2.GaussianBlur(self.moving.astype(np.float32), (0, 0), NEAR * max(size))
        around = max(3, round(0.12 * max(size)))
        self.around = np.clip(4 * cv2.blur(self.near, (around, around)), 0, 1)
        self.colours = get_colours(self.rgb)
        self.guide = cv2.cvtColor(self.rgb, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
        self.likelihood = np.zeros(size, np.float32)

    def count_first(self) -> tuple[np.ndarray, np.ndarray]:
        """Colours of what moves, and of what is far from it or stays."""
        subject = np.where(self.moving, np.clip(self.motion, 0, 1) ** 2, 0)
        ground = np.clip(1 - 4 * self.near, 0, 1) + np.clip(-self.motion, 0, 1)
        return count_colours(self.colours, subject), count_colours(self.colours, ground)

    def weigh(self, odds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Work the likelihood out anew from the colours' log odds, and count colours by it."""
        away = np.clip(1 - 4 * self.near, 0, 1)
        total = odds[self.colours] + 4 * (self.motion - 0.4) - 6 * away
        sure = (1 / (1 + np.exp(-total))).astype(np.float32)
        self.likelihood = np.clip(filter_along_edges(self.guide, sure, 4), 0, 1)
        subject = np.clip(2 * self.likelihood - 1, 0, 1)
        ground = np.clip(1 - 2 * self.likelihood, 0, 1) * (0.2 + self.around)
        return count_colours(self.colours, subject), count_colours(self.colours, ground)

    def cut(self) -> tuple[np.ndarray, float]:
        """The mask, and the IoU of it and the likelihood at one half."""
        wanted = self.likelihood > 0.5
        labels = np.where(wanted, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
        labels[self.likelihood < SURE_GROUND] = cv2.GC_BGD
        labels[self.likelihood > SURE_SUBJECT] = cv2.GC_FGD
        mask = clean_mask(_run_grabcut(self.rgb, labels, 3), self.motion < -0.25)
        return mask, get_iou(mask, clean_mask(wanted)) if mask.any() else 0.0


def cut_out_box(view: View) -> tuple[np.ndarray, float] | None:
    """The mask (H, W) bool of what fills a view's first box, and the share of the box that the mask's own box takes.

    A plain ground is taken away, if that leaves what the box means; else GrabCut from the box. None without a box, or
    where next to nothing of it stands out.
    """
    if not view.boxes:
        return None
    small = resize(view.rgb, get_working_size(view.rgb.shape))
    x0, y0, x1, y1 = _scale_box(view.boxes[0], view.rgb.shape, small.shape)
    if min(x1 - x0, y1 - y0) < 2:
        return None
    inside = np.zeros(small.shape[:2], bool)
    inside[y0:y1, x0:x1] = True
    plain = find_on_plain_ground(small)
    if plain is not None:
        agreement = _get_agreement(plain > 0.5, (x0, y0, x1, y1))
        if agreement >= SAME_BOX:
            return enlarge_mask(clean_mask((plain > 0.5) & inside), view.rgb), agreement
    labels = np.where(inside, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    if inside.mean() > 0.9:  # no ground outside: its rim will do
        rim = max(1, round(0.02 * min(inside.shape)))
        labels[:rim] = labels[-rim:] = labels[:, :rim] = labels[:, -rim:] = cv2.GC_BGD
    mask = clean_mask(_run_grabcut(small, labels, 5) & inside)
    box = get_bounding_box(mask)
    if box is None or mask.sum() < LEAST_FILL * inside.sum():
        return None
    reach = (box[2] - box[0]) * (box[3] - box[1]) / max(int(inside.sum()), 1)
    return enlarge_mask(mask, view.rgb), float(min(reach, 1.0))


def _get_agreement(subject: np.ndarray, box: tuple[int, int, int, int]) -> float:
    """IoU of a subject's own box with the one it is looked for in, in [0, 1]."""
    own = get_bounding_box(subject)
    if own is None:
        return 0.0
    across = max(min(own[2], box[2]) - max(own[0], box[0]), 0)
    down = max(min(own[3], box[3]) - max(own[1], box[1]), 0)
    areas = sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (own, box))
    return across * down / (areas - across * down)


def _scale_box(box: Box, size: tuple[int, ...], small: tuple[int, ...]) -> tuple[int, int, int, int]:
    """The box in whole pixels of the working size, grown by one, within the picture."""
    down, across = small[0] / size[0], small[1] / size[1]
    return (
        max(int(np.floor(box.x0 * across)) - 1, 0),
        max(int(np.floor(box.y0 * down)) - 1, 0),
        min(int(np.ceil(box.x1 * across)) + 1, small[1]),
        min(int(np.ceil(box.y1 * down)) + 1, small[0]),
    )


def _run_grabcut(rgb: np.ndarray, labels: np.ndarray, rounds: int) -> np.ndarray:
    """What GrabCut takes for the subject, (h, w) bool; the labels' own say where it has too few colours to model."""
    labels = labels.copy()
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    try:
        ordered = np.ascontiguousarray(rgb[..., ::-1])
        cv2.grabCut(ordered, labels, None, *models, rounds, cv2.GC_INIT_WITH_MASK)
    except cv2.error:
        pass
    subject: np.ndarray = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    return subject
