"""Box to mask with SAM (Kirillov et al. 2023) or SAM 2 (Ravi et al. 2024)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from PIL import Image

from a2cli.building.config import SegmentConfig
from a2cli.building.records import Box, Item, Reject, View, drop_views
from a2cli.metrics.models import (
    get_device,
    get_model_name,
    load_model,
    load_processor,
    lower_precision,
    name_view,
)

NOTHING = "no mask"


@dataclass(frozen=True)
class Found:
    """A mask (H, W) bool, and the model's own estimate of its overlap with the truth, in (0, 1]."""

    mask: np.ndarray
    score: float


class Masker(Protocol):
    """What finds the mask of a box; `name`d as provenance does."""

    @property
    def name(self) -> str: ...

    def find(self, rgb: np.ndarray, box: Box) -> Found | None:
        """The mask of what lies in `box` of `rgb` ((H, W, 3) uint8), at its size; None where there is none."""
        ...


class SamSegmenter:
    """The stage "segment" on a transformers model: a view's best box becomes its mask.

    Masks that came with the data are kept without a model call. `scores["mask_score"]` of a view is the model's
    estimate of the overlap with the truth. Views without a box, with an empty mask or a score that is none are
    dropped.
    """

    name = "segment"
    gpu = True

    def __init__(self, config: SegmentConfig) -> None:
        self.config = config
        self._masker: Masker | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"config": self.config, "_masker": None}  # the model stays where it was loaded

    def __call__(self, item: Item) -> Item | Reject:
        """Give every view its mask. Raises what `load_model` raises, and `DataError` where the model fails."""
        kept = [view for view in map(self._mask, item.views) if view is not None]
        used = any(view.mask is None and view.boxes for view in item.views)
        tool = self._masker.name if used and self._masker else "given"
        item = drop_views(
            replace(item, tools={**item.tools, self.name: tool}),
            kept,
            [NOTHING] * (len(item.views) - len(kept)),
        )
        if kept:
            return item
        detail = f"the model marks nothing in the boxes of {item.dropped.get(NOTHING, 0)} views"
        return Reject(item.id, self.name, NOTHING, detail, item.dropped)

    def _mask(self, view: View) -> View | None:
        if view.mask is not None:
            return view if view.mask.any() else None
        if not view.boxes:
            return None
        masker = self._masker = self._masker or load_masker(self.config)
        with name_view(view.name):
            found = masker.find(view.rgb, view.boxes[0])
        if found is None:
            return None
        return replace(view, mask=found.mask, scores={**view.scores, "mask_score": found.score})


def load_masker(config: SegmentConfig) -> Masker:
    """Open the model that `config` names; raises as `load_model` does."""
    if config.method == "sam2":
        from a2cli.building.segment.sam2 import load_sam2

        return load_sam2(config)
    from transformers import SamImageProcessorPil, SamModel, SamProcessor

    device = get_device(config.device)
    model = load_model(SamModel, config.model, device)
    processor = SamProcessor(load_processor(SamImageProcessorPil.from_pretrained, config.model))
    return SamMasker(model, processor, get_model_name(model, config.model), device)


@dataclass(frozen=True)
class SamMasker:
    """A loaded SAM. The picture is scaled to the model's long side and padded below and to the right.

    The box passes the same scale; masks are cut to the picture before they return to its size.
    """

    model: Any
    processor: Any
    name: str
    device: str

    def find(self, rgb: np.ndarray, box: Box) -> Found | None:
        """See `Masker`."""
        import torch

        corners = [box.x0, box.y0, box.x1, box.y1]
        inputs = self.processor(images=Image.fromarray(rgb), input_boxes=[[corners]], return_tensors="pt")
        with torch.inference_mode():
            with lower_precision(self.device):
                seen = self.model.get_image_embeddings(inputs["pixel_values"].to(self.device))
            outputs = self.model(
                image_embeddings=seen.float(), input_boxes=inputs["input_boxes"].float().to(self.device)
            )
        best, score = find_best(outputs.iou_scores)
        masks = self.processor.post_process_masks(
            outputs.pred_masks[:, :, best : best + 1].cpu(),
            inputs["original_sizes"],
            inputs["reshaped_input_sizes"],
        )
        return build_found(masks[0][0, 0].numpy(), score)


def find_best(scores: Any) -> tuple[int, float]:
    """Index and value of the best of a box's masks; scores (1, 1, masks) on any device."""
    values = scores[0, 0].float().cpu()
    best = int(values.nan_to_num(-math.inf).argmax())
    return best, float(values[best])


def build_found(mask: np.ndarray, score: float) -> Found | None:
    """A mask with its score, which a model may put a little above 1; None for an empty mask or a score of 0 or less."""
    if not mask.any() or not math.isfinite(score) or score <= 0:
        return None
    return Found(mask, min(score, 1.0))
