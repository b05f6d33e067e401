"""The training objective: straight paths from data to noise, and the error of their velocity."""

from __future__ import annotations

import torch
from torch import Tensor

from a2cli.flow.checks import require_finite


def interpolate(x0: Tensor, noise: Tensor, sigma: Tensor | float) -> Tensor:
    """Get the noised latents (1 - sigma) x0 + sigma noise, shaped as x0.

    x0, noise: (B, ...). sigma in [0, 1]: a number, or (B,), or any shape that broadcasts to x0.
    Source: Lipman et al. 2023; Esser et al. 2024, equation 13.
    """
    if isinstance(sigma, Tensor):
        if sigma.ndim == 1:
            sigma = sigma.reshape(-1, *(1 for _ in x0.shape[1:]))
        sigma = sigma.to(x0)
    return (1 - sigma) * x0 + sigma * noise


def get_source(noise: Tensor, start: Tensor, prior_noise: float) -> Tensor:
    """Get the far end of the paths when they begin at an informed guess: the guess plus some noise.

    noise: (B, ...); start: (B or 1, ...), the guess in clean latents. Shaped as `noise`.
    Source: Albergo et al. 2024, Stochastic interpolants with data-dependent couplings, section 3.
    """
    return start + prior_noise * noise


def velocity_target(x0: Tensor, noise: Tensor) -> Tensor:
    """Get the velocity dx / dsigma = noise - x0 of the straight path, shaped as x0."""
    return noise - x0


def flow_matching_loss(
    pred: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    total: float | None = None,
    *,
    check: bool = True,
) -> Tensor:
    """Get the weighted mean squared error sum(w (pred - target)^2) / sum(w), a float32 scalar.

    pred, target: (B, ...) of one shape. weight >= 0 broadcasts to it, e.g. (B, T, 1) for tokens; the sum runs
    over the whole batch, so a large region counts more than a small one. If every weight is 0 the loss is 0.
    total: what to divide by in the place of the sum of `weight`, as it stands before it broadcasts: that of all
    batches of a step that is taken in parts.
    Raises BackboneError when the result is NaN or infinite, unless `check` is off (a run in several processes has
    to find that out in all of them together).
    """
    if pred.shape != target.shape:
        raise ValueError(f"pred {tuple(pred.shape)} and target {tuple(target.shape)} differ in shape")
    wide = torch.promote_types(pred.dtype, torch.float32)
    error = (pred.to(wide) - target.to(wide)).square()
    if weight is None:
        loss = error.mean()
    else:
        expanded = weight.to(error).expand_as(error)
        # A sum of zeros has a zero numerator as well; the clamp only keeps 0 / 0 from being NaN.
        parts = expanded.numel() / weight.numel()
        whole = expanded.sum() if total is None else torch.as_tensor(total * parts, device=error.device)
        loss = (expanded * error).sum() / whole.clamp_min(torch.finfo(wide).tiny)
    if not check:
        return loss
    return require_finite(loss, "training loss", hint="lower the learning rate or look at the data")
