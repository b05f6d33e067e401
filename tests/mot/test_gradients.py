"""Gradients through routing: every weight, both passes, checkpointing and autocast."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest
import torch
from diffusers import FluxTransformer2DModel
from tiny_flux import IMAGE, TEXT, build_tiny_flux, run, wake_experts
from torch import nn

from a2cli.backbones.blocks import get_blocks
from a2cli.mot import MotConfig, MotModel, inject_mot

CONFIG = MotConfig(num_experts=4, rank=2)


@pytest.fixture
def flux() -> FluxTransformer2DModel:
    return build_tiny_flux()


@pytest.fixture
def handle(flux: FluxTransformer2DModel) -> MotModel:
    handle = inject_mot(flux, get_blocks(flux), CONFIG)
    wake_experts(handle)
    return handle


def test_every_weight_gets_gradient(flux: FluxTransformer2DModel, handle: MotModel) -> None:
    run(flux, batch=8).square().mean().backward()
    for name, parameter in handle.named_parameters().items():
        assert parameter.grad is not None, name
        if ".router." in name:
            assert bool((parameter.grad != 0).all()), name
    assert all(p.grad is None for p in set(flux.parameters()) - set(handle.trainable_parameters()))
    # An expert's A and B learn exactly where some sample selected it.
    used = handle.get_selected().any(dim=1)
    for block, mask in zip(handle.blocks[:-1], used, strict=False):
        grad = block.linears["attn.to_v"].B.grad
        assert grad is not None
        assert torch.equal(grad.unflatten(0, (4, 2)).abs().sum(dim=(1, 2)) > 0, mask)


def test_a_fresh_b_gets_the_first_gradient(flux: FluxTransformer2DModel) -> None:
    handle = inject_mot(flux, get_blocks(flux), CONFIG)
    run(flux).square().mean().backward()
    named = handle.named_parameters()
    last = [name for name in named if name.startswith("single_transformer_blocks.1.proj_out")]
    grads = {name[-1]: named[name].grad for name in last}
    assert grads["B"] is not None and bool(grads["B"].any())
    assert grads["A"] is not None and not bool(grads["A"].any())


def test_target_pass_alone_trains_the_routers(flux: FluxTransformer2DModel, handle: MotModel) -> None:
    run(flux, batch=8)
    handle.mode = "reuse"
    run(flux, batch=8, text=0, image=4, seed=5).square().mean().backward()
    for name, router in handle.routers.items():
        for parameter in router.parameters():
            assert parameter.grad is not None and bool((parameter.grad != 0).all()), name


def test_reused_gradient_is_that_of_the_gates(flux: FluxTransformer2DModel, handle: MotModel) -> None:
    """The chain through reused gates equals an explicit one: d loss / d gate times d gate / d weight."""
    run(flux)
    handle.mode = "reuse"
    gates = handle.routing_state()
    loss = run(flux, text=0, image=4, seed=5).square().sum()
    parameters = [p for router in handle.routers.values() for p in router.parameters()]
    whole = torch.autograd.grad(loss, parameters, retain_graph=True)
    leaves = {name: value.detach().requires_grad_() for name, value in gates.items()}
    handle.set_routing_state(leaves)
    cut = run(flux, text=0, image=4, seed=5).square().sum()
    partial = torch.autograd.grad(cut, list(leaves.values()))
    chained = torch.autograd.grad(list(gates.values()), parameters, list(partial))
    for a, b in zip(whole, chained, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def _two_pass_gradients(flux: FluxTransformer2DModel, handle: MotModel) -> list[torch.Tensor]:
    flux.zero_grad()
    handle.token_mask = torch.arange(TEXT + IMAGE).remainder(3).ne(0).expand(2, -1)
    handle.mode = "route"
    context = run(flux)
    handle.token_mask = None
    handle.mode = "reuse"
    loss = run(flux, text=0, image=4, seed=5).square().mean() + 0.1 * context.square().mean()
    loss.backward()
    return [
        parameter.grad.clone() for parameter in handle.trainable_parameters() if parameter.grad is not None
    ]


def _checkpoint(handle: MotModel, block: nn.Module, *args: Any) -> Any:
    """Run a block again in the backward pass, with the routing it had."""
    runs = iter((nullcontext, handle.get_replay(block)))

    def run(*inputs: Any) -> Any:
        with next(runs)():
            return block(*inputs)

    return torch.utils.checkpoint.checkpoint(run, *args, use_reentrant=False)


def test_gradient_checkpointing_changes_nothing(flux: FluxTransformer2DModel, handle: MotModel) -> None:
    plain = _two_pass_gradients(flux, handle)
    gates = handle.routing_state()
    handle.reset_usage()
    flux.enable_gradient_checkpointing(partial(_checkpoint, handle))
    checked = _two_pass_gradients(flux, handle)
    assert len(plain) == len(checked) == len(handle.trainable_parameters())
    for a, b in zip(plain, checked, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)
    assert handle.mode == "reuse" and handle.token_mask is None
    for name, value in handle.routing_state().items():
        torch.testing.assert_close(value, gates[name])
    assert all(block.routing.samples == 2 for block in handle.blocks)


def test_plain_checkpointing_is_harmless_in_one_pass(flux: FluxTransformer2DModel, handle: MotModel) -> None:
    def gradients() -> list[torch.Tensor]:
        flux.zero_grad()
        handle.reset_usage()
        run(flux).square().mean().backward()
        return [p.grad.clone() for p in handle.trainable_parameters() if p.grad is not None]

    plain, usage = gradients(), handle.usage
    flux.enable_gradient_checkpointing()
    for a, b in zip(plain, gradients(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)
    for name, share in handle.usage.items():
        assert torch.equal(share, usage[name])


def test_plain_checkpointing_of_two_passes_is_noticed(flux: FluxTransformer2DModel, handle: MotModel) -> None:
    flux.enable_gradient_checkpointing()
    with pytest.raises(torch.utils.checkpoint.CheckpointError):
        _two_pass_gradients(flux, handle)


def test_autocast_training_step(flux: FluxTransformer2DModel, handle: MotModel) -> None:
    optimizer = torch.optim.Adam(handle.trainable_parameters(), lr=0.02)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            run(flux)
            handle.mode = "reuse"
            out = run(flux, text=0, image=4, seed=5)
            handle.mode = "route"
        loss = (out.float() - 1).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert all(p.dtype == torch.float32 for p in handle.trainable_parameters())
    assert all(gates.dtype == torch.float32 for gates in handle.routing_state().values())
