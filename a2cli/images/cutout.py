"""Cut the subject out of a reference: by a given mask, its alpha, its plain ground, or GrabCut."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from a2cli.errors import DataError
from a2cli.files import show_name
from a2cli.images.geometry import get_bounding_box, resize, resize_subject
from a2cli.images.photo import Photo

REMEDY = "give its mask with --ref-mask"
BORDER_SHARE = 0.85  # of the border that must have the ground's colour
GROUND_TOLERANCE = 7.0  # distance in CIE Lab
LEAST_SHARE, MOST_SHARE = 0.002, 0.985  # of the picture that a subject found automatically may cover
GRABCUT_SIDE, GRABCUT_ROUNDS, GRABCUT_MARGIN = 320, 5, 0.04


@dataclass(frozen=True)
class Cutout:
    """A subject: rgb (H, W, 3) uint8 as photographed, mask (H, W) float32 in [0, 1], 1 = subject."""

    rgb: np.ndarray
    mask: np.ndarray


def cut_out(photo: Photo, mask: np.ndarray | None = None) -> Cutout:
    """Separate the subject from its ground.

    In this order: the given mask ((H, W), bool or float in [0, 1], 1 = subject); the photo's alpha; a border
    of nearly one colour, and all that hangs together with it in that colour, taken away; GrabCut started
    from the frame (Rother et al. 2004), its seed fixed. Raises DataError, which names --ref-mask, when
    nothing is found or the mask is of another size.
    """
    shown = show_name(photo.name)
    if mask is not None:
        if mask.shape != photo.size:
            raise DataError(
                f"{shown}: its mask is {mask.shape[1]} x {mask.shape[0]}, "
                f"the reference is {photo.size[1]} x {photo.size[0]}",
                hint="give a mask of the reference's size",
            )
        found: np.ndarray | None = np.clip(mask.astype(np.float32), 0.0, 1.0)
        if not (mask > 0.02).any():
            raise DataError(
                f"{shown}: the mask of the reference marks nothing", hint="white marks the subject"
            )
    elif photo.alpha is not None and photo.alpha.min() < 128:
        found = photo.alpha.astype(np.float32) / 255.0
        if photo.alpha.max() < 6:
            raise DataError(f"{shown}: the reference is wholly transparent", hint="give one with a subject")
    else:
        found = find_on_plain_ground(photo.rgb)
        if found is None:
            found = find_by_grabcut(photo.rgb)
    if found is None:
        raise DataError(f"{shown}: no subject stands out from the ground", hint=REMEDY)
    return Cutout(photo.rgb, found)


def find_on_plain_ground(rgb: np.ndarray) -> np.ndarray | None:
    """The subject before a nearly uniform ground, (H, W, 3) uint8 -> (H, W) float32, or None.

    Ground is what has the border's colour and is connected to the border, so a white shirt print stays.
    """
    height, width = rgb.shape[:2]
    if min(height, width) < 4:
        return None
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255.0, cv2.COLOR_RGB2Lab)
    ring = max(1, round(0.015 * min(height, width)))
    border = np.concatenate(
        [
            lab[:ring].reshape(-1, 3),
            lab[-ring:].reshape(-1, 3),
            lab[:, :ring].reshape(-1, 3),
            lab[:, -ring:].reshape(-1, 3),
        ]
    )
    ground = np.median(border, axis=0)
    if float((np.linalg.norm(border - ground, axis=1) < GROUND_TOLERANCE).mean()) < BORDER_SHARE:
        return None
    alike = np.linalg.norm(lab - ground, axis=2) < GROUND_TOLERANCE
    _, labels = cv2.connectedComponents(alike.astype(np.uint8), connectivity=4)
    touching = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    outside = np.isin(labels, touching[touching > 0])
    return _finish(~outside)


def find_by_grabcut(rgb: np.ndarray) -> np.ndarray | None:
    """The subject by GrabCut from an inner frame: (H, W, 3) uint8 -> (H, W) float32; None if there is none.

    Worked out on at most GRABCUT_SIDE pixels a side; deterministic.
    """
    height, width = rgb.shape[:2]
    scale = min(1.0, GRABCUT_SIDE / max(height, width))
    small = resize(rgb, (max(round(height * scale), 1), max(round(width * scale), 1)))
    rows, columns = small.shape[:2]
    frame_y, frame_x = max(1, round(GRABCUT_MARGIN * rows)), max(1, round(GRABCUT_MARGIN * columns))
    if min(rows, columns) < 8:
        return None
    inner = np.zeros((rows, columns), dtype=bool)
    inner[frame_y:-frame_y, frame_x:-frame_x] = True
    foreign = inner & ~_is_like_border(small, ~inner)
    if foreign.sum() < 0.02 * inner.sum():
        foreign = inner
    labels = np.where(foreign, cv2.GC_PR_FGD, np.where(inner, cv2.GC_PR_BGD, cv2.GC_BGD)).astype(np.uint8)
    cv2.setRNGSeed(0)
    try:
        cv2.grabCut(
            np.ascontiguousarray(small[..., ::-1]),
            labels,
            None,
            np.zeros((1, 65)),
            np.zeros((1, 65)),
            GRABCUT_ROUNDS,
            cv2.GC_INIT_WITH_MASK,
        )
    except cv2.error:  # too few colours to model
        return None
    subject = _finish((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD))
    return None if subject is None else np.clip(resize(subject, (height, width)), 0.0, 1.0)


def _is_like_border(rgb: np.ndarray, border: np.ndarray) -> np.ndarray:
    """Where a colour, or one next to it (16 levels a channel), occurs in the border: (H, W) bool."""
    bins = rgb >> 4
    seen = np.zeros((18, 18, 18), dtype=bool)  # one bin of room around
    at = bins[border].astype(np.intp) + 1
    seen[at[:, 0], at[:, 1], at[:, 2]] = True
    for axis in range(3):
        seen = seen | np.roll(seen, 1, axis) | np.roll(seen, -1, axis)
    bins = bins.astype(np.intp) + 1
    return seen[bins[..., 0], bins[..., 1], bins[..., 2]]


def _finish(subject: np.ndarray) -> np.ndarray | None:
    """Drop specks, soften the rim: (H, W) bool -> float32; None if too little or too much is left."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(subject.astype(np.uint8), connectivity=8)
    if count < 2:
        return None
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    kept = areas >= 0.03 * areas.max()
    kept[0] = False
    subject = kept[labels]
    if not LEAST_SHARE <= float(subject.mean()) <= MOST_SHARE:
        return None
    return cv2.GaussianBlur(subject.astype(np.float32), (3, 3), 0.6)


def crop_to_subject(
    cutout: Cutout, *, size: int, margin: float = 0.04, ground: int = 255
) -> tuple[np.ndarray, np.ndarray]:
    """Show the subject alone, as large as fits.

    Returns (size, size, 3) uint8 on plain `ground` and the mask (size, size) float32 in [0, 1]. The aspect is
    kept, the subject is centred and `margin` (share of `size`, in [0, 0.5)) stays free on each side. Raises
    DataError when the mask is empty.
    """
    box = get_bounding_box(cutout.mask > 0.02)
    if box is None:
        raise DataError("the reference shows no subject", hint=REMEDY)
    x0, y0, x1, y1 = box
    room = max(round(size * (1.0 - 2.0 * margin)), 1)
    scale = room / max(x1 - x0, y1 - y0)
    width, height = max(round((x1 - x0) * scale), 1), max(round((y1 - y0) * scale), 1)
    colour, weight = resize_subject(cutout.rgb[y0:y1, x0:x1], cutout.mask[y0:y1, x0:x1], (height, width))
    top, left = (size - height) // 2, (size - width) // 2
    rgb = np.full((size, size, 3), ground, dtype=np.uint8)
    mask = np.zeros((size, size), dtype=np.float32)
    window = (slice(top, top + height), slice(left, left + width))
    blended = colour * weight[..., None] + ground * (1.0 - weight[..., None])
    rgb[window] = np.rint(blended).astype(np.uint8)
    mask[window] = weight
    return rgb, mask
