"""How well a map and the region cut out of it tell where a thing is. Functions of arrays."""

from __future__ import annotations

import numpy as np

from a2cli.masks.morph import get_iou
from a2cli.metrics.region import get_auc

HALF = 0.5  # IoU from which a thing counts as found
WORDS = {
    "iou": "intersection over union of the region and what can be seen of the thing",
    "found": f"share of the records where that is at least {HALF:g}",
    "pointing": "share of the records where the map's peak lies on the thing; of several equal peaks their share",
    "auc": "probability that a pixel of the thing has a higher value than one of the rest; equal ones count half",
    "size": "area of the region over the thing's",
}


def get_scores(soft: np.ndarray, region: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """The values of `WORDS` of a map (H, W) float and a region (H, W) bool against a thing (H, W) bool, not empty.

    AUC is left out where the thing fills the picture.
    """
    iou = get_iou(region, truth)
    scores = {
        "iou": iou,
        "found": float(iou >= HALF),
        "pointing": get_pointing(soft, truth),
        "size": float(region.sum() / truth.sum()),
    }
    return scores if truth.all() else {**scores, "auc": get_auc(soft, truth)}


def get_pointing(soft: np.ndarray, truth: np.ndarray) -> float:
    """The share of a map's highest pixels that lie on the thing, in [0, 1]: chance for a map that is flat.

    Source: Zhang et al., Top-down neural attention by excitation backprop, 2016: the pointing game, here without its
    tolerance of 15 px.
    """
    return float(truth[soft == soft.max()].mean())
