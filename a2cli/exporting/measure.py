"""What freezing costs: edits by the frozen updates against edits by the routed experts, on pairs neither saw."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from a2cli.engine.adapters import bare
from a2cli.engine.pipeline import EditOptions, EditPipeline
from a2cli.exporting.deltas import LowRank
from a2cli.exporting.samples import Sample
from a2cli.metrics.pixel import get_errors

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Loss:
    """Mean absolute differences of 8-bit values under the mask, in [0, 1], over `samples` edits with one seed.

    `apart`: between the edits of frozen and routed adapter. `routed`, `frozen`, `base`: of the edits by the adapter as
    it is, frozen, and without it, to the true picture; None where that is unknown.
    """

    samples: int
    apart: float
    routed: float | None
    frozen: float | None
    base: float | None

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-ready values."""
        return {name: round(v, 6) if isinstance(v, float) else v for name, v in asdict(self).items()}

    def tell(self) -> str:
        """The loss in one sentence."""
        text = f"edits of {self.samples} held-out pairs are {self.apart:.4f} from the routed ones (mean absolute, 0..1)"
        if self.routed is None or self.frozen is None:
            return text
        return f"{text}; error to the true picture {self.frozen:.4f}, routed {self.routed:.4f}, base {self.base:.4f}"


@contextmanager
def applying(pipeline: EditPipeline, deltas: Mapping[str, LowRank]) -> Iterator[None]:
    """Let a pipeline's adapters be silent and fixed updates stand in for them, as a client of an export has it.

    The updates are added to what each linear says, so the weights are not touched and may be quantised.
    """
    with ExitStack() as stack:
        stack.enter_context(bare(pipeline.two_pass))
        for path, delta in deltas.items():
            module: nn.Module = pipeline.backbone.transformer.get_submodule(path)
            stack.callback(module.register_forward_hook(_get_hook(delta, pipeline.backbone.device)).remove)
        yield


def _get_hook(delta: LowRank, device: torch.device) -> Callable[[nn.Module, Any, Tensor], Tensor]:
    A, B = delta.A.to(device), delta.B.to(device)

    def add(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        x = inputs[0]
        return output + (x @ A.T.to(x.dtype) @ B.T.to(x.dtype)).to(output.dtype)

    return add


def measure_loss(
    pipeline: EditPipeline,
    deltas: Mapping[str, LowRank],
    samples: list[Sample],
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> Loss:
    """Edit every sample three times: as the adapter routes it, by fixed updates, and by the base alone."""
    apart: list[float] = []
    routed: list[float] = []
    frozen: list[float] = []
    base: list[float] = []
    for i, sample in enumerate(samples):
        mask = sample.mask > 0.5
        mask = mask if mask.any() else sample.mask > 0
        whole = _edit(pipeline, sample, seed)
        with applying(pipeline, deltas):
            fixed = _edit(pipeline, sample, seed)
        apart.append(get_errors(fixed, whole, mask, "mask")[0])
        if sample.target is not None:
            with bare(pipeline.two_pass):
                alone = _edit(pipeline, sample, seed)
            for values, edit in ((routed, whole), (frozen, fixed), (base, alone)):
                values.append(get_errors(edit, sample.target, mask, "mask")[0])
        if progress:
            progress("measuring", i + 1, len(samples))
    return Loss(len(samples), float(np.mean(apart)), _mean(routed), _mean(frozen), _mean(base))


def _edit(pipeline: EditPipeline, sample: Sample, seed: int) -> np.ndarray:
    options = EditOptions(prompt=sample.prompt, seed=seed)
    picture = pipeline.generate(sample.photo, sample.mask, sample.subject, options)[0]
    return np.round(picture).astype(np.uint8)


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None
