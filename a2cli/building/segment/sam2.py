"""SAM 2's image model. Its own image processor needs torchvision, so another of Pillow's does the same steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from a2cli.building.config import SegmentConfig
from a2cli.building.records import Box
from a2cli.building.segment.sam import Found, build_found, find_best
from a2cli.metrics.models import get_device, get_model_name, load_model, load_processor, lower_precision

# What `Sam2ImageProcessor` takes where a model's preprocessor_config.json is silent.
DEFAULTS: dict[str, Any] = {
    "size": {"height": 1024, "width": 1024},
    "resample": 2,  # bilinear
    "rescale_factor": 1 / 255,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}


def load_sam2(config: SegmentConfig) -> Sam2Masker:
    """Open SAM 2's image part, also of a video model's weights; raises as `load_model` does."""
    from transformers import Sam2Model, ViTImageProcessorPil

    device = get_device(config.device)
    model = load_model(Sam2Model, config.model, device)
    stored, _ = load_processor(ViTImageProcessorPil.get_image_processor_dict, config.model)
    images = ViTImageProcessorPil(**{name: stored.get(name, value) for name, value in DEFAULTS.items()})
    return Sam2Masker(model, images, get_model_name(model, config.model), device)


@dataclass(frozen=True)
class Sam2Masker:
    """A loaded SAM 2. The picture is stretched to the model's square, and so is the box; masks are stretched back."""

    model: Any
    images: Any
    name: str
    device: str

    def find(self, rgb: np.ndarray, box: Box) -> Found | None:
        """See `Masker` in `building/segment/sam.py`."""
        import torch
        from torch.nn.functional import interpolate

        height, width = rgb.shape[:2]
        pixels = self.images(Image.fromarray(rgb), return_tensors="pt")["pixel_values"]
        down, across = pixels.shape[2] / height, pixels.shape[3] / width
        corners = [box.x0 * across, box.y0 * down, box.x1 * across, box.y1 * down]
        with torch.inference_mode():
            with lower_precision(self.device):
                seen = self.model.get_image_embeddings(pixels.to(self.device))
            outputs = self.model(
                image_embeddings=[level.float() for level in seen],
                input_boxes=torch.tensor([[corners]], device=self.device),
            )
            best, score = find_best(outputs.iou_scores)
            logits = outputs.pred_masks[:, 0, best : best + 1].float().cpu()  # (1, 1, h, w)
            mask = interpolate(logits, (height, width), mode="bilinear", align_corners=False)[0, 0] > 0
        return build_found(mask.numpy(), score)
