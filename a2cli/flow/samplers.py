"""Samplers: functions of (model, x, sigmas) that walk the flow dx / dsigma = velocity from noise to latents.

model(x, sigma) gets x (B, ...) and sigma (B,) float32 and returns the velocity, shaped as x.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from a2cli.errors import BackboneError, ConfigError
from a2cli.flow.checks import require_finite

VelocityModel = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class SamplerStep:
    """What a callback sees after the model has spoken and before x moves.

    index: 0-based, of num_steps. x and velocity: (B, ...) at sigma.
    """

    index: int
    num_steps: int
    sigma: float
    x: Tensor
    velocity: Tensor

    @property
    def denoised(self) -> Tensor:
        """The clean latents this velocity points at: x - sigma v, shaped as x."""
        return _advance(self.x, self.velocity, -self.sigma)


Callback = Callable[[SamplerStep], None]


def _advance(x: Tensor, velocity: Tensor, delta: float) -> Tensor:
    # bf16 latents would lose small steps to rounding: the sum is at least float32.
    wide = torch.promote_types(x.dtype, torch.float32)
    return (x.to(wide) + delta * velocity.to(wide)).to(x.dtype)


def _check_sigmas(sigmas: Tensor) -> list[float]:
    values: list[float] = sigmas.tolist()
    if len(values) < 2 or any(not (a > b >= 0) for a, b in pairwise(values)):
        raise ConfigError("sigmas must be at least two values that fall and do not go below 0")
    return values


def _get_velocity(model: VelocityModel, x: Tensor, sigma: float, place: str) -> Tensor:
    batch_sigma = torch.full((x.shape[0],), sigma, dtype=torch.float32, device=x.device)
    velocity = model(x, batch_sigma)
    if velocity.shape != x.shape:
        raise BackboneError(f"the model returned {tuple(velocity.shape)} for latents {tuple(x.shape)}")
    return require_finite(velocity, f"velocity at {place}", hint="a wider --dtype may help")


@torch.no_grad()
def sample_euler(model: VelocityModel, x: Tensor, sigmas: Tensor, callback: Callback | None = None) -> Tensor:
    """Integrate with Euler steps, one model call a step.

    x: (B, ...) at sigmas[0]; sigmas: (n + 1,) strictly falling, last one usually 0. Returns x at sigmas[-1],
    dtype kept. callback gets a `SamplerStep` n times.
    Raises ConfigError for bad sigmas, BackboneError for a velocity of another shape, NaN or infinite.
    """
    values = _check_sigmas(sigmas)
    num_steps = len(values) - 1
    for i, (sigma, sigma_next) in enumerate(pairwise(values)):
        velocity = _get_velocity(model, x, sigma, f"step {i + 1} of {num_steps}")
        if callback is not None:
            callback(SamplerStep(i, num_steps, sigma, x, velocity))
        x = _advance(x, velocity, sigma_next - sigma)
    return x


@torch.no_grad()
def sample_heun(model: VelocityModel, x: Tensor, sigmas: Tensor, callback: Callback | None = None) -> Tensor:
    """Integrate with Heun's second-order steps, two model calls a step and one for a step that ends at 0.

    The last step is Euler's because no model is trained at sigma 0; the order of the whole stays 2.
    Arguments, result and errors as `sample_euler`; the callback sees the first velocity of each step.
    Source: Karras et al. 2022, algorithm 1.
    """
    values = _check_sigmas(sigmas)
    num_steps = len(values) - 1
    for i, (sigma, sigma_next) in enumerate(pairwise(values)):
        place = f"step {i + 1} of {num_steps}"
        velocity = _get_velocity(model, x, sigma, place)
        if callback is not None:
            callback(SamplerStep(i, num_steps, sigma, x, velocity))
        delta = sigma_next - sigma
        if sigma_next > 0:
            predicted = _advance(x, velocity, delta)
            corrected = _get_velocity(model, predicted, sigma_next, place)
            velocity = (velocity + corrected) / 2
        x = _advance(x, velocity, delta)
    return x
