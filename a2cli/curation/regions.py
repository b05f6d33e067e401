"""Whether an edit's target mask is where the photos before and after it differ: of synthesised ones it must be."""

from __future__ import annotations

import cv2
import numpy as np

from a2cli.data.browse import Entry
from a2cli.data.provenance import parse_provenance

# A mask holds what is more than half covered, so pictures differ a little beyond its edge, in soft edges and in what is
# almost transparent. Of 960 drawn pairs of 48 to 512 px at most 2 % (of the mask's area) differ so much beyond the rim,
# and at least 72 % of what is marked differs: black outlines stay black when a thing is painted.
LEVELS = 32  # of 255, by which a pixel beyond the rim differs visibly
RIM = 64  # the rim is this part of the short side, 2 px at least
MOST_BEYOND = 0.1  # of the mask's area
LEAST_WITHIN = 0.5


def is_drawn(entry: Entry) -> bool:
    """Whether a record says that a2 synthesised it, so that its mask is exact."""
    tool = parse_provenance(entry.get_text("provenance")).tools.get("synth")
    return isinstance(tool, str) and tool.startswith("a2 ")


def find_wrong_region(source: np.ndarray, target: np.ndarray, mask: np.ndarray) -> str:
    """What speaks against `mask` (H, W) bool being where two pictures, (H, W, 3) uint8, differ; "" if nothing does."""
    marked = int(mask.sum())
    if not marked:
        return ""  # a fault of its own
    difference = cv2.absdiff(source, target).max(axis=2)
    rim = max(2, round(min(mask.shape) / RIM))
    grown = cv2.dilate(mask.astype(np.uint8), np.ones((2 * rim + 1, 2 * rim + 1), np.uint8)) > 0
    beyond = float(((difference > LEVELS) & ~grown).sum()) / marked
    if beyond > MOST_BEYOND:
        return f"src_image and tar_image differ beyond it, in {100 * beyond:.0f} % of its area"
    within = float((difference[mask] > 0).mean())
    if within < LEAST_WITHIN:
        return f"src_image and tar_image differ in {100 * within:.0f} % of it alone"
    return ""
