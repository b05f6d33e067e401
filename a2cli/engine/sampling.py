"""One denoising under way: which tokens still move, how far they are, and what is known around them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from a2cli.backbones.base import Traits
from a2cli.config.localize import LocalizeOptions
from a2cli.context.cache import ContextCache
from a2cli.context.passes import Condition, TwoPass, repeat_condition
from a2cli.flow import get_resolution_mu, get_sigmas, get_source, sample_euler
from a2cli.flow.samplers import Callback, SamplerStep

if TYPE_CHECKING:
    from a2cli.region import RegionInputs


@dataclass(frozen=True)
class EditOptions:
    """How an edit is sampled; None means the backbone's own default. `localize`: how its region is found or held."""

    prompt: str = ""
    steps: int | None = None
    guidance: float | None = None
    seed: int = 0
    num_images: int = 1
    localize: LocalizeOptions | None = None


class Walk:
    """From noise to latents, in as many legs as one likes; between two of them the region may shrink.

    `condition` is of one sample, `start` (1, N, C) the tokens of the placed reference, which a backbone with
    `prior_noise` begins at. `region_inputs` switch a region adapter on. `tokens` (num_images, M, C) are those of
    `region` (M,), the indices that move, after `done` of `num_steps` steps.
    """

    def __init__(
        self,
        two_pass: TwoPass,
        traits: Traits,
        condition: Condition,
        options: EditOptions,
        *,
        start: Tensor | None = None,
        region_inputs: RegionInputs | None = None,
        callback: Callback | None = None,
    ) -> None:
        self._two_pass, self._callback = two_pass, callback
        self.count = options.num_images
        self.region = condition.get_region()
        two_pass.guidance = options.guidance if options.guidance is not None else traits.guidance
        self._know(condition, region_inputs)
        self.sigmas = get_sigmas(
            options.steps or traits.steps,
            shift=traits.shift,
            mu=None if traits.shift is not None else get_resolution_mu(condition.masked.shape[1]),
        )
        self.done = 0
        noisy = get_noise(tuple(condition.masked.shape[1:]), options).to(condition.masked)
        if traits.prior_noise is not None:
            if start is None:
                raise ValueError("this backbone flows from a start, and none was given")
            noisy = get_source(noisy, start.to(noisy), traits.prior_noise)
        self.tokens = noisy[:, self.region]

    @property
    def num_steps(self) -> int:
        return len(self.sigmas) - 1

    def advance(self, until: int | None = None) -> None:
        """Take steps until so many are done; None: all."""
        until = self.num_steps if until is None else min(until, self.num_steps)
        if until <= self.done:
            return
        sigmas = self.sigmas[self.done : until + 1]
        self.tokens = sample_euler(self._predict, self.tokens, sigmas, self._tell)
        self.done = until

    def narrow(self, condition: Condition, region_inputs: RegionInputs | None = None) -> None:
        """Go on with fewer tokens: those of `condition`'s region keep their noisy state, the others are known now.

        The condition's own region must lie in the present one.
        """
        region = condition.get_region()
        staying = torch.isin(self.region, region)
        if int(staying.sum()) != len(region):
            raise ValueError("a region can shrink, not grow")
        self.region, self.tokens = region, self.tokens[:, staying]
        self._know(condition, region_inputs)

    def get_tokens(self) -> Tensor:
        """All tokens (num_images, N, C): the moved ones where they are now, the others as they are known."""
        tokens = self._condition.masked.clone()
        tokens[:, self.region] = self.tokens
        return tokens

    def forget(self) -> None:
        """Free the context's keys and values, gigabytes in a large model: no step is to come."""
        self._cache = ContextCache()

    def _know(self, condition: Condition, region_inputs: RegionInputs | None) -> None:
        self._cache = self._two_pass.encode_context(condition).repeat(self.count)
        self._condition = repeat_condition(condition, self.count)
        self._inputs: dict[str, Any] = {}
        if region_inputs is not None:
            self._inputs["region_inputs"] = region_inputs.repeat(self.count)

    def _predict(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self._two_pass.predict_velocity(
            x, sigma, self._condition, self._cache, self.region, **self._inputs
        )

    def _tell(self, step: SamplerStep) -> None:
        if self._callback is not None:
            self._callback(replace(step, index=step.index + self.done, num_steps=self.num_steps))


def get_noise(shape: tuple[int, ...], options: EditOptions) -> Tensor:
    """Draw (num_images, N, C) noise on the CPU; image i depends on the seed and i alone."""
    seeds = [(options.seed * 1_000_003 + i) % 2**63 for i in range(options.num_images)]
    return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(s)) for s in seeds])
