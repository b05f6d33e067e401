"""Noise levels: the grid a sampler walks down and the draw a training step makes.

A sigma is the share of noise in x = (1 - sigma) x0 + sigma noise; it is also the model's timestep in [0, 1].
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from a2cli.errors import ConfigError

TimestepWeighting = Literal["logit_normal", "uniform"]


def get_resolution_mu(
    image_seq_len: int,
    *,
    base_seq_len: int = 256,
    max_seq_len: int = 4096,
    base_shift: float = 0.5,
    max_shift: float = 1.15,
) -> float:
    """Get FLUX's resolution shift mu, a line through two (tokens, shift) points, not clipped outside them.

    image_seq_len: target tokens of one picture, > 0. The result goes into `get_sigmas(..., mu=mu)`.
    Source: FLUX.1; Esser et al. 2024, section 5.3.2, shows why larger pictures need more noise.
    """
    slope = (max_shift - base_shift) / (max_seq_len - base_seq_len)
    return base_shift + slope * (image_seq_len - base_seq_len)


def shift_sigmas(sigmas: Tensor, shift: float) -> Tensor:
    """Move sigmas in [0, 1] towards the noisy end; 0 and 1 stay, shift 1 is the identity.

    Raises ConfigError unless shift is a positive finite number.
    Source: Esser et al. 2024, section 5.3.2, equation 23 (shift = sqrt(m / n)); FLUX's mu is log(shift).
    """
    if not (math.isfinite(shift) and shift > 0):
        raise ConfigError(f"the timestep shift must be a positive number, not {shift}")
    return shift * sigmas / (1 + (shift - 1) * sigmas)


def get_sigmas(
    num_steps: int,
    *,
    shift: float | None = None,
    mu: float | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Get the sampling grid: (num_steps + 1,) float32, strictly falling from exactly 1 to exactly 0.

    shift: factor > 0, None for an even grid. mu: its logarithm, from `get_resolution_mu`; one of the two at
    most.
    Raises ConfigError for num_steps < 1, a shift that is not positive, or both shift and mu.
    """
    if num_steps < 1:
        raise ConfigError(f"sampling needs at least 1 step, not {num_steps}")
    if shift is not None and mu is not None:
        raise ConfigError("give the timestep shift as a factor or as mu, not both")
    # In float64, so that a strong shift cannot merge neighbours before the last rounding.
    sigmas = torch.linspace(1.0, 0.0, num_steps + 1, dtype=torch.float64)
    if mu is not None:
        shift = math.exp(mu)
    if shift is not None:
        sigmas = shift_sigmas(sigmas, shift)
    return sigmas.to(device=device, dtype=torch.float32)


def sample_timesteps(
    batch: int,
    generator: torch.Generator | None = None,
    *,
    weighting: TimestepWeighting = "logit_normal",
    mean: float = 0.0,
    std: float = 1.0,
    shift: float | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Draw one sigma a sample: (batch,) float32 in (0, 1].

    logit_normal: sigmoid(N(mean, std)); uniform: mean and std unused. The draw happens on the generator's
    device (CPU without one) and is then moved, so a seed gives the same sigmas everywhere.
    Raises ConfigError for an unknown weighting, batch < 1, std <= 0 or a shift that is not positive.
    Source: Esser et al. 2024, section 3.1, equation 19.
    """
    if weighting not in get_args(TimestepWeighting):
        raise ConfigError(f"unknown timestep weighting {weighting!r}", hint="logit_normal or uniform")
    if batch < 1:
        raise ConfigError(f"a batch has at least 1 sample, not {batch}")
    if weighting == "logit_normal" and not std > 0:
        raise ConfigError(f"the spread of the logit-normal must be positive, not {std}")
    source = generator.device if generator is not None else torch.device("cpu")
    if weighting == "uniform":
        sigmas = 1.0 - torch.rand(batch, generator=generator, device=source)
    else:
        normal = torch.randn(batch, generator=generator, device=source)
        sigmas = torch.sigmoid(mean + std * normal)
    if shift is not None:
        sigmas = shift_sigmas(sigmas, shift)
    # Extreme settings round to 0 in float32, and a sigma of 0 would teach nothing.
    return sigmas.clamp(torch.finfo(torch.float32).tiny, 1.0).to(device)
