"""A region adapter in the target pass: where it acts, where it does not, and what it leaves alone."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from a2cli.backbones.blocks import get_blocks
from a2cli.context.passes import TwoPass, repeat_condition
from a2cli.errors import BackboneError
from a2cli.mot import MotConfig, inject_mot
from a2cli.region import RegionInputs, RegionModel

sys.path.insert(0, str(Path(__file__).parents[1] / "region"))
from tiny_region import CONFIG, GRID, build_flux, get_condition, get_mask, inject, noise

NOISY = noise(2, 20, 4, seed=6)


@pytest.fixture()
def two_pass() -> TwoPass:
    return TwoPass(build_flux())


def encode(model: RegionModel, batch: int = 2) -> RegionInputs:
    inputs = model.encode(get_mask(batch), GRID, get_condition(batch).text)
    assert inputs is not None
    return inputs


def predict(two_pass: TwoPass, inputs: RegionInputs | None = None, **options: Any) -> Tensor:
    """The region's velocity."""
    condition = get_condition()
    region = condition.get_region()
    cache = two_pass.encode_context(condition)
    return two_pass.predict_velocity(
        NOISY[:, region], 0.7, condition, cache, region, region_inputs=inputs, **options
    )


@torch.no_grad()
def test_off_and_fresh_and_shut_are_the_plain_backbone_bit_for_bit(two_pass: TwoPass) -> None:
    plain = predict(two_pass)
    fresh = inject(two_pass, awake=False)
    assert torch.equal(predict(two_pass), plain)
    assert torch.equal(predict(two_pass, encode(fresh)), plain)
    fresh.remove()
    model = inject(two_pass)
    inputs = encode(model)
    assert torch.equal(predict(two_pass), plain)
    assert not torch.allclose(predict(two_pass, inputs), plain, atol=1e-3)
    assert torch.equal(predict(two_pass, replace(inputs, gate=torch.zeros_like(inputs.gate))), plain)
    model.remove()
    assert torch.equal(predict(two_pass, inputs), plain)


@torch.no_grad()
def test_the_context_is_never_touched(two_pass: TwoPass) -> None:
    plain = two_pass.encode_context(get_condition())
    model = inject(two_pass)
    two_pass.state.region = encode(model)  # as if a pass had left it there
    cache = two_pass.encode_context(get_condition())
    two_pass.state.region = None
    for name, keys in plain.keys.items():
        assert torch.equal(cache.keys[name], keys) and torch.equal(cache.values[name], plain.values[name])


@torch.no_grad()
def test_region_subset_equals_full_grid_under_key_masks(two_pass: TwoPass) -> None:
    inputs = encode(inject(two_pass))
    condition = get_condition()
    cache = two_pass.encode_context(condition, full_grid=True)
    full = two_pass.predict_velocity(NOISY, 0.7, condition, cache, region_inputs=inputs)
    subset = predict(two_pass, inputs)
    torch.testing.assert_close(subset, full[:, condition.get_region()], atol=2e-6, rtol=1e-4)


@torch.no_grad()
def test_a_shut_gate_holds_its_token_and_no_other(two_pass: TwoPass) -> None:
    """In the last block alone, where no attention carries the change on."""
    model = inject(two_pass)
    for name, parameter in model.named_parameters().items():
        if name.endswith("ffn.fc_out.weight") and "single_transformer_blocks.1" not in name:
            parameter.zero_()
    inputs, plain = encode(model), predict(two_pass)
    assert inputs.gate is not None
    gate = inputs.gate.clone()
    held = get_condition().get_region()[3]
    gate[:, held] = 0
    changed = (predict(two_pass, replace(inputs, gate=gate)) != plain).any(-1)
    assert not changed[:, 3].any() and changed[:, [0, 1, 2, 4, 5, 6]].all()


@torch.no_grad()
def test_without_a_gate_every_target_token_is_open(two_pass: TwoPass) -> None:
    model = inject(two_pass, replace(CONFIG, gate=False, predictor=None))
    inputs = encode(model)
    assert inputs.gate is None
    ones = RegionInputs(inputs.condition, torch.ones(2, 20, 1))
    assert torch.equal(predict(two_pass, inputs), predict(two_pass, ones))


@torch.no_grad()
def test_several_noises_share_one_encoding(two_pass: TwoPass) -> None:
    inputs, condition = encode(inject(two_pass)), get_condition()
    cache = two_pass.encode_context(condition, full_grid=True)
    once = two_pass.predict_velocity(NOISY, 0.3, condition, cache, region_inputs=inputs)
    arguments = (NOISY.repeat_interleave(3, 0), 0.3, repeat_condition(condition, 3), cache.repeat(3))
    many = two_pass.predict_velocity(*arguments, region_inputs=inputs.repeat(3))
    torch.testing.assert_close(many, once.repeat_interleave(3, 0))
    assert inputs.repeat(1) is inputs
    with pytest.raises(BackboneError, match="2 samples for a batch of 6"):
        two_pass.predict_velocity(*arguments, region_inputs=inputs)
    assert two_pass.state.region is None


@torch.no_grad()
def test_keys_kept_from_the_first_step_serve_the_others(two_pass: TwoPass) -> None:
    model = inject(two_pass)
    inputs = encode(model)
    first = predict(two_pass, inputs)
    assert set(inputs.memory) == set(model.modules.adapters)
    assert torch.equal(predict(two_pass, inputs), first)
    assert torch.equal(predict(two_pass, encode(model)), first)


def get_gradients(two_pass: TwoPass, model: RegionModel) -> tuple[Tensor, dict[str, Tensor]]:
    model.modules.zero_grad()
    condition = get_condition()
    cache = two_pass.encode_context(condition, full_grid=True)
    velocity = two_pass.predict_velocity(NOISY, 0.7, condition, cache, region_inputs=encode(model))
    loss = velocity[~condition.visible].square().mean()
    loss.backward()
    return loss.detach(), {n: p.grad for n, p in model.named_parameters().items() if p.grad is not None}


@pytest.mark.parametrize("experts", [False, True])
def test_checkpointing_changes_no_gradient(experts: bool) -> None:
    flux = build_flux()
    handle = inject_mot(flux, get_blocks(flux), MotConfig(num_experts=3, rank=2)) if experts else None
    two_pass = TwoPass(flux, experts=handle)
    model = inject(two_pass)
    loss, plain = get_gradients(two_pass, model)
    two_pass.enable_gradient_checkpointing()
    again, checkpointed = get_gradients(two_pass, model)
    assert torch.equal(loss, again) and plain.keys() == checkpointed.keys() and len(plain) > 20
    for name, gradient in plain.items():
        torch.testing.assert_close(checkpointed[name], gradient, rtol=1e-5, atol=1e-8)


@torch.no_grad()
def test_experts_and_a_region_adapter_live_side_by_side() -> None:
    flux = build_flux()
    plain = predict(TwoPass(flux))
    handle = inject_mot(flux, get_blocks(flux), MotConfig(num_experts=3, rank=2))
    for linear in handle.linears.values():
        linear.B.normal_(std=0.3)
    two_pass = TwoPass(flux, experts=handle)
    model = inject(two_pass)
    inputs = encode(model)
    experts, both = predict(two_pass), predict(two_pass, inputs)
    handle.remove()
    two_pass.experts = None
    adapter = predict(two_pass, inputs)
    outputs = [plain, experts, adapter, both]
    for i, one in enumerate(outputs):
        for other in outputs[:i]:
            assert not torch.allclose(one, other, atol=1e-3)
    assert torch.equal(predict(two_pass), plain)  # off: the experts left nothing behind
    again = inject_mot(flux, get_blocks(flux), MotConfig(num_experts=3, rank=2))
    for mine, theirs in zip(again.trainable_parameters(), handle.trainable_parameters(), strict=True):
        mine.copy_(theirs)
    two_pass.experts = again  # the other order: experts into blocks that have an adapter behind them
    assert torch.equal(predict(two_pass, inputs), both)
    model.remove()
    assert torch.equal(predict(two_pass, inputs), experts)


def test_it_trains_under_bf16_autocast(two_pass: TwoPass) -> None:
    model = inject(two_pass)
    _, plain = get_gradients(two_pass, model)
    with torch.autocast("cpu", torch.bfloat16):
        loss, half = get_gradients(two_pass, model)
    assert bool(loss.isfinite()) and plain.keys() == half.keys()
    for name, gradient in half.items():
        assert gradient.dtype == torch.float32 and bool(gradient.isfinite().all()), name
    same = torch.cosine_similarity(
        *(torch.cat([g.flatten() for g in gs.values()]) for gs in (plain, half)), dim=0
    )
    assert float(same) > 0.99


@torch.no_grad()
def test_a_half_precision_base_keeps_its_dtype() -> None:
    two_pass = TwoPass(build_flux().bfloat16())
    model = inject(two_pass)  # float32 parameters on a bf16 base, as in training
    condition = get_condition()
    condition = replace(condition, text=condition.text.bfloat16(), pooled=condition.pooled.bfloat16())
    cache = two_pass.encode_context(condition, full_grid=True)
    plain = two_pass.predict_velocity(NOISY, 0.5, condition, cache)
    adapted = two_pass.predict_velocity(NOISY, 0.5, condition, cache, region_inputs=encode(model))
    assert adapted.dtype == plain.dtype == torch.bfloat16 and not torch.equal(adapted, plain)


@torch.no_grad()
def test_a_failed_pass_leaves_it_off(two_pass: TwoPass) -> None:
    inputs = encode(inject(two_pass))
    condition = get_condition()
    cache = two_pass.encode_context(condition)
    broken = replace(cache, keys={"none": cache.keys["transformer_blocks.0"]})
    with pytest.raises(KeyError):
        two_pass.predict_velocity(NOISY, 0.5, condition, broken, region_inputs=inputs)
    assert two_pass.state.region is None and two_pass.state.cache is None
