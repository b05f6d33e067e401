"""a2 as a row of the table: what `a2 edit` makes of the same photo, mask and reference."""

from __future__ import annotations

from typing import Any

import numpy as np

from a2cli import __version__
from a2cli.engine.pipeline import EditOptions, EditPipeline
from a2cli.evaluation.config import MethodConfig
from a2cli.evaluation.methods.base import get_subject
from a2cli.evaluation.records.cases import Task
from a2cli.files import get_source_name


class A2Method:
    """A backbone with its adapter. The prompt is the case's, its category where it has none, as in training."""

    def __init__(self, config: MethodConfig, *, device: str = "auto") -> None:
        self.name, self.steps, self.guidance = config.name, config.steps, config.guidance
        self.pipeline = EditPipeline.load(
            config.backbone, model=config.model, adapter=config.adapter, device=device
        )
        backbone = self.pipeline.backbone
        traits = backbone.traits
        self.identity: dict[str, Any] = {
            "kind": "a2",
            "baseline": False,
            "a2": __version__,
            "backbone": config.backbone,
            "model": get_source_name(config.model or "default"),
            "base_hash": backbone.base_hash[:16],
            "adapter": get_source_name(config.adapter or "default"),
            "adapter_hash": self.pipeline.adapter_hash[:16],
            "resolution": traits.resolution,
            "steps": traits.steps if config.steps is None else config.steps,
            "guidance": traits.guidance if config.guidance is None else config.guidance,
            "dtype": str(next(backbone.transformer.parameters()).dtype).removeprefix("torch."),
            "paste_back": "mask",
        }

    def edit(self, task: Task) -> np.ndarray:
        """Edit; pixels outside the mask are the source's own."""
        subject, case = get_subject(task.case), task.case
        options = EditOptions(case.prompt or case.category, self.steps, self.guidance, task.seed)
        picture = self.pipeline.generate(task.source, task.mask.astype(np.float32), subject, options)[0]
        return np.where(task.mask[..., None], np.rint(picture).astype(np.uint8), task.source)
