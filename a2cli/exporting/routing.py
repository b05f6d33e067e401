"""Freezing the experts' routing: the gates of one context pass, or their mean over many."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from a2cli.config.export import SYNTH, ExportConfig
from a2cli.engine.pipeline import EditPipeline
from a2cli.engine.prepare import choose_size, prepare_edit
from a2cli.errors import DataError
from a2cli.exporting.samples import Sample
from a2cli.files import get_source_name, show_name

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class FrozenRouting:
    """Gates that no input changes any more.

    `gates`: block name -> (N,) float32 on the CPU, the mean over `samples` context passes. `chosen`: the share of
    those that used each expert. `spread`: how far a pass is from the mean, averaged over passes, blocks and experts; 0
    says that the experts of this adapter do not depend on the input. `label` names the routing for a file ("usage",
    "garments", "cat.png"), `said` tells it in words.
    """

    gates: dict[str, Tensor]
    chosen: dict[str, Tensor]
    samples: int
    spread: float
    label: str
    said: str

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-ready values."""
        rounded = {name: [round(float(v), 8) for v in gates] for name, gates in self.gates.items()}
        chosen = {name: [round(float(v), 4) for v in shares] for name, shares in self.chosen.items()}
        return {
            "label": self.label,
            "of": self.said,
            "samples": self.samples,
            "spread": round(self.spread, 6),
            "gates": rounded,
            "chosen": chosen,
        }


def get_frozen_gates(
    pipeline: EditPipeline,
    samples: Iterable[Sample],
    *,
    label: str,
    said: str,
    total: int = 1,
    progress: Progress | None = None,
) -> FrozenRouting:
    """Run the context pass of every sample and average the gates.

    `pipeline` has experts. `total` is what `progress` is told. Raises DataError when there is no sample.
    """
    names = [block.name for block in pipeline.experts.blocks]
    every: list[Tensor] = []
    for i, sample in enumerate(samples):
        gates = get_gates(pipeline, sample)
        every.append(torch.stack([gates[name] for name in names]))
        if progress:
            progress("routing", i + 1, max(total, i + 1))
    if not every:
        raise DataError("there is no edit to freeze the routing of")
    stack = torch.stack(every)  # (samples, blocks, N)
    mean, chosen = stack.mean(0), (stack != 0).float().mean(0)
    return FrozenRouting(
        dict(zip(names, mean, strict=True)),
        dict(zip(names, chosen, strict=True)),
        len(every),
        float((stack - mean).abs().mean()),
        label,
        said,
    )


@torch.no_grad()
def get_gates(pipeline: EditPipeline, sample: Sample) -> dict[str, Tensor]:
    """The gates (N,) float32 of each block for one edit, as `pipeline` would route it."""
    traits = pipeline.backbone.traits
    buckets = choose_size(sample.mask, traits.resolution, traits.token_px)
    prepared = prepare_edit(
        sample.photo,
        sample.mask,
        sample.subject,
        size=buckets if pipeline.buckets else traits.resolution,
        ref_size=traits.resolution,
        context=traits.context,
        collage=traits.collage,
    )
    cache = pipeline.two_pass.encode_context(pipeline.build_condition(prepared, sample.prompt))
    gates = {name: value[0].float().cpu() for name, value in cache.routing.items()}
    pipeline.experts.clear_routing()
    return gates


def describe_routing(config: ExportConfig) -> tuple[str, str]:
    """What the frozen routing of an export is called, and what it is the routing of."""
    data = "synthesised" if config.data == SYNTH else show_name(get_source_name(config.data))
    if config.ref is not None:
        name = show_name(get_source_name(config.ref))
        if config.photo is not None:
            return name, f"one context pass with {name} in {show_name(get_source_name(config.photo))}"
        return name, f"context passes with {name} over photos of {data} training pairs, averaged"
    if config.category is not None:
        return (
            config.category,
            f"context passes of {data} training pairs of category {config.category}, averaged",
        )
    return "usage", f"context passes of {data} training pairs of all categories, averaged"
