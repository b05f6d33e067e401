"""Experts under the context and the target pass: the routing sees visible tokens only, whichever way they are cut."""

from __future__ import annotations

import torch
from tiny_flux import build_tiny_flux, wake_experts

from a2cli.backbones.blocks import get_blocks
from a2cli.context.passes import Condition, TwoPass
from a2cli.mot import MotConfig, inject_mot

BATCH, SIDE = 2, 4


def build_condition() -> Condition:
    generator = torch.Generator().manual_seed(3)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    visible = torch.ones(SIDE, SIDE, dtype=torch.bool)
    visible[1:3, 1:4] = False
    tokens = SIDE * SIDE
    visible = visible.flatten().expand(BATCH, -1)
    return Condition(
        masked=draw(BATCH, tokens, 4),
        mask=(~visible)[..., None].float().expand(-1, -1, 4),
        visible=visible,
        reference=draw(BATCH, 4, 4),
        text=draw(BATCH, 3, 8),
        pooled=draw(BATCH, 8),
        grid=(SIDE, SIDE),
        ref_grid=(2, 2),
    )


def test_region_only_equals_the_full_grid_with_experts() -> None:
    flux = build_tiny_flux()
    handle = inject_mot(flux, get_blocks(flux), MotConfig(num_experts=4, rank=2))
    wake_experts(handle)
    condition = build_condition()
    region = condition.get_region()
    noisy = torch.randn(BATCH, SIDE * SIDE, 4, generator=torch.Generator().manual_seed(4))
    passes = TwoPass(flux, experts=handle)
    with torch.no_grad():
        part = passes.predict_velocity(
            noisy[:, region], 0.7, condition, passes.encode_context(condition), region
        )
        chosen = handle.get_selected()
        cache = passes.encode_context(condition, full_grid=True)
        full = passes.predict_velocity(noisy, 0.7, condition, cache)
        assert torch.equal(handle.get_selected(), chosen)
        assert not torch.equal(chosen[:, 0], chosen[:, 1])
        passes.remove()
        handle.remove()
        bare = TwoPass(flux)
        plain = bare.predict_velocity(
            noisy[:, region], 0.7, condition, bare.encode_context(condition), region
        )
    torch.testing.assert_close(part, full[:, region], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(part, plain, atol=1e-3)
