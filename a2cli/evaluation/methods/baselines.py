"""Edits without a network, as rows of the table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from a2cli import __version__
from a2cli.errors import DataError
from a2cli.evaluation.config import MethodConfig, MethodKind
from a2cli.evaluation.methods.base import get_mask, get_subject
from a2cli.evaluation.records.cases import Task
from a2cli.metrics import baselines

Paste = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]
PASTES: dict[MethodKind, Paste] = {
    "mean": baselines.fill_mean,
    "paste": baselines.paste_reference,
    "registered": baselines.register_and_paste,
    "poisson": baselines.paste_poisson,
}


class BaselineMethod:
    """One of `BASELINES`; nothing outside the mask changes but under `target`."""

    def __init__(self, config: MethodConfig) -> None:
        self.name, self.kind = config.name, config.kind
        self.identity: dict[str, Any] = {
            "kind": config.kind,
            "baseline": True,
            "a2": __version__,
            "opencv": cv2.__version__,
        }

    def edit(self, task: Task) -> np.ndarray:
        """Fill the mask. Raises `DataError` where the reference or the target is missing and needed."""
        if self.kind == "target":
            if task.case.target is None:
                raise DataError(f"{task.case.id}: no target", hint="no true edit of this record is known")
            return task.case.target
        mask = get_mask(task)
        if self.kind == "telea":
            return baselines.fill_telea(task.source, mask)
        subject = get_subject(task.case)
        return PASTES[self.kind](task.source, mask, subject.rgb, subject.mask >= 0.5)
