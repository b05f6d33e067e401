"""Training a region adapter on a frozen base ("Edit Where You Mean", section 3.7).

Two paths that share no trained weight: edits whose true region is told to the adapters, and masks predicted from the
photo and the sentence. The first never sees what the second predicts.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from a2cli.context.passes import Condition
from a2cli.data.records import Pair
from a2cli.engine.prepare import to_pixels
from a2cli.engine.words import get_prompt_states
from a2cli.errors import ConfigError
from a2cli.flow import interpolate
from a2cli.region.region_loss import mask_loss
from a2cli.training.config import TrainConfig
from a2cli.training.grids import SampleGrids
from a2cli.training.looks import check_looks, has_look, make_look
from a2cli.training.objectives.edit import EditObjective
from a2cli.training.processes import Processes
from a2cli.training.region_weights import PREDICTOR, RegionWeights
from a2cli.training.samples import collate
from a2cli.training.schedule import get_seed

_AT_ONCE = 8  # photos a processor's caches hold best: 48 took it half as long again
_STREAM = 37  # of the run's seed: windows of the photos, noise on their latents


class RegionObjective(EditObjective):
    """Velocity under masks of which only a part is to change, and the predicted part."""

    def __init__(self, config: TrainConfig, *, half: bool = False) -> None:
        super().__init__(config, half=half)
        assert config.region is not None and isinstance(self.trainable, RegionWeights)
        self.handle, self.predicts = self.trainable.handle, self.trainable.predicts
        if self.predicts and not hasattr(self.backbone, "encode_text"):
            raise ConfigError(
                f"backbone {self.backbone.name} tells no states of a sentence", hint="region.predictor: null"
            )
        self.noise = config.region.predictor.noise if config.region.predictor else 0.0

    def place(self, processes: Processes) -> None:
        """Move the frozen parts to the device; raises `DataError` where there is no photo to find anything in."""
        if self.predicts:
            check_looks(self.source)
        super().place(processes)

    @cached_property
    def grids(self) -> SampleGrids:
        """The fixed pairs, opened when the first grid is made."""
        return SampleGrids(self.backbone, self.config, self.two_pass, self.handle)

    def make_batch(self, step: int, samples: Sequence[int]) -> dict[str, Any]:
        """Prepared edits and `looks` at the photos of instruction pairs, each where it is trained."""
        pairs = [self.source.get_pair(sample) for sample in samples]
        batch = self.prepare(step, samples, pairs) if self.config.loss.flow else {}
        if not self.predicts:
            return batch
        looks = [self._look(pair, row, samples[row]) for row, pair in enumerate(pairs) if has_look(pair)]
        return {**batch, "looks": collate(looks) if looks else {}}

    def _look(self, pair: Pair, row: int, sample: int) -> dict[str, Any]:
        rng, data = np.random.default_rng([self.config.seed, _STREAM, sample]), self.config.data
        return {**make_look(pair, data.resolution, self.backbone.traits.token_px, data.zoom, rng), "row": row}

    def count(self, batch: dict[str, Any]) -> float:
        """As for edits; without them nothing is a mean over a whole step."""
        return super().count(batch) if self.config.loss.flow else 1.0

    def get_group(self, name: str) -> str:
        """The predictor's gradients are clipped apart: neither path slows the other down."""
        return "predictor" if name.startswith(PREDICTOR) else "editor"

    def loss(
        self, batch: dict[str, Any], total: float, seeds: Sequence[int]
    ) -> tuple[Tensor, dict[str, float]]:
        """The velocity's error, weighted by tokens (eq. 7), and the predicted masks' (eq. 9), each with its weight."""
        weights = self.config.loss
        loss, figures = next(p for _, p in self.named_parameters()).sum() * 0, dict[str, float]()
        if weights.flow:
            error, figures = super().loss(batch, total, seeds)
            loss, figures["edit_loss"] = loss + weights.flow * error, error.item()
        if self.predicts:
            term, figures["mask_iou"] = self._weigh_masks(batch["looks"], seeds)
            loss, figures["mask_loss"] = loss + self.config.mask_weight * term, term.item()
        return loss, figures

    def get_target_inputs(self, batch: dict[str, Any], condition: Condition) -> dict[str, Any]:
        """The true region of each edit, whatever its mask: the adapters never see a predicted one."""
        region = batch["region"].to(self.device, non_blocking=True)
        inputs = self.handle.encode(region, condition.grid, get_prompt_states(self.backbone, condition))
        assert inputs is not None  # the velocity is learned by adapters alone
        return {"region_inputs": inputs.repeat(self.config.flow.noise_draws)}

    def _weigh_masks(self, looks: dict[str, Any], seeds: Sequence[int]) -> tuple[Tensor, float]:
        """The loss of predicted masks and their mean IoU; nothing to look at counts as 0."""
        if not looks:
            return torch.zeros((), device=self.device), 0.0
        logits = self.predict(looks, [seeds[row] for row in looks["row"]])
        truth = looks["cover"].to(logits.device)
        return mask_loss(logits, truth), get_overlap(logits, truth)

    def predict(self, looks: dict[str, Any], seeds: Sequence[int] | None = None) -> Tensor:
        """Logits (B, h, w) on the latent grid of whole photos; without seeds of clean ones."""
        tokens, grid = self.encode_photos(looks, seeds)
        with torch.no_grad():
            text = self.backbone.recall("text", looks["sentence"], self.backbone.encode_text)[0]
        assert self.handle.predictor is not None
        return self.handle.predictor(tokens, grid, text)

    @torch.no_grad()
    def encode_photos(
        self, looks: dict[str, Any], seeds: Sequence[int] | None
    ) -> tuple[Tensor, tuple[int, int]]:
        """Tokens (B, N, C) of whole photos, noised as the predictor's settings say, and their grid."""
        side = looks["photo"].shape[1] // self.backbone.traits.token_px
        pixels = to_pixels(looks["photo"].to(self.device, non_blocking=True))
        parts = pixels.split(_AT_ONCE) if self.device.type == "cpu" else (pixels,)
        tokens = torch.cat([self.backbone.encode_pixels(part) for part in parts])
        if self.noise and seeds is not None:
            return self._add_noise(tokens.float(), seeds), (side, side)
        return tokens.float(), (side, side)

    def _add_noise(self, tokens: Tensor, seeds: Sequence[int]) -> Tensor:
        """Bring each sample's tokens to a level drawn evenly up to `region.predictor.noise`."""
        noise, sigma = [], []
        for seed in seeds:
            generator = torch.Generator().manual_seed(get_seed(seed, _STREAM, 0))
            sigma.append(self.noise * torch.rand(1, generator=generator))
            noise.append(torch.randn(tokens.shape[1:], generator=generator))
        return interpolate(tokens, torch.stack(noise).to(tokens), torch.cat(sigma).to(tokens))


def get_overlap(logits: Tensor, truth: Tensor) -> float:
    """Mean IoU of predicted masks, logits (B, h, w), with the true ones (B, h, w) in [0, 1]; of two empty ones 1."""
    found, wanted = logits.detach() > 0, truth > 0.5
    both, neither = ((x & y).flatten(1).sum(1) for x, y in ((found, wanted), (~found, ~wanted)))
    union = truth[0].numel() - neither
    iou = torch.where(union > 0, both / union.clamp_min(1), torch.ones_like(union, dtype=torch.float32))
    return iou.mean().item()
