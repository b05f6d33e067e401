"""Optimizers, learning-rate schedule and the moving average of weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from a2cli.errors import ConfigError
from a2cli.training.config import OptimizerConfig
from a2cli.training.precision import has_bfloat16

QUINTIC = (3.4445, -4.7750, 2.0315)  # Muon's coefficients: steep at zero


def get_lr_scale(step: int, total: int, config: OptimizerConfig) -> float:
    """Learning rate at a step as a share of `lr`: linear warm-up, then cosine down to `final`."""
    if step < config.warmup:
        return (step + 1) / config.warmup
    progress = (step - config.warmup) / max(1, total - config.warmup)
    return config.final + (1 - config.final) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def build_optimizers(
    named: Iterable[tuple[str, nn.Parameter]], config: OptimizerConfig
) -> list[torch.optim.Optimizer]:
    """Make the optimizers of a run.

    With `muon`, matrices and convolutions inside blocks go to Muon (updates scaled to AdamW's size, so one
    `lr` serves both) and all else to AdamW without decay.
    """
    named = list(named)
    hidden = [p for name, p in named if config.name == "muon" and p.ndim in (2, 4) and "block" in name]
    chosen = {id(p) for p in hidden}
    rest = [p for _, p in named if id(p) not in chosen]
    optimizers: list[torch.optim.Optimizer] = []
    if rest:
        decay = 0.0 if hidden else config.weight_decay
        kind = _get_adamw8bit() if config.name == "adamw8bit" else torch.optim.AdamW
        optimizers.append(kind(rest, lr=config.lr, betas=config.betas, weight_decay=decay))
    if hidden:
        optimizers.append(FlatMuon(hidden, lr=config.lr, weight_decay=config.weight_decay))
    return optimizers


def _get_adamw8bit() -> Callable[..., torch.optim.Optimizer]:
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError as error:
        raise ConfigError("bitsandbytes is not installed", hint="pip install 'a2cli[quant]'") from error
    return AdamW8bit


class FlatMuon(torch.optim.Optimizer):
    """Muon that takes convolutions as matrices (out, in x height x width), sharing their storage.

    Matrices of one shape are orthogonalised together, in bfloat16 where the processor has it and in float32
    elsewhere: emulated bfloat16, which `torch.optim.Muon` insists on, made a step of the embedded model several
    times as long. Source: Jordan et al. 2024, "Muon"; sizes of updates as in Liu et al. 2025, section 2.2.
    """

    def __init__(self, parameters: list[nn.Parameter], *, lr: float, weight_decay: float) -> None:
        self.pairs = [(p, nn.Parameter(p.detach().view(p.shape[0], -1))) for p in parameters]
        super().__init__(
            [flat for _, flat in self.pairs], {"lr": lr, "weight_decay": weight_decay, "momentum": 0.95}
        )

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        group = self.param_groups[0]
        shapes: dict[torch.Size, list[tuple[nn.Parameter, torch.Tensor]]] = {}
        for parameter, flat in self.pairs:
            if parameter.grad is None:
                continue
            gradient, state = parameter.grad.reshape(flat.shape), self.state[flat]
            if not state:
                state["momentum_buffer"] = torch.zeros_like(flat)
            state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
            ahead = gradient.lerp(state["momentum_buffer"], group["momentum"])  # Nesterov
            shapes.setdefault(flat.shape, []).append((flat, ahead))
        for shape, members in shapes.items():
            size = 0.2 * math.sqrt(max(shape))  # the root mean square of AdamW's updates
            updates = orthogonalise(torch.stack([ahead for _, ahead in members]))
            for (flat, _), update in zip(members, updates, strict=True):
                flat.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-group["lr"] * size)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients of parameters and views."""
        for parameter, flat in self.pairs:
            parameter.grad = flat.grad = None


def orthogonalise(matrices: torch.Tensor) -> torch.Tensor:
    """Bring the singular values of matrices near 1 by a quintic Newton-Schulz iteration.

    `matrices` (N, A, B); returns the same shape and dtype. Singular values end in about [0.7, 1.2].
    """
    dtype = torch.bfloat16 if matrices.is_cuda or has_bfloat16() else torch.float32
    tall = matrices.shape[1] > matrices.shape[2]
    x = (matrices.mT if tall else matrices).to(dtype)
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp_min(1e-7)
    a, b, c = QUINTIC
    for _ in range(5):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype)


class Ema:
    """Exponential moving average of parameters, warmed up so that early noise is forgotten."""

    def __init__(self, named: Iterable[tuple[str, nn.Parameter]], decay: float) -> None:
        self.decay = decay
        self.parameters = dict(named)
        self.shadow = {name: p.detach().clone().float() for name, p in self.parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the average towards the current weights."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, average in self.shadow.items():
            average.lerp_(self.parameters[name].detach().float(), 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Have the averages in the place of the weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, parameter in self.parameters.items():
            current = parameter.detach().clone()
            parameter.copy_(self.shadow[name])
            self.shadow[name].copy_(current)
