"""The loss of a predicted region (Edit Where You Mean, equation 9)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

SMOOTH = 1.0  # cells added above and below: an empty mask that is predicted empty has Dice 1, not 0 / 0


def mask_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """BCE + 1 - soft Dice, a scalar: equation 9 with its lambda_dice of 1.

    logits (B, h, w), mask (B, h, w) in [0, 1], in float32 whatever comes in. Dice is taken of each picture, then
    averaged. Raises ValueError where the shapes differ.
    """
    if logits.shape != mask.shape:
        raise ValueError(f"logits are {tuple(logits.shape)}, the mask {tuple(mask.shape)}")
    logits, mask = logits.float(), mask.float()
    bce = F.binary_cross_entropy_with_logits(logits, mask)
    return bce + (1 - get_dice(logits.sigmoid(), mask).mean())


def get_dice(soft: Tensor, mask: Tensor) -> Tensor:
    """Soft Dice of each picture, (B,): 2 sum(p m) / (sum p + sum m), both smoothed; soft, mask (B, h, w)."""
    shared = (soft * mask).flatten(1).sum(1)
    return (2 * shared + SMOOTH) / (soft.flatten(1).sum(1) + mask.flatten(1).sum(1) + SMOOTH)
