"""What a judge is shown of an edit, and in which order."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import cv2
import numpy as np

from a2cli.evaluation.judge.questions import (
    BETTER,
    EDIT,
    LOOKS,
    MEANING,
    QUESTIONS,
    ROLE,
    Ask,
    Part,
    get_closing,
)
from a2cli.images.cutout import Cutout, crop_to_subject
from a2cli.images.geometry import crop_image, get_bounding_box, get_zoom_crop, resize
from a2cli.metrics.shots import Shot

CONTEXT = 1.5  # of the region's box that a close-up shows
LEAST_CLOSE_UP = 384  # px; smaller regions are enlarged
RED, WHITE = (230, 20, 20), (255, 255, 255)
MOST_WORDS = 1000  # characters of a request
CAPTIONS = {
    "source": "The photo before the edit. The region to be replaced is outlined in red.",
    "hole": "The photo before the edit. The region to be replaced is outlined in red; what was there is taken out.",
    "plain": "The photo before the edit.",
    "reference": "The reference: the subject that was to be put in.",
    "edited": "The edited photo.",
    "region": "A close-up of the edited region and what surrounds it.",
    "first": "The first edit.",
    "first region": "A close-up of the first edit's region.",
    "second": "The second edit.",
    "second region": "A close-up of the second edit's region.",
}


def build_edit_ask(shot: Shot, side: int, *, swapped: bool = False) -> Ask:
    """A2-Edit's three dimensions, of an edit with source and reference; the edit comes last, `swapped` first."""
    before = [*_show_source(shot, side), *_show_reference(shot, side)]
    after = [
        *_show("edited", fit(shot.edited, side)),
        *_show("region", get_close_up(shot, side)),
    ]
    return Ask(EDIT, (ROLE, *(after + before if swapped else before + after), EDIT.task))


def build_meaning_ask(shot: Shot, side: int, *, swapped: bool = False) -> Ask:
    """VIEScore's semantic consistency, of an edit with source and request; the edit comes second, `swapped` first."""
    before = _show_source(shot, side, plain=not shot.hole)
    after = _show("edited", fit(shot.edited, side))
    task = MEANING.task.format(request=clean_request(shot.request))
    return Ask(MEANING, (ROLE, *(after + before if swapped else before + after), task))


def build_looks_ask(shot: Shot, side: int) -> Ask:
    """VIEScore's perceptual quality, of the edit alone."""
    return Ask(LOOKS, (ROLE, *_show("edited", fit(shot.edited, side)), LOOKS.task))


def build_better_ask(first: Shot, second: Shot, side: int) -> Ask:
    """Two edits of one record side by side; what the record has of source and reference comes before them."""
    parts = [*_show_source(first, side), *_show_reference(first, side)]
    for name, shot in (("first", first), ("second", second)):
        parts += _show(name, fit(shot.edited, side)) + _show(f"{name} region", get_close_up(shot, side))
    return Ask(BETTER, (ROLE, *parts, BETTER.task))


def fit(rgb: np.ndarray, side: int) -> np.ndarray:
    """Shrink (H, W, 3) uint8 so that neither side is longer than `side` px; a smaller picture stays as it is."""
    height, width = rgb.shape[:2]
    scale = min(1.0, side / max(height, width))
    return resize(rgb, (max(1, round(height * scale)), max(1, round(width * scale))))


def get_outlined(rgb: np.ndarray, mask: np.ndarray, side: int) -> np.ndarray:
    """The picture, fitted, with the mask's outline on it: (H, W, 3) uint8 and (H, W) bool -> (h, w, 3) uint8."""
    small = fit(rgb, side).copy()
    cover = resize(mask.astype(np.float32), (small.shape[0], small.shape[1])) > 0.25
    if not cover.any():  # too small to survive
        cover = resize(mask.astype(np.float32), (small.shape[0], small.shape[1])) > 0
    contours, _ = cv2.findContours(cover.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    width = max(2, round(max(small.shape[:2]) / 200))
    for colour, thickness in ((WHITE, width + 2), (RED, width)):
        cv2.drawContours(small, contours, -1, colour, thickness, cv2.LINE_AA)
    return small


def get_close_up(shot: Shot, side: int) -> np.ndarray:
    """The edited region with its surroundings as a square (h, h, 3) uint8, enlarged where it is small."""
    box = get_zoom_crop(shot.mask, size=1, context=CONTEXT)
    size = min(side, max(LEAST_CLOSE_UP, box.height))
    return crop_image(shot.edited, get_zoom_crop(shot.mask, size=size, context=CONTEXT))


def clean_request(words: str) -> str:
    """A request on one line, in which nothing can pass for the end of the quotation or a model's control words."""
    table = str.maketrans({"<": "‹", ">": "›", "«": '"', "»": '"', "{": "(", "}": ")"})
    return " ".join(words.translate(table).split())[:MOST_WORDS]


def get_prompts_digest() -> str:
    """What changes when any word that a judge is told changes; hex sha256."""
    words: list[Any] = [ROLE, *CAPTIONS.values()]
    for question in QUESTIONS:
        words += [question.name, question.task, get_closing(question), get_closing(question, nudge=True)]
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()


def _show(name: str, rgb: np.ndarray) -> list[Part]:
    return [CAPTIONS[name], rgb]


def _show_source(shot: Shot, side: int, *, plain: bool = False) -> list[Part]:
    given = shot.given
    if given is None:
        return []
    if plain:
        return _show("plain", fit(given, side))
    if not shot.hole:
        return _show("source", get_outlined(given, shot.mask, side))
    return _show("hole", get_outlined(given, shot.mask, side))


def _show_reference(shot: Shot, side: int) -> list[Part]:
    """The reference's subject on white; without a usable mask the picture as it is."""
    if shot.ref_rgb is None:
        return []
    box = get_bounding_box(shot.ref_mask) if shot.ref_mask is not None else None
    if shot.ref_mask is None or box is None:
        return _show("reference", fit(shot.ref_rgb, side))
    size = min(side, max(LEAST_CLOSE_UP, box[2] - box[0], box[3] - box[1]))
    cutout = Cutout(shot.ref_rgb, shot.ref_mask.astype(np.float32))
    return _show("reference", crop_to_subject(cutout, size=size)[0])
