"""What moves on its own in a video whose camera moves too.

The ground's motion between two frames is a homography, the consensus of tracked corners. One frame laid over the
other by it, what still differs moves by itself. A pixel is the subject's only if it differs from the frame before and
from the one after: ground that the subject uncovers is seen in one of them. The frames close by have a small, sure
flow; the item's own frames beside, further off, tell where the subject pauses or is of one colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from a2cli.building.records import View
from a2cli.images.geometry import resize

SIDE = 320  # px of the longer side, that motion and masks are worked out on
LEAST_MATCHES = 12  # corners that must agree on the camera's motion
LEAST_COMMON = 0.4  # of a frame that must be seen in the other, too
LEAST_SPEED = 0.4  # px between two frames; slower is noise
FULL_SPEED = 0.8  # px that are motion without doubt, or this share of the fastest:
FULL_SHARE = 0.35
FURTHEST = 0.6  # s between frames of the item that are compared; further off parallax rules
UNTOLD = 0.25  # mean motion of a patch of which nothing can be told, at most
SAME, DIFFERENT = 1.3, 3.0  # differences in units of the noise
WARP = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


@dataclass(frozen=True)
class _Frame:
    """A frame at working size: rgb (h, w, 3) uint8, grey (h, w) uint8, texture (h, w): its mean gradient in levels."""

    rgb: np.ndarray
    grey: np.ndarray
    texture: np.ndarray


def get_working_size(size: tuple[int, ...]) -> tuple[int, int]:
    """(H, W) brought down to at most SIDE px, each side at least 16."""
    scale = min(1.0, SIDE / max(size[:2]))
    return max(round(size[0] * scale), 16), max(round(size[1] * scale), 16)


def get_camera_motion(grey: np.ndarray, other: np.ndarray) -> np.ndarray | None:
    """The homography (3, 3) that takes pixels of `grey` to `other`, both (H, W) uint8, as the ground moves.

    Corners are tracked there and back (Shi and Tomasi 1994; Lucas and Kanade 1981). Of the two largest groups that
    agree the one that reaches further over the frame is the ground: a subject may have more corners. None when too
    few agree.
    """
    corners = _find_corners(grey)
    if len(corners) < LEAST_MATCHES:
        return None
    size, levels = (17, 17), 4
    there, found, _ = cv2.calcOpticalFlowPyrLK(grey, other, corners, None, winSize=size, maxLevel=levels)
    back, again, _ = cv2.calcOpticalFlowPyrLK(other, grey, there, None, winSize=size, maxLevel=levels)
    good = (found & again).ravel().astype(bool) & (np.linalg.norm(back - corners, axis=2).ravel() < 0.7)
    start, stop = corners[good, 0], there[good, 0]
    best, furthest = None, 0.0
    for _ in range(2):
        if len(start) < LEAST_MATCHES:
            break
        cv2.setRNGSeed(0)
        matrix, chosen = cv2.findHomography(start, stop, cv2.RANSAC, 1.0, maxIters=2000, confidence=0.999)
        if matrix is None:
            break
        inside = chosen.ravel().astype(bool)
        reach = _get_reach(start[inside], grey.shape)
        if inside.sum() >= LEAST_MATCHES and reach > furthest:
            best, furthest = matrix, reach
        start, stop = start[~inside], stop[~inside]
    return best


def _find_corners(grey: np.ndarray) -> np.ndarray:
    """The best corners of each of 5 x 5 cells, (n, 1, 2) float32: rich contrast in one leaves the others theirs."""
    apart = max(3, round(0.015 * max(grey.shape)))
    found = [np.zeros((0, 1, 2), np.float32)]
    rows, columns = (np.linspace(0, side, 6).astype(int) for side in grey.shape)
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            corners = cv2.goodFeaturesToTrack(grey[top:bottom, left:right], 24, 0.02, apart)
            if corners is not None:
                found.append(corners + np.array([left, top], np.float32))
    return np.concatenate(found)


def _get_reach(points: np.ndarray, size: tuple[int, ...]) -> float:
    """How many of 8 x 8 cells of the frame hold a point, those at the rim counted twice."""
    cells = np.zeros((8, 8), bool)
    at = (points / np.array([size[1], size[0]]) * 8).astype(int).clip(0, 7)
    cells[at[:, 1], at[:, 0]] = True
    return float(cells.sum() + cells[0].sum() + cells[-1].sum() + cells[:, 0].sum() + cells[:, -1].sum())


def get_motions(views: Sequence[View]) -> list[np.ndarray | None]:
    """What moves by itself in each of a video's frames, given in order of time.

    Returns per view (h, w) float32 in [-1, 1] at working size: 1 moves on its own, -1 stays with the ground, 0 cannot
    be told, as in a plain sky. None where the camera's motion is not found or nothing moves. Deterministic.
    """
    frames = [_build_frame(view.rgb) for view in views]
    motions: list[np.ndarray | None] = []
    for number, view in enumerate(views):
        close = [resize(other, frames[number].grey.shape) for other in view.neighbours]
        beside = [frames[n].rgb for n in (number - 1, number + 1) if _is_beside(views, number, n)]
        found = [pair for pair in (_compare(frames[number], near) for near in (close, beside)) if pair]
        if not found:
            motions.append(None)
            continue
        own = np.max([own for own, _ in found], axis=0)
        stays = np.min([stays for _, stays in found], axis=0)
        motions.append(_fill_plain((own - stays).astype(np.float32)))
    return motions


def _is_beside(views: Sequence[View], here: int, there: int) -> bool:
    if not 0 <= there < len(views) or views[here].rgb.shape != views[there].rgb.shape:
        return False
    start, stop = views[here].time, views[there].time
    return start is not None and stop is not None and abs(stop - start) <= FURTHEST


def _build_frame(rgb: np.ndarray) -> _Frame:
    small = resize(rgb, get_working_size(rgb.shape))
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    calm = cv2.GaussianBlur(grey, (0, 0), 1.0)  # noise is no texture
    across, down = (cv2.Sobel(calm, cv2.CV_32F, dx, 1 - dx) / 8 for dx in (1, 0))
    return _Frame(small, grey, cv2.blur(np.hypot(across, down), (5, 5)))


def _compare(frame: _Frame, others: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray] | None:
    """How surely each pixel moves on its own, and how surely it stays with the ground, both (h, w) in [0, 1]."""
    compared = [pair for pair in (_get_residual(frame, other) for other in others) if pair is not None]
    if not compared:
        return None
    speed = np.fmin.reduce([speed for speed, _ in compared])
    difference = np.fmin.reduce([difference for _, difference in compared])
    speed = cv2.GaussianBlur(np.nan_to_num(speed, nan=0.0), (0, 0), 1.0)
    fastest = float(np.percentile(speed, 98))
    if fastest < LEAST_SPEED:
        return None
    own = np.clip(speed / max(FULL_SPEED, FULL_SHARE * fastest), 0, 1)
    alike = np.clip(2 - np.nan_to_num(difference, nan=np.inf) / SAME, 0, 1)
    return own, np.clip(frame.texture / 4, 0, 1) * alike  # a plain patch is alike wherever it goes


def _get_residual(frame: _Frame, other: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Flow in px and difference in units of noise, (h, w) each, the ground laid over itself; NaN: not seen."""
    matrix = get_camera_motion(frame.grey, cv2.cvtColor(other, cv2.COLOR_RGB2GRAY))
    if matrix is None:
        return None
    size = frame.grey.shape[::-1]
    still = cv2.warpPerspective(other, matrix, size, flags=WARP, borderMode=cv2.BORDER_REPLICATE)
    seen = cv2.warpPerspective(np.ones(frame.grey.shape, np.float32), matrix, size, flags=WARP) > 0.99
    if seen.mean() < LEAST_COMMON:
        return None
    estimator = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = estimator.calc(frame.grey, cv2.cvtColor(still, cv2.COLOR_RGB2GRAY), None)
    difference = np.abs(frame.rgb.astype(np.float32) - still).mean(axis=2)
    difference = cv2.blur(np.where(seen, difference, 0), (5, 5))
    noise = max(float(np.median(difference[seen])), 1.0)
    difference /= (
        noise + 0.1 * frame.texture
    )  # resampling and what little is misplaced cost more where there is texture
    known = np.clip((difference - SAME) / (DIFFERENT - SAME), 0, 1)  # flow of what looks the same is a guess
    speed = np.linalg.norm(flow, axis=2) * known
    return np.where(seen, speed, np.nan), np.where(seen, difference, np.nan)


def find_moving(motion: np.ndarray) -> np.ndarray | None:
    """The largest coherent thing that moves: (h, w) in [-1, 1] -> (h, w) bool; None if nothing does.

    Small gaps are bridged; what covers less than 0.05 % of the frame is no thing.
    """
    count, labels = cv2.connectedComponents(_bridge(motion))
    if count < 2:
        return None
    weights = np.bincount(labels.ravel(), np.clip(motion, 0, 1).ravel(), count)
    weights[0] = 0
    largest = labels == weights.argmax()
    return largest if largest.mean() >= 0.0005 else None


def _bridge(motion: np.ndarray) -> np.ndarray:
    bridge = max(3, round(0.02 * max(motion.shape))) | 1
    moving = (motion > 0.5).astype(np.uint8)
    return cv2.morphologyEx(moving, cv2.MORPH_CLOSE, np.ones((bridge, bridge), np.uint8))


def _fill_plain(motion: np.ndarray) -> np.ndarray:
    """Patches of which nothing can be told move with what moves all around them: the plain inside of a subject."""
    count, labels = cv2.connectedComponents(1 - _bridge(motion), connectivity=4)
    sizes = np.bincount(labels.ravel(), minlength=count)
    mean = np.bincount(labels.ravel(), motion.ravel(), count) / np.maximum(sizes, 1)
    rim = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    plain = mean > -UNTOLD
    plain[rim] = False
    plain[0] = False
    return np.where(plain[labels], np.maximum(motion, 0.8), motion).astype(np.float32)
