from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from a2cli.errors import BackboneError, ConfigError
from a2cli.flow import SamplerStep, get_sigmas, interpolate, sample_euler, sample_heun, velocity_target


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


SAMPLERS = [sample_euler, sample_heun]


@pytest.mark.parametrize("sample", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 3, 10])
def test_a_straight_path_ends_at_the_data(sample, steps: int) -> None:  # type: ignore[no-untyped-def]
    x0, noise = torch.randn(2, 5, 3), torch.randn(2, 5, 3)
    out = sample(lambda x, s: velocity_target(x0, noise), noise, get_sigmas(steps, shift=3.0))
    torch.testing.assert_close(out, x0, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sample", SAMPLERS)
def test_starting_on_the_way_arrives_too(sample) -> None:  # type: ignore[no-untyped-def]
    x0, noise = torch.randn(1, 4), torch.randn(1, 4)
    sigmas = get_sigmas(10)[4:]
    out = sample(lambda x, s: noise - x0, interpolate(x0, noise, float(sigmas[0])), sigmas)
    torch.testing.assert_close(out, x0, rtol=1e-5, atol=1e-5)


def _error(sample, steps: int) -> float:  # type: ignore[no-untyped-def]
    # dx / dsigma = x cos(3 sigma) has the closed form x(0) = x(1) exp(-sin(3) / 3).
    x = torch.full((1, 1), 2.0, dtype=torch.float64)
    out = sample(lambda x, s: x * torch.cos(3 * s.double())[:, None], x, get_sigmas(steps))
    return abs(out.item() - 2.0 * math.exp(-math.sin(3) / 3))


def test_orders_of_convergence() -> None:
    euler = math.log2(_error(sample_euler, 40) / _error(sample_euler, 80))
    heun = math.log2(_error(sample_heun, 40) / _error(sample_heun, 80))
    assert euler == pytest.approx(1.0, abs=0.15)
    assert heun == pytest.approx(2.0, abs=0.2)


def test_model_calls_and_sigma_shape() -> None:
    seen: list[Tensor] = []

    def model(x: Tensor, sigma: Tensor) -> Tensor:
        assert sigma.shape == (3,) and sigma.dtype == torch.float32
        seen.append(sigma[0])
        return torch.zeros_like(x)

    sigmas = get_sigmas(5)
    sample_euler(model, torch.zeros(3, 2), sigmas)
    assert torch.equal(torch.stack(seen), sigmas[:-1])
    seen.clear()
    sample_heun(model, torch.zeros(3, 2), sigmas)
    assert len(seen) == 9 and min(seen) > 0


@pytest.mark.parametrize("sample", SAMPLERS)
def test_callback_sees_every_step_and_the_estimate(sample) -> None:  # type: ignore[no-untyped-def]
    x0, noise = torch.randn(2, 3), torch.randn(2, 3)
    steps: list[SamplerStep] = []
    sample(lambda x, s: noise - x0, noise, get_sigmas(4), steps.append)
    assert [s.index for s in steps] == [0, 1, 2, 3] and {s.num_steps for s in steps} == {4}
    for step in steps:
        torch.testing.assert_close(step.denoised, x0, rtol=1e-5, atol=1e-5)


def test_small_steps_survive_bf16_latents() -> None:
    x = torch.full((1, 8), 3.0, dtype=torch.bfloat16)
    out = sample_euler(lambda x, s: torch.full_like(x, 2.0), x, get_sigmas(4))
    assert out.dtype == torch.bfloat16
    assert torch.equal(out, torch.ones_like(out))


@pytest.mark.parametrize("sample", SAMPLERS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_broken_velocity_stops_the_run(sample, bad: float) -> None:  # type: ignore[no-untyped-def]
    def model(x: Tensor, sigma: Tensor) -> Tensor:
        return torch.full_like(x, bad) if sigma[0] < 0.6 else torch.zeros_like(x)

    with pytest.raises(BackboneError, match="of 4"):
        sample(model, torch.zeros(1, 2), get_sigmas(4))


@pytest.mark.parametrize("sigmas", [[1.0], [0.0, 1.0], [1.0, 1.0, 0.0], [1.0, -0.5], [1.0, float("nan")]])
def test_bad_sigmas_are_refused(sigmas: list[float]) -> None:
    with pytest.raises(ConfigError):
        sample_euler(lambda x, s: x, torch.zeros(1, 1), torch.tensor(sigmas))


def test_no_graph_is_kept() -> None:
    w = torch.ones(1, requires_grad=True)
    assert not sample_heun(lambda x, s: x * w, torch.ones(1, 1), get_sigmas(2)).requires_grad


def test_a_velocity_of_another_shape_is_refused() -> None:
    with pytest.raises(BackboneError, match="latents"):
        sample_euler(lambda x, s: x[:, :1], torch.zeros(1, 2), get_sigmas(2))
