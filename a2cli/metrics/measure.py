"""What an open metric does: shots in, named values out. A value that cannot be had is left out, never a number."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from a2cli.metrics.shots import Shot
from a2cli.metrics.table import MetricInfo

Values = dict[str, float]
"""Values of one edit by name, such as {"ssim": 0.91, "ssim@mask": 0.72}."""


@dataclass(frozen=True)
class Weights:
    """Where the networks of metrics come from: hub ids, or folders and files on disk.

    `folder` holds what is there of clip/, dinov2/, dino/, lpips/ and inception.safetensors, and goes before the single
    names. `lpips` is a folder with alexnet, vgg16, squeezenet1_1 .safetensors (torchvision's names of tensors) and
    lpips_alex, lpips_vgg, lpips_squeeze .safetensors (the linear weights); `inception` a file with pytorch-fid's names.
    """

    folder: str | None = None
    clip: str = "openai/clip-vit-base-patch32"
    dinov2: str = "facebook/dinov2-base"
    dino: str = "facebook/dino-vits16"
    lpips: str | None = None
    inception: str | None = None


class Measure(Protocol):
    """Metrics of one family, open. `implementation` goes on record: library and version, weights and their hash."""

    infos: Sequence[MetricInfo]
    implementation: str

    def measure(self, shots: Sequence[Shot]) -> list[Values]:
        """The values of each shot, all regions; what a shot has no target, source, reference or prompt for is left out.

        Values depend neither on the order nor on how many shots come together.
        """
        ...


class SetMeasure(Protocol):
    """Metrics of all edits together."""

    infos: Sequence[MetricInfo]
    implementation: str

    def embed(self, shots: Sequence[Shot]) -> list[Mapping[str, np.ndarray]]:
        """Features of each shot, by key of `infos`: (2, d) float32, edit and target; none without a target."""
        ...

    def compare(self, features: Mapping[str, np.ndarray]) -> Values:
        """Values by name from stacked features (n, 2, d), n >= 2."""
        ...


@dataclass
class ShotMeasure:
    """A `Measure` that looks at one shot at a time.

    `get_values` gives all values of its family that a shot has; kept are those of `infos` that are finite. It is a
    function of a module, so that the measure can be sent to another process.
    """

    infos: Sequence[MetricInfo]
    implementation: str
    get_values: Callable[[Shot], Values]

    def measure(self, shots: Sequence[Shot]) -> list[Values]:
        """The values of each shot by name."""
        wanted = {key for info in self.infos for key in info.keys}
        found = (self.get_values(shot) for shot in shots)
        return [
            {key: value for key, value in values.items() if key in wanted and math.isfinite(value)}
            for values in found
        ]
