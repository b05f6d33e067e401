"""Drawing what belongs together together: InfoNCE on the features of blocks (X2Edit, eq. 6-9)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.hooks import RemovableHandle

from a2cli.mot.model import MotBlock


def contrastive_loss(features: Tensor, labels: Sequence[str], tau: float = 0.5) -> Tensor:
    """Get the task-aware contrastive term of one block, a scalar; 0 where no two samples share a label.

    features (B, ...), one block's tokens, are flattened and normalised; labels name each sample's task or
    category. The mean over samples i of -log(sum_j exp(-D_ij / tau) M_ij / sum_k exp(-D_ik / tau)), D the squared
    Euclidean distance, M 1 for other samples of the same label; samples without such a partner, for which the
    paper's logarithm does not exist, do not count. Source: X2Edit, equations 6-9.
    """
    unit = functional.normalize(features.float().flatten(1), dim=1)
    logits = -(2 - 2 * unit @ unit.T) / tau  # the squared distance of unit vectors
    same = torch.tensor([[a == b for b in labels] for a in labels], device=logits.device)
    same = same & ~torch.eye(len(labels), dtype=torch.bool, device=logits.device)
    paired = same.any(dim=1)
    if not bool(paired.any()):
        return features.sum() * 0.0
    near = logits.masked_fill(~same, -torch.inf)[paired].logsumexp(dim=1)
    return (logits[paired].logsumexp(dim=1) - near).mean()


class FeatureTap:
    """Keeps what chosen blocks return while it is open: the image tokens, by block name, with their graph."""

    def __init__(self, blocks: Sequence[MotBlock]) -> None:
        self.features: dict[str, Tensor] = {}
        self._open = False
        self._hooks: list[RemovableHandle] = [
            block.module.register_forward_hook(self._make_hook(block.name)) for block in blocks
        ]

    def _make_hook(self, name: str) -> Any:
        def keep(module: Any, args: Any, output: Any) -> None:
            if self._open:
                self.features[name] = output[-1] if isinstance(output, tuple) else output  # text, image

        return keep

    def __enter__(self) -> FeatureTap:
        self.features, self._open = {}, True
        return self

    def __exit__(self, *_: object) -> None:
        self._open = False

    def remove(self) -> None:
        """Take the hooks out of the blocks."""
        for hook in self._hooks:
            hook.remove()
