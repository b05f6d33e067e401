"""InsertAnything's way of editing: reference and photo side by side on one canvas that FLUX.1 Fill completes."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from a2cli.engine.prepare import to_pixels
from a2cli.evaluation.config import MethodConfig
from a2cli.evaluation.methods.base import get_mask, get_subject
from a2cli.evaluation.methods.peer import Embeddings, FillPipeline, load_redux
from a2cli.evaluation.records.cases import Task
from a2cli.files import get_source_name
from a2cli.images.cutout import crop_to_subject
from a2cli.images.geometry import Crop, crop_image, crop_mask, get_zoom_crop, paste_back

# As its published inference has them.
DILATION = 13  # px, side of the square the mask is dilated by
CONTEXT = 2.4  # side of the square crop over the longest side of the dilated mask
MARGIN = (1 - 1 / 1.3) / 2  # free share of the reference's side around the subject
ZERO_TOKENS = 512  # text tokens that are zero beside Redux's


class DiptychMethod:
    """Reference left, photo right, the mask on the right half; that half replaces the crop's whole rectangle.

    With a LoRA and Redux's tokens in place of text, as InsertAnything has them, it is that method; without Redux the
    case's prompt stands in. Where the crop reaches past the photo its border pixels go on, while the original is white
    there. Source: Song et al., Insert Anything, 2025.
    """

    def __init__(self, config: MethodConfig, *, device: str = "auto") -> None:
        self.name = config.name
        self.fill = FillPipeline(config, device=device)
        if config.redux is not None:
            load_redux(self.fill.backbone, config.redux, self.fill.dtype)
        (lora,) = config.adapters or ("none",)
        lora_hash = self.fill.add_lora(lora) if lora != "none" else ""
        self.redux = "image_encoder" in self.fill.backbone.components
        self.identity = {
            **self.fill.describe(config),
            "adapter": get_source_name(lora),
            "adapter_hash": lora_hash[:16],
            "text": "zeros and Redux tokens" if self.redux else "prompt",
            "redux": get_source_name(config.redux) if config.redux else None,
            "dilation": DILATION,
            "context": CONTEXT,
            "paste_back": "rectangle",
        }

    def edit(self, task: Task) -> np.ndarray:
        """Complete the canvas and paste the rectangle back: pixels outside the mask change."""
        side = self.fill.resolution
        subject = get_subject(task.case)
        reference, _ = crop_to_subject(subject, size=side, margin=MARGIN)
        crop, canvas, mask = build_canvas(task.source, get_mask(task), reference)
        picture = self.fill.paint(canvas, mask, self._encode(reference, task), seed=task.seed)
        return paste_back(task.source, picture[:, side:], crop)

    @torch.no_grad()
    def _encode(self, reference: np.ndarray, task: Task) -> Embeddings:
        backbone = self.fill.backbone
        if not self.redux:
            return self.fill.encode_text(task.case.prompt or task.case.category)
        image = backbone.encode_reference(to_pixels(reference[None]).to(backbone.device))
        zeros = torch.zeros(1, ZERO_TOKENS, image.shape[-1]).to(image)
        pooled = torch.zeros(1, backbone.transformer.config.pooled_projection_dim).to(image)
        return torch.cat([zeros, image], 1), pooled


def build_canvas(
    source: np.ndarray, mask: np.ndarray, reference: np.ndarray
) -> tuple[Crop, np.ndarray, np.ndarray]:
    """Lay a diptych out: the crop its right half shows, the canvas (S, 2 S, 3) uint8, its mask (S, 2 S) bool.

    `source` (H, W, 3) uint8, `mask` (H, W) bool, not empty; `reference` (S, S, 3) uint8. The mask never vanishes at
    the canvas's scale.
    """
    side = reference.shape[0]
    dilated = cv2.dilate(mask.astype(np.uint8), np.ones((DILATION, DILATION), np.uint8)) > 0
    crop = get_zoom_crop(dilated, size=side, context=CONTEXT)
    cover = crop_mask(dilated, crop)
    right = cover >= min(0.5, float(cover.max()))
    canvas = np.concatenate([reference, crop_image(source, crop)], axis=1)
    return crop, canvas, np.concatenate([np.zeros_like(right), right], axis=1)
