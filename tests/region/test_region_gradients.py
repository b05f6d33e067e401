"""What trains what: every weight after the first step, the editor by its own loss, the predictor by its own."""

from __future__ import annotations

import torch
from tiny_region import GRID, build_flux, get_condition, get_mask, inject, noise
from torch import Tensor

from a2cli.context.passes import TwoPass
from a2cli.region import RegionModel, mask_loss


def get_edit_loss(two_pass: TwoPass, model: RegionModel) -> Tensor:
    condition = get_condition()
    cache = two_pass.encode_context(condition, full_grid=True)
    inputs = model.encode(get_mask(), GRID, condition.text)
    noisy = noise(2, 20, 4, seed=6)
    velocity = two_pass.predict_velocity(noisy, 0.6, condition, cache, region_inputs=inputs)
    return velocity[~condition.visible].square().mean()


def get_region_loss(model: RegionModel) -> Tensor:
    condition = get_condition()
    assert model.predictor is not None
    logits = model.predictor(condition.masked, GRID, condition.text)
    return mask_loss(logits, get_mask().unflatten(1, GRID).repeat_interleave(2, 1).repeat_interleave(2, 2))


def test_a_fresh_adapter_learns_everywhere_from_the_second_step_on() -> None:
    two_pass = TwoPass(build_flux())
    model = inject(two_pass, awake=False)
    base = {name: p.clone() for name, p in two_pass.transformer.named_parameters()}
    optimizer = torch.optim.SGD(model.editor_parameters(), lr=1.0)
    get_edit_loss(two_pass, model).backward()
    named = {n: p for n, p in model.named_parameters().items() if not n.startswith("predictor.")}
    first = {n for n, p in named.items() if p.grad is not None and bool(p.grad.any())}
    assert first == {n for n in named if ".ffn.fc_out." in n and "transformer_blocks" in n}
    optimizer.step()
    optimizer.zero_grad()
    get_edit_loss(two_pass, model).backward()
    for name, parameter in named.items():
        assert parameter.grad is not None and bool(parameter.grad.any()), name
    assert all(torch.equal(p, base[n]) for n, p in two_pass.transformer.named_parameters())
    assert all(p.grad is None for p in two_pass.transformer.parameters())


def test_the_two_losses_are_decoupled() -> None:
    two_pass = TwoPass(build_flux())
    model = inject(two_pass)
    get_region_loss(model).backward()
    assert all(p.grad is None for p in model.editor_parameters())
    assert all(p.grad is not None for p in model.predictor_parameters())
    model.modules.zero_grad()
    get_edit_loss(two_pass, model).backward()
    assert all(p.grad is None for p in model.predictor_parameters())
    assert all(p.grad is not None for p in model.editor_parameters())


def test_together_each_gets_its_own_gradient_bit_for_bit() -> None:
    two_pass = TwoPass(build_flux())
    model = inject(two_pass)

    def get_gradients(loss: Tensor) -> dict[str, Tensor]:
        model.modules.zero_grad()
        loss.backward()
        return {n: p.grad for n, p in model.named_parameters().items() if p.grad is not None}

    edit, found = get_gradients(get_edit_loss(two_pass, model)), get_gradients(get_region_loss(model))
    both = get_gradients(get_edit_loss(two_pass, model) + get_region_loss(model))
    assert edit.keys() | found.keys() == both.keys() and not edit.keys() & found.keys()
    assert all(torch.equal(both[name], gradient) for name, gradient in {**edit, **found}.items())


def test_a_few_steps_of_training_lower_the_loss() -> None:
    two_pass = TwoPass(build_flux())
    model = inject(two_pass, awake=False)
    optimizer = torch.optim.AdamW(model.editor_parameters(), lr=1e-2)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = get_edit_loss(two_pass, model)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
