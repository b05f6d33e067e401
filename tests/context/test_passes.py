"""The two passes against their naive twins."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from a2cli.context import Condition, TwoPass
from a2cli.context.passes import repeat_condition

GRID = (6, 5)


@pytest.fixture()
def transformer() -> torch.nn.Module:
    from diffusers import FluxTransformer2DModel

    torch.manual_seed(0)
    return FluxTransformer2DModel(
        in_channels=24,
        out_channels=8,
        num_layers=2,
        num_single_layers=3,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=12,
        pooled_projection_dim=10,
        guidance_embeds=True,
        axes_dims_rope=(4, 6, 6),
    ).eval()


def get_condition(batch: int = 2) -> Condition:
    generator = torch.Generator().manual_seed(1)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    n = GRID[0] * GRID[1]
    visible = torch.rand(1, n, generator=generator) > 0.3
    return Condition(
        masked=noise(batch, n, 8),
        mask=(~visible).float()[..., None].expand(batch, n, 8).clone(),
        visible=visible.expand(batch, n),
        reference=noise(batch, 9, 8),
        text=noise(batch, 4, 12),
        pooled=noise(batch, 10),
        grid=GRID,
        ref_grid=(3, 3),
    )


@torch.no_grad()
def test_region_subset_equals_full_grid_under_key_masks(transformer: torch.nn.Module) -> None:
    two_pass, condition = TwoPass(transformer, guidance=30.0), get_condition()
    region = condition.get_region()
    noisy = torch.randn(2, GRID[0] * GRID[1], 8, generator=torch.Generator().manual_seed(2))
    full = two_pass.predict_velocity(
        noisy, 0.7, condition, two_pass.encode_context(condition, full_grid=True)
    )
    subset = two_pass.predict_velocity(
        noisy[:, region], 0.7, condition, two_pass.encode_context(condition), region
    )
    assert 0 < len(region) < noisy.shape[1]
    torch.testing.assert_close(subset, full[:, region], atol=2e-6, rtol=1e-4)


@torch.no_grad()
def test_cached_context_equals_recomputed_at_every_step(transformer: torch.nn.Module) -> None:
    two_pass, condition = TwoPass(transformer, guidance=30.0), get_condition()
    region = condition.get_region()
    noisy = torch.randn(2, len(region), 8, generator=torch.Generator().manual_seed(3))
    cache = two_pass.encode_context(condition)
    for sigma in (1.0, 0.5, 0.1):
        kept = two_pass.predict_velocity(noisy, sigma, condition, cache, region)
        fresh = two_pass.predict_velocity(noisy, sigma, condition, two_pass.encode_context(condition), region)
        assert torch.equal(kept, fresh)


@torch.no_grad()
def test_hidden_tokens_are_never_looked_at(transformer: torch.nn.Module) -> None:
    two_pass, condition = TwoPass(transformer), get_condition()
    spoiled = condition.masked.clone()
    spoiled[~condition.visible] += 100.0
    other = two_pass.encode_context(replace(condition, masked=spoiled), full_grid=True)
    cache = two_pass.encode_context(condition, full_grid=True)
    seen = cache.key_mask[0].nonzero()[:, 0]
    for name, keys in cache.keys.items():
        torch.testing.assert_close(keys[:, seen], other.keys[name][:, seen])


@torch.no_grad()
def test_without_a_cache_the_processor_is_diffusers_own(transformer: torch.nn.Module) -> None:
    condition = get_condition()
    inputs = {
        "hidden_states": torch.cat([condition.masked, condition.masked, condition.mask], -1),
        "encoder_hidden_states": condition.text,
        "pooled_projections": condition.pooled,
        "timestep": torch.full((2,), 0.4),
        "guidance": torch.full((2,), 3.0),
        "img_ids": torch.zeros(GRID[0] * GRID[1], 3),
        "txt_ids": torch.zeros(4, 3),
    }
    plain = transformer(**inputs).sample
    before = dict(transformer.attn_processors)
    two_pass = TwoPass(transformer)
    assert torch.equal(transformer(**inputs).sample, plain)
    two_pass.remove()
    assert transformer.attn_processors == before


def test_gradients_reach_the_context_through_the_cache(transformer: torch.nn.Module) -> None:
    two_pass, condition = TwoPass(transformer), get_condition()
    reference = condition.reference.clone().requires_grad_()
    cache = two_pass.encode_context(replace(condition, reference=reference), full_grid=True)
    noisy = torch.randn(2, GRID[0] * GRID[1], 8)
    two_pass.predict_velocity(noisy, 0.5, condition, cache)[~condition.visible].square().sum().backward()
    assert reference.grad is not None and float(reference.grad.abs().sum()) > 0


@torch.no_grad()
def test_repeat_serves_several_noises_from_one_context(transformer: torch.nn.Module) -> None:
    two_pass, condition = TwoPass(transformer), get_condition()
    cache = two_pass.encode_context(condition, full_grid=True)
    noisy = torch.randn(2, GRID[0] * GRID[1], 8)
    once = two_pass.predict_velocity(noisy, 0.3, condition, cache)
    many = two_pass.predict_velocity(
        noisy.repeat_interleave(3, 0), 0.3, repeat_condition(condition, 3), cache.repeat(3)
    )
    torch.testing.assert_close(many[::3], once)
    torch.testing.assert_close(many[5], once[1])


def test_batches_with_different_masks_need_the_full_grid(transformer: torch.nn.Module) -> None:
    condition = get_condition()
    visible = condition.visible.clone()
    visible[1] = ~visible[1]
    with pytest.raises(ValueError, match="one mask"):
        TwoPass(transformer).encode_context(replace(condition, visible=visible))


@torch.no_grad()
def test_a_guidance_of_zero_is_zero(transformer: torch.nn.Module) -> None:
    condition = get_condition()
    noisy = torch.randn(2, GRID[0] * GRID[1], 8, generator=torch.Generator().manual_seed(2))
    outputs = []
    for guidance in (0.0, 1.0, None):
        two_pass = TwoPass(transformer, guidance=guidance)
        cache = two_pass.encode_context(condition, full_grid=True)
        outputs.append(two_pass.predict_velocity(noisy, 0.5, condition, cache))
        two_pass.remove()
    assert not torch.equal(outputs[0], outputs[1]) and torch.equal(outputs[1], outputs[2])
