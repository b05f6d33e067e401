from __future__ import annotations

import pytest
import torch

from a2cli.errors import BackboneError
from a2cli.flow import flow_matching_loss, get_source, interpolate, velocity_target


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_ends_of_the_path() -> None:
    x0, noise = torch.randn(3, 4, 2), torch.randn(3, 4, 2)
    assert torch.equal(interpolate(x0, noise, 0.0), x0)
    assert torch.equal(interpolate(x0, noise, torch.ones(3)), noise)


def test_sigma_is_per_sample() -> None:
    x0, noise = torch.zeros(3, 4, 2), torch.ones(3, 4, 2)
    sigma = torch.tensor([0.1, 0.5, 0.9])
    out = interpolate(x0, noise, sigma)
    for b in range(3):
        torch.testing.assert_close(out[b], torch.full((4, 2), float(sigma[b])))
    per_token = torch.rand(3, 4, 1)
    torch.testing.assert_close(interpolate(x0, noise, per_token), per_token.expand(3, 4, 2))


def test_target_is_the_derivative_of_the_path() -> None:
    x0, noise = torch.randn(2, 3, dtype=torch.float64), torch.randn(2, 3, dtype=torch.float64)
    slope = (interpolate(x0, noise, 0.5 + 1e-6) - interpolate(x0, noise, 0.5 - 1e-6)) / 2e-6
    torch.testing.assert_close(slope, velocity_target(x0, noise), rtol=1e-6, atol=1e-6)


def test_weights_pick_the_elements() -> None:
    pred, target = torch.randn(2, 6, 4), torch.randn(2, 6, 4)
    mask = torch.zeros(2, 6, 1)
    mask[0, :2], mask[1, 3:] = 1, 1
    picked = (pred - target).square()[mask.expand_as(pred) > 0]
    torch.testing.assert_close(flow_matching_loss(pred, target, mask), picked.mean())
    torch.testing.assert_close(flow_matching_loss(pred, target, 7 * mask), picked.mean())


def test_no_weight_equals_equal_weights() -> None:
    pred, target = torch.randn(2, 5), torch.randn(2, 5)
    torch.testing.assert_close(
        flow_matching_loss(pred, target), flow_matching_loss(pred, target, torch.full((1, 5), 0.3))
    )


def test_all_zero_weights_give_zero_loss_and_gradient() -> None:
    pred = torch.randn(2, 5, requires_grad=True)
    loss = flow_matching_loss(pred, torch.zeros(2, 5), torch.zeros(2, 1))
    loss.backward()
    assert loss.item() == 0 and pred.grad is not None and not pred.grad.any()


def test_bf16_is_summed_in_float32() -> None:
    pred = torch.full((64, 1000), 0.01, dtype=torch.bfloat16)
    loss = flow_matching_loss(pred, torch.zeros_like(pred))
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, pred[0, 0].float().square())


def test_broken_loss_stops_the_run() -> None:
    pred = torch.zeros(1, 3)
    pred[0, 1] = float("nan")
    with pytest.raises(BackboneError, match="loss"):
        flow_matching_loss(pred, torch.zeros(1, 3))
    with pytest.raises(ValueError, match="shape"):
        flow_matching_loss(torch.zeros(1, 3), torch.zeros(3, 1))


def test_paths_begin_at_an_informed_guess() -> None:
    noise, guess = torch.randn(3, 4, 2), torch.randn(1, 4, 2)
    assert torch.equal(get_source(noise, guess, 0.0), guess.expand_as(noise))
    torch.testing.assert_close(get_source(noise, guess, 0.5), guess + noise / 2)
