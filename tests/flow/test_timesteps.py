from __future__ import annotations

import math

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from a2cli.errors import ConfigError
from a2cli.flow import get_resolution_mu, get_sigmas, sample_timesteps, shift_sigmas


@given(n=st.integers(1, 200), shift=st.floats(0.05, 20))
@settings(max_examples=60, deadline=None)
def test_grid_falls_strictly_from_one_to_zero(n: int, shift: float) -> None:
    sigmas = get_sigmas(n, shift=shift)
    assert sigmas.shape == (n + 1,) and sigmas.dtype == torch.float32
    assert sigmas[0] == 1 and sigmas[-1] == 0
    assert bool((sigmas.diff() < 0).all())


@pytest.mark.parametrize("tokens", [64, 256, 1024, 4096])
@pytest.mark.parametrize("steps", [1, 4, 28])
def test_mu_agrees_with_the_flux_scheduler(tokens: int, steps: int) -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift=3.0)
    mu = get_resolution_mu(tokens)
    scheduler.set_timesteps(sigmas=[1 - i / steps for i in range(steps)], mu=mu)
    torch.testing.assert_close(get_sigmas(steps, mu=mu), scheduler.sigmas, rtol=1e-6, atol=1e-6)


def test_mu_passes_through_its_two_points() -> None:
    assert get_resolution_mu(256) == pytest.approx(0.5)
    assert get_resolution_mu(4096) == pytest.approx(1.15)
    torch.testing.assert_close(get_sigmas(7, mu=0.8), get_sigmas(7, shift=math.exp(0.8)))


def test_shift_one_is_identity_and_more_shift_is_more_noise() -> None:
    even = get_sigmas(10)
    torch.testing.assert_close(even, torch.arange(10, -1, -1) / 10)
    assert torch.equal(shift_sigmas(even, 1.0), even)
    assert bool((shift_sigmas(even, 3.0)[1:-1] > even[1:-1]).all())


def test_bad_grids_are_refused() -> None:
    for call in (
        lambda: get_sigmas(0),
        lambda: get_sigmas(4, shift=0.0),
        lambda: get_sigmas(4, shift=float("nan")),
        lambda: get_sigmas(4, shift=2.0, mu=0.5),
    ):
        with pytest.raises(ConfigError):
            call()


def test_same_seed_same_draw() -> None:
    draws = [sample_timesteps(16, torch.Generator().manual_seed(7)) for _ in range(2)]
    assert torch.equal(*draws)
    assert not torch.equal(draws[0], sample_timesteps(16, torch.Generator().manual_seed(8)))


def test_logit_normal_has_the_stated_logits() -> None:
    t = sample_timesteps(40_000, torch.Generator().manual_seed(0), mean=-0.5, std=0.7)
    logits = torch.logit(t.double())
    assert logits.mean().item() == pytest.approx(-0.5, abs=0.02)
    assert logits.std().item() == pytest.approx(0.7, abs=0.02)


def test_uniform_is_uniform_and_never_zero() -> None:
    t = sample_timesteps(40_000, torch.Generator().manual_seed(0), weighting="uniform")
    assert t.min() > 0 and t.max() <= 1
    counts = torch.histc(t, bins=10, min=0, max=1) / len(t)
    assert bool(((counts - 0.1).abs() < 0.01).all())


@given(mean=st.floats(-200, 200), std=st.floats(0.01, 50), shift=st.one_of(st.none(), st.floats(0.1, 10)))
@settings(max_examples=40, deadline=None)
def test_draws_stay_inside_the_open_end(mean: float, std: float, shift: float | None) -> None:
    t = sample_timesteps(64, torch.Generator().manual_seed(1), mean=mean, std=std, shift=shift)
    assert bool((t > 0).all()) and bool((t <= 1).all())


def test_shift_of_a_draw_is_the_shifted_draw() -> None:
    plain = sample_timesteps(32, torch.Generator().manual_seed(3))
    shifted = sample_timesteps(32, torch.Generator().manual_seed(3), shift=3.0)
    torch.testing.assert_close(shifted, shift_sigmas(plain, 3.0))


def test_bad_draws_are_refused() -> None:
    with pytest.raises(ConfigError, match="weighting"):
        sample_timesteps(2, weighting="cosine")  # type: ignore[arg-type]
    with pytest.raises(ConfigError):
        sample_timesteps(0)
    with pytest.raises(ConfigError):
        sample_timesteps(2, std=0.0)
