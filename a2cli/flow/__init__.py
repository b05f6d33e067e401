"""Rectified flow as pure functions of tensors: time, sampling, objective."""

from __future__ import annotations

from a2cli.flow.objective import flow_matching_loss, get_source, interpolate, velocity_target
from a2cli.flow.samplers import SamplerStep, sample_euler, sample_heun
from a2cli.flow.timesteps import get_resolution_mu, get_sigmas, sample_timesteps, shift_sigmas

__all__ = [
    "SamplerStep",
    "flow_matching_loss",
    "get_resolution_mu",
    "get_sigmas",
    "get_source",
    "interpolate",
    "sample_euler",
    "sample_heun",
    "sample_timesteps",
    "shift_sigmas",
    "velocity_target",
]
