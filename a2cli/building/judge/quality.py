"""Which views are good enough: size, exposure and sharpness of the subject, without a reference."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from a2cli.building.config import QualityConfig
from a2cli.building.records import Item, Reject, View, drop_views
from a2cli.errors import BackboneError, DataError
from a2cli.files import show_name
from a2cli.images.geometry import resize

SIDE = 512  # px of the short side that sharpness is measured at; smaller pictures stay as they are
NOISE_BLUR, BLUR = 0.7, 1.5  # px: against the sensor's noise; what a sharp edge loses by
EDGES = 0.1  # the steepest share of pixels
FAINT = 0.5  # levels a pixel; gradients below are noise, so nothing is to be judged
DARKEST, BRIGHTEST = 3, 252  # levels beyond which light is clipped
DARK, BRIGHT = 10.0, 246.0  # mean levels of a subject, at least and at most


class QualityJudge:
    """Stage "quality": drops views that are too small, badly exposed or blurred, and says why.

    Each view left has the `scores` "sharpness", "clipped", "level" and "subject" (its share of the picture), and that
    of the configured metric. Reasons: "too small", "subject too small", "subject too large", "over- or underexposed",
    "blurred", "poor quality" (the metric). An item is rejected, with its most frequent reason, when fewer than two
    views are left, or none of a single one.
    """

    name = "quality"

    def __init__(self, config: QualityConfig) -> None:
        self.config = config
        self.gpu = config.metric is not None
        self._metric: Any = None

    def __call__(self, item: Item) -> Item | Reject:
        """Take one item on."""
        views = [measure_view(view) for view in item.views]
        best = max((view.scores["sharpness"] for view in views if view.time is not None), default=0.0)
        kept: list[View] = []
        reasons: list[str] = []
        found: list[str] = []
        for view in views:
            fault = get_fault(view, best, self.config)
            if fault is None and self.config.metric is not None:
                view, fault = self._ask_metric(view, self.config.metric)
            if fault is None:
                kept.append(view)
            else:
                reasons.append(fault[0])
                found.append(f"{show_name(view.name)}: {fault[1]}")
        taken = drop_views(item, kept, reasons)
        if len(kept) < min(2, len(views)) or not kept:
            reason = Counter(reasons).most_common(1)[0][0] if reasons else "no views"
            detail = next((text for why, text in zip(reasons, found, strict=True) if why == reason), item.id)
            return Reject(item.id, self.name, reason, detail, taken.dropped)
        return replace(taken, tools={**item.tools, self.name: self._get_tool()})

    def _ask_metric(self, view: View, name: str) -> tuple[View, tuple[str, str] | None]:
        if self._metric is None:
            from a2cli.building.judge.iqa import build_metric

            self._metric = build_metric(name, self.config.device)
        try:
            score = float(self._metric.score(view.rgb))
        except BackboneError as error:  # one picture is at fault, not the metric, which was opened
            raise DataError(f"{show_name(view.name)}: {error.message}", hint="another picture") from error
        view = replace(view, scores={**view.scores, name: score})
        if score >= self.config.metric_least:
            return view, None
        return view, ("poor quality", f"{name} {score:.3g}, at least {self.config.metric_least:g}")

    def _get_tool(self) -> str:
        own = f"sharpness and exposure, OpenCV {cv2.__version__}"
        return own if self._metric is None else f"{own}; {self._metric.name}"


def measure_view(view: View) -> View:
    """The view with "sharpness", "clipped", "level" and "subject" among its scores; the whole picture has no mask."""
    subject = np.ones(view.rgb.shape[:2], bool) if view.mask is None else view.mask
    clipped, level = get_exposure(view.rgb, subject)
    measured = {
        "sharpness": get_sharpness(view.rgb, view.mask),
        "clipped": clipped,
        "level": level,
        "subject": float(subject.mean()),
    }
    return replace(view, scores={**view.scores, **measured})


def get_fault(view: View, best: float, config: QualityConfig) -> tuple[str, str] | None:
    """What is wrong with a measured view, and the figures; `best` is the sharpest video frame's sharpness."""
    scores, (height, width) = view.scores, view.rgb.shape[:2]
    least, most = config.subject
    sharp = scores["sharpness"]
    if min(height, width) < config.side:
        return "too small", f"{width} x {height}, at least {config.side} px"
    if scores["subject"] < least:
        return (
            "subject too small",
            f"the subject takes {scores['subject']:.2%} of the picture, at least {least:.2%}",
        )
    if view.mask is not None and scores["subject"] > most:
        return (
            "subject too large",
            f"the subject takes {scores['subject']:.0%} of the picture, at most {most:.0%}",
        )
    if scores["clipped"] > config.clipped or not DARK <= scores["level"] <= BRIGHT:
        return (
            "over- or underexposed",
            f"{scores['clipped']:.0%} clipped, mean level {scores['level']:.0f} of 255",
        )
    if sharp < config.sharpness:
        return "blurred", f"sharpness {sharp:.2f}, at least {config.sharpness:g}"
    if view.time is not None and sharp < config.relative_sharpness * best:
        return "blurred", f"sharpness {sharp:.2f}, the best frame's is {best:.2f}"
    return None


def get_sharpness(rgb: np.ndarray, mask: np.ndarray | None = None) -> float:
    """How much of its steepest edges a picture loses to a slight blur: (H, W, 3) uint8 -> [0, 1], larger is sharper.

    1 - sum |grad (g * G(b))| / sum |grad (g * G(a))| over the steepest EDGES of the pixels under `mask` (H, W) bool
    and two px around it, a = NOISE_BLUR, b^2 = a^2 + BLUR^2, g the luminance at a short side of at most SIDE px. A
    ratio, so that light and contrast cancel; what is blurred already loses little (after Crete et al., The blur
    effect, 2007). Sharp photos have 0.3 to 0.6, their twins under a Gaussian of 3 px 0.05 to 0.15. 0 for what has no
    edges.
    """
    scale = min(1.0, SIDE / min(rgb.shape[:2]))
    size = max(round(rgb.shape[0] * scale), 1), max(round(rgb.shape[1] * scale), 1)
    grey = cv2.cvtColor(resize(rgb, size), cv2.COLOR_RGB2GRAY).astype(np.float32)
    before = _get_gradient(cv2.GaussianBlur(grey, (0, 0), NOISE_BLUR))
    after = _get_gradient(cv2.GaussianBlur(grey, (0, 0), float(np.hypot(NOISE_BLUR, BLUR))))
    chosen = np.ones(size, bool)
    if mask is not None and mask.any():
        inside = (resize(mask.astype(np.float32), size) > 0.25).astype(np.uint8)
        grown = cv2.dilate(inside, np.ones((5, 5), np.uint8)) > 0
        chosen = grown if grown.any() else chosen
    steep = chosen & (before >= max(float(np.quantile(before[chosen], 1 - EDGES)), FAINT))
    total = float(before[steep].sum())
    return float(np.clip(1 - after[steep].sum() / total, 0, 1)) if total > 0 else 0.0


def _get_gradient(grey: np.ndarray) -> np.ndarray:
    strength: np.ndarray = np.hypot(*(cv2.Sobel(grey, cv2.CV_32F, dx, 1 - dx) / 8 for dx in (1, 0)))
    return strength


def get_exposure(rgb: np.ndarray, subject: np.ndarray) -> tuple[float, float]:
    """Share of a subject's pixels, (H, W) bool, that are black or white in every channel, and its mean luminance."""
    shown = rgb[subject]
    if not len(shown):
        return 0.0, 0.0
    clipped = (shown.max(axis=1) <= DARKEST) | (shown.min(axis=1) >= BRIGHTEST)
    return float(clipped.mean()), float((shown @ np.array([0.299, 0.587, 0.114])).mean())
