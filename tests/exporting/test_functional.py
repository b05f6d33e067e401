"""Passes as functions of tensors against the passes that keep their state."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from edits import make_pipeline
from export_things import get_gates, make_delta

from a2cli.context.passes import Condition, TwoPass, get_known_tokens
from a2cli.engine.pipeline import EditPipeline
from a2cli.errors import BackboneError
from a2cli.exporting.deltas import get_frozen_deltas
from a2cli.exporting.functional import ContextPass, Tensors, freeze, functional_passes
from a2cli.mot import load_adapter
from a2cli.mot.experts import MotLinear
from a2cli.mot.router import Router

GRID = (4, 4)


@pytest.fixture
def pipeline(tiny_base: Path, tiny_experts: Path) -> EditPipeline:
    bare = make_pipeline(tiny_base).backbone
    handle, _ = load_adapter(bare.transformer, bare.get_blocks(), tiny_experts, base_hash=bare.base_hash)
    return EditPipeline(bare, experts=handle)


def get_condition(pipeline: EditPipeline) -> Condition:
    generator = torch.Generator().manual_seed(1)
    config = pipeline.backbone.transformer.config
    bits = config.in_channels - 2 * config.out_channels
    visible = torch.ones(1, GRID[0] * GRID[1], dtype=torch.bool)
    visible[0, 5:11] = False
    return Condition(
        masked=torch.randn(1, 16, config.out_channels, generator=generator),
        mask=(~visible).float()[..., None].expand(1, 16, bits).clone(),
        visible=visible,
        reference=torch.randn(1, 9, config.out_channels, generator=generator),
        text=torch.randn(1, 3, config.joint_attention_dim, generator=generator),
        pooled=torch.randn(1, config.pooled_projection_dim, generator=generator),
        grid=GRID,
        ref_grid=(3, 3),
    )


def get_context_inputs(condition: Condition) -> Tensors:
    tokens, positions = get_known_tokens(condition)
    return {"known": tokens, "known_positions": positions, "text": condition.text, "pooled": condition.pooled}


def get_target_inputs(condition: Condition, noisy: torch.Tensor, sigma: float) -> Tensors:
    region = condition.get_region()
    positions = torch.tensor([[0.0, float(i // GRID[1]), float(i % GRID[1])] for i in region])
    filling = torch.cat([condition.masked, condition.mask], -1)[:, region]
    return {
        "noisy": noisy,
        "filling": filling,
        "positions": positions,
        "sigma": torch.tensor([sigma]),
        "pooled": condition.pooled,
    }


def find_experts(pipeline: EditPipeline) -> list[str]:
    return [n for n, m in pipeline.backbone.transformer.named_modules() if isinstance(m, (MotLinear, Router))]


@pytest.mark.parametrize("routed", [True, False])
@torch.no_grad()
def test_both_passes_equal_those_with_a_cache(pipeline: EditPipeline, routed: bool) -> None:
    if not routed:
        freeze(pipeline, {})
    condition = get_condition(pipeline)
    noisy = torch.randn(1, 6, condition.masked.shape[-1], generator=torch.Generator().manual_seed(2))
    cache = pipeline.two_pass.encode_context(condition)
    wanted = pipeline.two_pass.predict_velocity(noisy, 0.6, condition, cache, condition.get_region())
    with functional_passes(pipeline) as (context, target), torch.no_grad():
        kept = context(get_context_inputs(condition))
        velocity = target({**get_target_inputs(condition, noisy, 0.6), **kept})["velocity"]
    for i, name in enumerate(block.name for block in pipeline.backbone.get_blocks()):
        assert torch.equal(kept[f"key_{i}"], cache.keys[name])
        assert torch.equal(kept[f"value_{i}"], cache.values[name])
        if routed:
            assert torch.equal(kept["gates"][i : i + 1], cache.routing[name])
    assert ("gates" in kept) == routed
    torch.testing.assert_close(velocity, wanted, rtol=0, atol=2e-6)


@torch.no_grad()
def test_the_gates_that_come_in_are_those_that_count(pipeline: EditPipeline) -> None:
    condition = get_condition(pipeline)
    noisy = torch.zeros(1, 6, condition.masked.shape[-1])
    with functional_passes(pipeline) as (context, target), torch.no_grad():
        inputs = {**get_target_inputs(condition, noisy, 0.6), **context(get_context_inputs(condition))}
        plain = target(inputs)["velocity"]
        other = target({**inputs, "gates": inputs["gates"].roll(1, 1)})["velocity"]
    assert float((plain - other).abs().max()) > 1e-3


def test_a_guidance_embedding_reads_the_tensor() -> None:
    from tiny_flux import build_tiny_flux

    flux = build_tiny_flux().eval()
    two_pass = TwoPass(flux, guidance=30.0)
    names = [f"transformer_blocks.{i}" for i in range(2)] + [
        f"single_transformer_blocks.{i}" for i in range(2)
    ]
    context = ContextPass(two_pass, names)
    inputs = {
        "known": torch.ones(1, 3, 12),
        "known_positions": torch.zeros(3, 3),
        "text": torch.ones(1, 2, 8),
        "pooled": torch.ones(1, 8),
    }
    with torch.no_grad():
        fixed = context(inputs)["key_3"]
        same = context({**inputs, "guidance": torch.tensor([30.0])})["key_3"]
        other = context({**inputs, "guidance": torch.tensor([3.0])})["key_3"]
    assert torch.equal(fixed, same) and not torch.equal(fixed, other)
    assert two_pass.guidance == 30.0


def test_a_trace_leaves_the_pipeline_as_it_was(pipeline: EditPipeline) -> None:
    condition = get_condition(pipeline)
    routing = pipeline.experts.blocks[0].routing
    trained = [p.requires_grad for p in pipeline.backbone.transformer.parameters()]
    assert any(trained)
    with functional_passes(pipeline) as (context, _):
        assert torch.is_grad_enabled() and not any(p.requires_grad for p in context.parameters())
        context(get_context_inputs(condition))
    assert (routing.samples, routing.gates, routing.counting) == (0, None, True)
    assert [p.requires_grad for p in pipeline.backbone.transformer.parameters()] == trained


@torch.no_grad()
def test_frozen_linears_answer_as_merged_experts(pipeline: EditPipeline) -> None:
    condition, experts = get_condition(pipeline), pipeline.experts
    assert find_experts(pipeline)
    gates = get_gates([block.name for block in experts.blocks])
    deltas = get_frozen_deltas(experts.state_dict(), experts.config, gates)
    experts.merge({name: values[None] for name, values in gates.items()})
    pipeline.two_pass.experts = None
    wanted = pipeline.two_pass.encode_context(condition)
    experts.unmerge()
    freeze(pipeline, deltas)
    found = pipeline.two_pass.encode_context(condition)
    assert pipeline.experts is None and not find_experts(pipeline)
    for name, keys in wanted.keys.items():
        torch.testing.assert_close(found.keys[name], keys, rtol=0, atol=1e-6)


def test_an_update_of_no_linear_is_refused(pipeline: EditPipeline) -> None:
    with pytest.raises(BackboneError, match=r"nowhere\.to_q: the backbone has no such linear"):
        freeze(pipeline, {"nowhere.to_q": make_delta(2, 8, 8)})
