"""The two passes as functions of tensors: what keeps its keys in a cache here takes and gives them by name.

A graph has no memory between calls. `ContextPass` gives what `TwoPass.encode_context` would keep, `TargetPass` takes
it; both read and return dicts of named tensors, which are the inputs and outputs of an exported program.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from a2cli.context.cache import ContextCache
from a2cli.context.passes import TwoPass
from a2cli.engine.pipeline import EditPipeline
from a2cli.errors import BackboneError
from a2cli.exporting.deltas import Deltas

Tensors = dict[str, Tensor]

# Which dimension of a tensor may have another length in each call, and what its length is called.
LENGTHS: dict[str, tuple[int, str]] = {
    "known": (1, "known_tokens"),
    "known_positions": (0, "known_tokens"),
    "text": (1, "text_tokens"),
    "noisy": (1, "region_tokens"),
    "filling": (1, "region_tokens"),
    "positions": (0, "region_tokens"),
    "velocity": (1, "region_tokens"),
}


def get_length(name: str) -> tuple[int, str] | None:
    """The dimension of tensor `name` that may differ from call to call, and its length's name; None: all are fixed."""
    if name.startswith(("key_", "value_")):
        return 1, "context_tokens"
    return LENGTHS.get(name)


class _Pass(nn.Module):
    """What both passes share: the transformer and who runs it."""

    def __init__(self, two_pass: TwoPass, blocks: list[str]) -> None:
        super().__init__()
        self.transformer = two_pass.transformer  # its parameters are this module's
        self.two_pass = two_pass
        self.blocks = blocks

    @contextmanager
    def _guided(self, inputs: Mapping[str, Tensor]) -> Iterator[None]:
        before = self.two_pass.guidance
        self.two_pass.guidance = inputs.get("guidance", before)
        try:
            yield
        finally:
            self.two_pass.guidance = before


class ContextPass(_Pass):
    """The context pass of one edit.

    Reads `known` (1, K, in_channels), `known_positions` (K, 3), `text` (1, T, J), `pooled` (1, Q) and, where the model
    has a guidance embedding, `guidance` (1,). Returns `key_i` and `value_i` (1, T + K, heads, head_dim) of block i,
    and of experts that route `gates` (blocks, N).
    """

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensors:
        cache = ContextCache()
        experts = self.two_pass.experts
        if experts is not None:
            experts.mode, experts.token_mask = "route", None
        with self._guided(inputs):
            self.two_pass.run(
                inputs["known"],
                inputs["known_positions"],
                inputs["text"],
                inputs["pooled"],
                0.0,
                "context",
                cache,
            )
        kept = {f"key_{i}": cache.keys[name] for i, name in enumerate(self.blocks)}
        kept |= {f"value_{i}": cache.values[name] for i, name in enumerate(self.blocks)}
        if experts is not None:
            kept["gates"] = torch.cat(list(experts.routing_state().values()))
        return kept


class TargetPass(_Pass):
    """One step of one edit.

    Reads `noisy` (1, M, C), `filling` (1, M, in_channels - C), `positions` (M, 3), `sigma` (1,), `pooled`, perhaps
    `guidance`, and all that a `ContextPass` returned. Returns `velocity` (1, M, C).
    """

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensors:
        cache = ContextCache(
            {name: inputs[f"key_{i}"] for i, name in enumerate(self.blocks)},
            {name: inputs[f"value_{i}"] for i, name in enumerate(self.blocks)},
        )
        experts = self.two_pass.experts
        if experts is not None:
            experts.mode = "reuse"
            rows = inputs["gates"].split(1)
            experts.set_routing_state({b.name: r for b, r in zip(experts.blocks, rows, strict=True)})
        hidden = torch.cat([inputs["noisy"], inputs["filling"]], -1)
        # A target has no text stream; its length of 0 is part of the graph.
        text = hidden.new_zeros(1, 0, self.transformer.config.joint_attention_dim)
        with self._guided(inputs):
            velocity = self.two_pass.run(
                hidden, inputs["positions"], text, inputs["pooled"], inputs["sigma"], "target", cache
            )
        return {"velocity": velocity}


@contextmanager
def functional_passes(pipeline: EditPipeline) -> Iterator[tuple[ContextPass, TargetPass]]:
    """Give both passes of a pipeline, ready to be traced; afterwards it has no routing and counts again."""
    names = [block.name for block in pipeline.backbone.get_blocks()]
    experts = pipeline.two_pass.experts
    routings = [] if experts is None else [block.routing for block in experts.blocks]
    for routing in routings:
        routing.counting = False  # a trace must leave nothing in the model
    trained = [p for p in pipeline.backbone.transformer.parameters() if p.requires_grad]
    try:
        for parameter in trained:
            parameter.requires_grad_(False)
        # While gradients are off experts multiply those of their matrices that are active, which a trace would fix.
        with torch.enable_grad():
            yield ContextPass(pipeline.two_pass, names).eval(), TargetPass(pipeline.two_pass, names).eval()
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
        if experts is not None:
            experts.clear_routing()
        for routing in routings:
            routing.counting = True


@torch.no_grad()
def freeze(pipeline: EditPipeline, deltas: Deltas) -> None:
    """Take the experts, if there are any, out of a pipeline and add one frozen routing to its linears.

    Raises BackboneError where a linear is not there, or is held in fewer bits.
    """
    if pipeline.experts is not None:
        pipeline.experts.remove()
        pipeline.experts = pipeline.two_pass.experts = None
    linears = {
        f"{block.name}.{path}": linear
        for block in pipeline.backbone.get_blocks()
        for path, linear in block.linears.items()
    }
    for name, delta in deltas.items():
        linear = linears.get(name)
        if linear is None:
            raise BackboneError(f"{name}: the backbone has no such linear")
        if type(linear.weight) is not nn.Parameter or not linear.weight.is_floating_point():
            raise BackboneError(
                f"{name}: weights of fewer bits cannot take an update", hint="load it unquantised"
            )
        weight = linear.weight
        weight.copy_(weight.float() + delta.get_product().to(weight.device))
