"""What a subject looks like to a transformers vision model: DINOv2, ViT, CLIP, SigLIP and their like."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from a2cli.errors import BackboneError, DataError
from a2cli.files import show_name
from a2cli.images.cutout import Cutout, crop_to_subject
from a2cli.images.geometry import get_bounding_box
from a2cli.metrics.models import get_device, get_model_name, load_model, load_processor, name_failure

GREY = 128  # what lies around the subject
MARGIN = 1 / 16  # of the square's side
REMEDY = "name a vision model, such as facebook/dinov2-base"


def build_embedder(model: str, device: str) -> Embedder:
    """Open a vision model (folder or hub id) with its image processor; `device` may be "auto".

    Raises what `load_model` raises, and `BackboneError` for a model that does not look at pictures.
    """
    from transformers import AutoImageProcessor, AutoModel

    device = get_device(device)
    # A BERT-like pooler is for classification, and many weights come without: it is not used, so it may lack.
    loaded = load_model(AutoModel, model, device, spare=("pooler.",))
    if loaded.main_input_name != "pixel_values" and not hasattr(loaded, "get_image_features"):
        raise BackboneError(f"{show_name(model)}: {type(loaded).__name__} takes no pictures", hint=REMEDY)
    processor = load_processor(AutoImageProcessor.from_pretrained, model, backend="pil")
    return Embedder(loaded, processor, get_model_name(loaded, model), device)


@dataclass(frozen=True)
class Embedder:
    """A loaded vision model, `name`d as provenance does.

    The feature is: of a model with two towers (CLIP, SigLIP), the picture's projected one; of one with a BERT-like
    pooler (ViT), the class token's last state; else what the model itself pools (DINOv2: the class token after its
    norm; SigLIP's tower: its attention head), and the mean state where it pools nothing.
    """

    model: Any
    processor: Any
    name: str
    device: str

    def embed(self, rgb: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        """The subject's feature: (d,) float32 of length 1.

        `rgb` (H, W, 3) uint8; `mask` (H, W) bool, None for the whole picture. Looked at is a square around the
        subject, everything else in it grey. Raises `DataError` for an empty mask or a feature that is not finite,
        `BackboneError` when the model fails.
        """
        import torch

        inputs = self.processor(Image.fromarray(isolate(rgb, mask)), return_tensors="pt")
        with name_failure(self.name, verb="gives no feature", hint=REMEDY), torch.inference_mode():
            feature = self._get_feature(inputs["pixel_values"].to(self.device))
        values = feature.float().cpu().numpy().astype(np.float64).reshape(-1)
        length = float(np.linalg.norm(values))
        if not np.isfinite(length) or length == 0:
            raise DataError(f"{self.name} gives no finite feature for this picture")
        return (values / length).astype(np.float32)

    def _get_feature(self, pixels: Any) -> Any:
        if hasattr(self.model, "get_image_features"):
            return self.model.get_image_features(pixel_values=pixels).pooler_output
        outputs = self.model(pixel_values=pixels)
        if any(name.startswith("pooler.") for name, _ in self.model.named_parameters()):
            return outputs.last_hidden_state[:, 0]
        pooled = getattr(outputs, "pooler_output", None)
        return outputs.last_hidden_state.mean(dim=1) if pooled is None else pooled


def isolate(rgb: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """The subject alone on a grey square, (s, s, 3) uint8, at its own scale.

    A sixteenth stays free on each side: a processor that scales to 256 and keeps the middle 224, as DINOv2's does,
    cuts nothing of the subject off. Raises `DataError` for an empty mask.
    """
    whole = np.ones(rgb.shape[:2], np.float32) if mask is None else mask.astype(np.float32)
    box = get_bounding_box(whole)
    if box is None:
        raise DataError("an empty mask has no subject to embed")
    side = math.ceil(max(box[2] - box[0], box[3] - box[1]) / (1 - 2 * MARGIN))
    return crop_to_subject(Cutout(rgb, whole), size=side, margin=MARGIN, ground=GREY)[0]
