"""How well a map and the region cut out of it tell where a thing is. Functions of arrays."""

from __future__ import annotations

import numpy as np

from a2cli.masks.morph import get_iou

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


def get_auc(soft: np.ndarray, truth: np.ndarray) -> float:
    """The area under the ROC curve over pixels, in [0, 1], by their ranks; 0.5 of a flat map.

    Source: Mann and Whitney, On a test of whether one of two random variables is stochastically larger, 1947.
    """
    _, place, counts = np.unique(soft, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place].reshape(
        soft.shape
    )  # mean rank of equal values, from 1
    inside = int(truth.sum())
    wins = float(ranks[truth].sum()) - inside * (inside + 1) / 2
    return wins / (inside * (truth.size - inside))
