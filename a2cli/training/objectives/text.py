"""Training a text encoder and a predictor of masks together: to find what a sentence names, one must know names.

Words and looks first meet in the names of things; from there on the masks are learned beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from a2cli.context.layout import PATCH
from a2cli.data.records import Pair
from a2cli.engine.words import get_text_reader
from a2cli.region.region_loss import mask_loss
from a2cli.training.config import TrainConfig
from a2cli.training.looks import mark_keyword
from a2cli.training.naming import UNKNOWN, get_labels, naming_loss, pooling_loss
from a2cli.training.objectives.region import RegionObjective, get_overlap
from a2cli.training.text_weights import TextWeights


class TextObjective(RegionObjective):
    """Names and colours of things, which words are read, and the masks of what they name."""

    def __init__(self, config: TrainConfig, *, half: bool = False) -> None:
        super().__init__(config, half=half)
        assert config.naming is not None and isinstance(self.trainable, TextWeights)
        self.naming, self.heads = config.naming, self.trainable.heads
        self.reader = get_text_reader(self.backbone)

    def is_alone(self, step: int) -> bool:
        """Whether nothing but names is learned yet."""
        return step < self.naming.alone * self.config.steps

    def make_batch(self, step: int, samples: Sequence[int]) -> dict[str, Any]:
        """`looks` at the photos of instruction pairs, with the rows of their keywords and the classes of things."""
        return {**super().make_batch(step, samples), "alone": self.is_alone(step)}

    def _look(self, pair: Pair, row: int, sample: int) -> dict[str, Any]:
        rows, labels = mark_keyword(pair, self.reader), get_labels(pair)
        if not rows.any():
            for key in ("name_said", "colour_said"):
                labels[key].fill(UNKNOWN)
        return {**super()._look(pair, row, sample), "rows": rows, **labels}

    def get_group(self, name: str) -> str:
        """One group: the predictor learns nothing that its text encoder does not."""
        return ""

    def loss(
        self, batch: dict[str, Any], total: float, seeds: Sequence[int]
    ) -> tuple[Tensor, dict[str, float]]:
        """Names, attention and, after the first steps, masks, each with its weight; nothing to look at counts as 0."""
        looks, alone = batch["looks"], batch["alone"]
        masks = () if alone else ("mask_loss", "mask_iou")
        figures = dict.fromkeys(("naming", "names_seen", "names_said", "pooling", *masks), 0.0)
        loss = next(p for _, p in self.named_parameters()).sum() * 0
        if not looks:
            return loss, figures
        predictor = self.handle.predictor
        assert predictor is not None
        features = predictor.encode(*self.encode_photos(looks, [seeds[row] for row in looks["row"]]))
        states = self.reader.encode(looks["sentence"])[0].float()
        rows, truth = (looks[key].to(self.device, non_blocking=True) for key in ("rows", "cover"))

        seen = self.heads.see(features, F.avg_pool2d(truth, PATCH))
        naming, right = naming_loss(self.heads, seen, self.heads.hear(states, rows), looks)
        pooling = pooling_loss(predictor.instruction.get_weights(states), rows)
        loss = loss + (1.0 if alone else self.naming.weight) * naming + self.naming.pool * pooling
        figures |= {"naming": naming.item(), "pooling": pooling.item(), **right}
        if not alone:
            pooled = predictor.instruction(states)  # `pool` would detach the states
            logits = predictor.decode(features, pooled)
            error = mask_loss(logits, truth)
            loss = loss + self.config.mask_weight * error
            figures |= {"mask_loss": error.item(), "mask_iou": get_overlap(logits, truth)}
        return loss, figures

    def describe(self, step: int) -> dict[str, Any]:
        """Whether names are learned alone, or masks with them."""
        return {"stage": "names" if self.is_alone(step) else "names and masks"}
