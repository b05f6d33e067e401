"""One edit as an exported program sees it: the tensors of both passes, and where a2's own sampler takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from a2cli.context.layout import get_image_ids
from a2cli.context.passes import Condition, get_known_tokens
from a2cli.engine.pipeline import EditPipeline
from a2cli.engine.prepare import choose_size, get_start, prepare_edit, to_pixels
from a2cli.engine.sampling import EditOptions, Walk
from a2cli.errors import BackboneError, CheckpointError
from a2cli.exporting.functional import Tensors, functional_passes, get_length
from a2cli.exporting.samples import Sample
from a2cli.files import write_bytes

FILE = "example.safetensors"
TOLERANCE = 1e-3
TRACED = {"known_tokens": 7, "text_tokens": 3, "context_tokens": 11, "region_tokens": 5}  # any but 0 and 1

Run = Callable[[Mapping[str, Tensor]], Tensors]


@dataclass(frozen=True)
class Example:
    """The tensors of both passes for one edit, by name.

    `context` goes into the context pass, `kept` comes out of it and goes with `target` into every step. `sigmas`
    (steps + 1,) float32; `edited` (1, M, C) are the tokens a2 ends at when it starts at `noisy`.
    """

    context: Tensors
    kept: Tensors
    target: Tensors
    sigmas: Tensor
    edited: Tensor

    def to_tensors(self) -> Tensors:
        """All but `kept` on the CPU under one name each, as it is written to a file."""
        every = {**self.context, **self.target, "sigmas": self.sigmas, "edited": self.edited}
        del every["sigma"]  # the first of `sigmas`
        return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in every.items()}


@torch.no_grad()
def build_example(pipeline: EditPipeline, sample: Sample) -> Example:
    """Prepare an edit as a2 does and sample it with a2's own passes."""
    traits = pipeline.backbone.traits
    size = (
        choose_size(sample.mask, traits.resolution, traits.token_px)
        if pipeline.buckets
        else traits.resolution
    )
    prepared = prepare_edit(
        sample.photo,
        sample.mask,
        sample.subject,
        size=size,
        ref_size=traits.resolution,
        context=traits.context,
        collage=traits.collage,
    )
    start = None
    if traits.prior_noise is not None:
        start = pipeline.backbone.encode_pixels(
            to_pixels(get_start(prepared)[None]).to(pipeline.backbone.device)
        )
    condition = pipeline.build_condition(prepared, sample.prompt)
    walk = Walk(pipeline.two_pass, traits, condition, EditOptions(), start=start)
    context, target = _get_inputs(pipeline, condition, walk)
    walk.advance()
    with functional_passes(pipeline) as (context_pass, _), torch.no_grad():
        kept = context_pass(context)
    return Example(context, kept, target, walk.sigmas.float().cpu(), walk.tokens)


def _get_inputs(pipeline: EditPipeline, condition: Condition, walk: Walk) -> tuple[Tensors, Tensors]:
    dtype = pipeline.backbone.transformer.dtype
    tokens, positions = get_known_tokens(condition)
    shared = {"pooled": condition.pooled.to(dtype)}
    if getattr(pipeline.backbone.transformer.config, "guidance_embeds", False):
        shared["guidance"] = condition.pooled.new_full((1,), float(pipeline.backbone.traits.guidance)).to(
            dtype
        )
    context = {
        "known": tokens.to(dtype),
        "known_positions": positions,
        "text": condition.text.to(dtype),
        **shared,
    }
    filling = torch.cat([condition.masked, condition.mask], -1)[:, walk.region].to(dtype)
    target = {
        "noisy": walk.tokens.to(dtype),
        "filling": filling,
        "positions": get_image_ids(condition.grid, 0, condition.masked.device)[walk.region],
        "sigma": walk.sigmas[:1].to(positions),
        **shared,
    }
    return context, target


def write_example(example: Example, folder: Path) -> None:
    """Write example.safetensors: what a client in any language can check itself with."""
    from safetensors.torch import save

    write_bytes(save(example.to_tensors()), folder / FILE, error=CheckpointError)


def get_traced(inputs: Mapping[str, Tensor]) -> Tensors:
    """Zeros like the tensors, with every length that may differ set to the one traces are made with."""
    zeros = {}
    for name, tensor in inputs.items():
        shape, place = list(tensor.shape), get_length(name)
        if place is not None:
            shape[place[0]] = TRACED[place[1]]
        zeros[name] = tensor.new_zeros(shape)
    return zeros


def shorten(inputs: Mapping[str, Tensor]) -> Tensors:
    """The tensors with every length that may differ one less, or 1."""
    cut = {}
    for name, tensor in inputs.items():
        place = get_length(name)
        cut[name] = (
            tensor if place is None else tensor.narrow(place[0], 0, max(1, tensor.shape[place[0]] - 1))
        )
    return cut


def get_difference(got: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> float:
    """The largest difference between tensors of one name, as a share of that tensor's largest value or of 1."""
    worst = torch.zeros(())
    for name, tensor in wanted.items():
        off = (got[name].float().cpu() - tensor.float().cpu()).abs().max()
        worst = worst.maximum(off / max(1.0, float(tensor.abs().max())))  # keeps NaN, as max() does not
    return float(worst)


@torch.no_grad()
def check_programs(pipeline: EditPipeline, example: Example, context: Run, target: Run) -> float:
    """Compare exported programs with a2's own passes: the largest difference, as `get_difference` has it.

    At the example's lengths and at others. Raises BackboneError above 1e-3, and for NaN.
    """
    worst = 0.0
    with functional_passes(pipeline) as (own_context, own_target), torch.no_grad():
        shorter = shorten(example.context)
        for inputs, kept, cut in (
            (example.context, example.kept, dict),
            (shorter, own_context(shorter), shorten),
        ):
            rest = cut({**example.target, **kept})
            for got, wanted in ((context(inputs), kept), (target(rest), own_target(rest))):
                difference = get_difference(got, wanted)
                if not difference <= TOLERANCE:  # NaN is not
                    raise BackboneError(
                        f"the exported passes differ from a2's by {difference:.2g}, more than {TOLERANCE:g}",
                        hint="--dtype float32",
                    )
                worst = max(worst, difference)
    return worst
