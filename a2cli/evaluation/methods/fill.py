"""The plain FLUX.1 Fill: what the base does with the prompt alone, without a reference."""

from __future__ import annotations

import math

import numpy as np

from a2cli.evaluation.config import MethodConfig
from a2cli.evaluation.methods.base import get_mask
from a2cli.evaluation.methods.peer import FillPipeline
from a2cli.evaluation.records.cases import Task
from a2cli.images.geometry import resize


class FillMethod:
    """diffusers' FluxFillPipeline on the whole photo, brought back to the photo's size.

    Nothing is pasted: pixels outside the mask are as the pipeline gives them, changed by its autoencoder, as everybody
    gets them who runs it.
    """

    def __init__(self, config: MethodConfig, *, device: str = "auto") -> None:
        self.name = config.name
        self.fill = FillPipeline(config, device=device)
        self.identity = {
            **self.fill.describe(config),
            "size": "the photo's aspect, about resolution^2 pixels",
            "reference": False,
            "paste_back": False,
        }

    def edit(self, task: Task) -> np.ndarray:
        """Repaint the photo; a mask too thin for the working size is what is left of it there, never nothing."""
        mask = get_mask(task)
        height, width = mask.shape
        size = get_size(height, width, self.fill.resolution, self.fill.backbone.traits.token_px)
        cover, case = resize(mask.astype(np.float32), size), task.case
        small = cover >= min(0.5, float(cover.max()))
        picture = self.fill.paint(
            resize(task.source, size),
            small,
            self.fill.encode_text(case.prompt or case.category),
            seed=task.seed,
        )
        return np.rint(np.clip(resize(picture, (height, width)), 0, 255)).astype(np.uint8)


def get_size(height: int, width: int, resolution: int, token_px: int) -> tuple[int, int]:
    """The working size (h, w): multiples of `token_px` near the photo's aspect, of about resolution^2 pixels."""
    scale = resolution / math.sqrt(height * width) / token_px
    return max(1, round(height * scale)) * token_px, max(1, round(width * scale)) * token_px
