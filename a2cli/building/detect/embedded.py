"""Find subjects without a model: what moves in a video, what stands out in a photo."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import cv2
import numpy as np

from a2cli.building.config import DetectConfig
from a2cli.building.detect.motion import find_moving, get_motions, get_working_size
from a2cli.building.records import Box, Item, Reject, View, drop_views
from a2cli.images.cutout import find_by_grabcut, find_on_plain_ground
from a2cli.images.geometry import get_bounding_box, resize

NOTHING = "no subject found"
ALIKE = 0.6  # share of colours that a thing and its ground may have in common
ENCLOSED = 0.6  # share of the frame's rim that a thing may cover


class EmbeddedDetector:
    """Stage "detect": a box for each view.

    Views with a box or a mask keep them. Frames of a video get the box of what moves on its own, and their `motion`;
    other pictures that of what stands out from the ground. Views where nothing is found are dropped; an item without
    any, or a video with fewer than two, is rejected ("no subject found").
    """

    name = "detect"
    gpu = False

    def __init__(self, config: DetectConfig) -> None:
        self.config = config

    @cached_property
    def tool(self) -> str:
        """What goes on record."""
        return f"OpenCV {cv2.__version__} motion and ground"

    def __call__(self, item: Item) -> Item | Reject:
        """Take one item on."""
        open_views = [view for view in item.views if view.mask is None and not view.boxes]
        frames = [view for view in open_views if view.neighbours]
        moved = dict(zip(map(id, frames), get_motions(frames), strict=True))
        kept, reasons = [], []
        for view in item.views:
            if id(view) in moved:
                found = _find_in_frame(view, moved[id(view)])
            elif view.mask is None and not view.boxes:
                found = _find_in_photo(view)
            else:
                found = view
            if found is None:
                reasons.append(NOTHING)
            else:
                kept.append(found)
        taken = drop_views(item, kept, reasons)
        if len(kept) < (2 if frames else 1):
            detail = (
                f"{item.id}: nothing {'moves on its own' if frames else 'stands out'} in {len(reasons)} views"
            )
            return Reject(item.id, self.name, NOTHING, detail, taken.dropped)
        if not open_views:
            return taken
        return replace(taken, tools={**item.tools, self.name: self.tool})


def _find_in_frame(view: View, motion: np.ndarray | None) -> View | None:
    moving = None if motion is None else find_moving(motion)
    if motion is None or moving is None:
        return None
    box = _get_box(moving, view.rgb.shape, float(np.clip(motion[moving], 0, 1).mean()), "moving")
    return replace(view, boxes=(box,), motion=motion)


def _find_in_photo(view: View) -> View | None:
    small = resize(view.rgb, get_working_size(view.rgb.shape))
    found = find_on_plain_ground(small)
    if found is None:
        found = find_by_grabcut(small)
    if found is None:
        return None
    subject = found > 0.5
    rim = np.concatenate([subject[0], subject[-1], subject[:, 0], subject[:, -1]])
    likeness = get_likeness(small, subject)
    if likeness > ALIKE or rim.mean() > ENCLOSED:
        return None
    return replace(view, boxes=(_get_box(subject, view.rgb.shape, 1 - likeness, "standing out"),))


def get_likeness(rgb: np.ndarray, subject: np.ndarray) -> float:
    """Share of colours, in [0, 1], that a subject (h, w) bool and its ground have in common."""
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)
    shares = []
    for region in (subject, ~subject):
        if not region.any():
            return 1.0
        counts = cv2.calcHist([lab], [0, 1, 2], region.astype(np.uint8), [12, 24, 24], [0, 256] * 3)
        shares.append(counts / counts.sum())
    return float(np.minimum(*shares).sum())


def _get_box(subject: np.ndarray, size: tuple[int, ...], score: float, label: str) -> Box:
    """The box of a working-size mask in the picture's own pixels."""
    x0, y0, x1, y1 = get_bounding_box(subject) or (0, 0, 0, 0)
    down, across = size[0] / subject.shape[0], size[1] / subject.shape[1]
    return Box(x0 * across, y0 * down, x1 * across, y1 * down, score, label)
