"""Learnt no-reference quality: one of pyiqa's metrics (the extra `iqa`)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from a2cli.config.suggest import get_suggestion
from a2cli.errors import BackboneError, ConfigError, DataError
from a2cli.metrics.models import get_device, name_failure

EXTRA = "pip install 'a2cli[iqa]'"
SETS = re.compile(r"fid|inception_score")  # what pyiqa lists as no-reference, but judges sets of pictures


def build_metric(name: str, device: str) -> Metric:
    """Open the no-reference metric that pyiqa calls `name` ("musiq", "clipiqa", ...); `device` may be "auto".

    pyiqa fetches a metric's weights itself, from its own addresses, at the first use. Raises `DataError` without
    pyiqa, `ConfigError` for a name it does not know or that compares with a reference, `BackboneError` when the
    metric cannot be opened.
    """
    try:
        import pyiqa
    except ImportError as error:
        missing = f": {error}" if error.name and error.name.split(".")[0] != "pyiqa" else ""
        raise DataError(f"pyiqa is not installed{missing}", hint=EXTRA) from error
    known = [metric for metric in pyiqa.list_models("NR") if not SETS.search(metric)]
    if name not in known:
        of_others = name in pyiqa.list_models()
        why = "does not judge one picture by itself" if of_others else "is unknown to pyiqa"
        raise ConfigError(f"quality metric {name!r} {why}", hint=get_suggestion(name, known))
    device = get_device(device)
    with name_failure(f"pyiqa's {name}", hint="its weights come from the network at the first use"):
        metric = pyiqa.create_metric(name, device=device)
    version = getattr(pyiqa, "__version__", "")
    return Metric(metric, f"{name} (pyiqa {version})" if version else name, bool(metric.lower_better))


@dataclass(frozen=True)
class Metric:
    """An open metric. `lower_better` tells that pyiqa's own values fall with quality: `score` turns their sign."""

    metric: Any
    name: str
    lower_better: bool

    def score(self, rgb: np.ndarray) -> float:
        """Quality of a picture ((H, W, 3) uint8), in the metric's own units, larger is better.

        NIQE's 3.2 comes out as -3.2. Raises `BackboneError` when the metric fails or its value is not finite.
        """
        import torch

        pixels = (
            torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None].float() / 255
        )  # (1, 3, H, W)
        with name_failure(self.name, verb="fails", hint="another metric"), torch.no_grad():
            value = float(self.metric(pixels))
        if not math.isfinite(value):
            raise BackboneError(f"{self.name}: its value is {value}")
        return -value if self.lower_better else value
