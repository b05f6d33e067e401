"""Training the editor: flow matching on the tokens under the mask, the base whole or its experts alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from a2cli.context.passes import TwoPass, repeat_condition
from a2cli.data.synth import repose, synthesise
from a2cli.engine.prepare import get_start, prepare_edit, to_pixels
from a2cli.errors import ConfigError
from a2cli.flow import flow_matching_loss, get_source, interpolate, sample_timesteps, velocity_target
from a2cli.images.cutout import Cutout
from a2cli.masks.curriculum import apply_stage, get_stage, sample_stage
from a2cli.training.config import TrainConfig
from a2cli.training.nano import build_or_load_nano, save_nano
from a2cli.training.objectives.loading import iterate_steps
from a2cli.types import Stage

PARTS = ("transformer", "text_encoder_2", "image_encoder", "image_embedder")


class EditObjective:
    """Velocity of the masked tokens, given everything else (A2-Edit, section 3.2)."""

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        _check(config)
        self.backbone = build_or_load_nano(config.model, seed=config.seed)
        token_px = self.backbone.traits.token_px
        if config.data.resolution < token_px or config.data.resolution % token_px:
            raise ConfigError(
                f"data.resolution: {config.data.resolution}", hint=f"a multiple of {token_px}, a token's side"
            )
        self.experts: Any = None
        if config.adapter is not None:
            from a2cli.mot import inject_mot

            torch.manual_seed(config.seed)
            self.experts = inject_mot(self.backbone.transformer, self.backbone.get_blocks(), config.adapter)
        else:
            for part in PARTS:
                self.backbone.components[part].requires_grad_(True)
        self.two_pass = TwoPass(self.backbone.transformer, experts=self.experts)

    def named_parameters(self) -> list[tuple[str, nn.Parameter]]:
        """Experts and routers, or every weight but the autoencoder's."""
        if self.experts is not None:
            return list(self.experts.named_parameters().items())
        return [
            (f"{part}.{name}", parameter)
            for part in PARTS
            for name, parameter in self.backbone.components[part].named_parameters()
        ]

    def batches(self, start: int) -> Iterator[dict[str, Any]]:
        """Prepared edits: pictures (B, S, S, 3) uint8, masks (B, S, S) bool, prompts, categories.

        `start` is among the pictures where the backbone flows from one (`prior_noise`).
        """
        return iterate_steps(self._make_batch, start, self.config.steps, self.config.data.workers)

    def _make_batch(self, step: int) -> dict[str, Any]:
        data = self.config.data
        samples = [self._make_sample(step, step * data.batch_size + i) for i in range(data.batch_size)]
        return {
            key: torch.from_numpy(np.stack([s[key] for s in samples]))
            if isinstance(samples[0][key], np.ndarray)
            else [s[key] for s in samples]
            for key in samples[0]
        }

    def _make_sample(self, step: int, index: int) -> dict[str, Any]:
        data = self.config.data
        pair = synthesise(index, seed=self.config.seed, config=data.synth)
        rng = np.random.default_rng([self.config.seed, 11, index])
        stage: Stage = sample_stage(step, self.config.steps, self.config.mats, rng)
        mask = (
            apply_stage(pair.tar_mask, stage, rng, self.config.rough)
            if pair.tar_mask.any()
            else pair.tar_mask
        )
        if not mask.any():
            mask = np.zeros_like(mask)
            mask[mask.shape[0] // 4 : -mask.shape[0] // 4, mask.shape[1] // 4 : -mask.shape[1] // 4] = True
        if stage != "fine" and rng.random() < data.repose:
            pair = repose(pair, mask, rng)
        prepared = prepare_edit(
            pair.tar_rgb,
            mask,
            Cutout(pair.ref_rgb, pair.ref_mask.astype(np.float32)),
            size=data.resolution,
            context=float(rng.uniform(*data.context)),
            collage=rng.random() >= data.drop_collage,
        )
        return {
            "source": prepared.source,
            "masked": prepared.masked,
            **({"start": get_start(prepared)} if self.backbone.traits.prior_noise is not None else {}),
            "mask": prepared.mask,
            "reference": prepared.reference,
            "prompt": ""
            if rng.random() < data.drop_prompt
            else (pair.category, pair.prompt)[int(rng.integers(2))],
            "category": pair.category,
            "stage": stage,
        }

    def loss(self, batch: dict[str, Any], step: int) -> tuple[torch.Tensor, dict[str, float]]:
        """One context pass and `noise_draws` target passes a sample; the loss counts masked tokens only."""
        flow = self.config.flow
        target, masked, reference = (to_pixels(batch[k].numpy()) for k in ("source", "masked", "reference"))
        mask = batch["mask"][:, None].float()
        condition = self.backbone.build_condition(masked, mask, reference, batch["prompt"])
        with torch.no_grad():
            clean = self.backbone.encode_pixels(target).float()
        cache = self.two_pass.encode_context(condition, full_grid=True).repeat(flow.noise_draws)
        condition = repeat_condition(condition, flow.noise_draws)
        clean = clean.repeat_interleave(flow.noise_draws, 0)
        noise = self._get_noise(clean, batch)
        sigma = sample_timesteps(clean.shape[0], weighting=flow.weighting, mean=flow.mean, std=flow.std)
        noisy = interpolate(clean, noise, sigma)
        velocity = self.two_pass.predict_velocity(noisy, sigma, condition, cache)
        weight = (~condition.visible)[..., None].float()
        loss = flow_matching_loss(velocity.float(), velocity_target(clean, noise), weight)
        return loss, {"masked_share": weight.mean().item(), "stage": float(self._stage_number(step))}

    def _get_noise(self, clean: torch.Tensor, batch: dict[str, Any]) -> torch.Tensor:
        noise, prior_noise = torch.randn_like(clean), self.backbone.traits.prior_noise
        if prior_noise is None:
            return noise
        with torch.no_grad():
            start = self.backbone.encode_pixels(to_pixels(batch["start"].numpy())).float()
        draws = clean.shape[0] // start.shape[0]
        return get_source(noise, start.repeat_interleave(draws, 0), prior_noise)

    def _stage_number(self, step: int) -> int:
        stages = self.config.mats.stages
        return list(stages).index(get_stage(step, self.config.steps, self.config.mats))

    def save(self, folder: Path) -> None:
        """Save a diffusers folder (base) or an adapter folder (experts)."""
        if self.experts is None:
            save_nano(self.backbone, folder / "model")
            return
        from a2cli.mot.adapter import save_adapter

        save_adapter(
            self.experts,
            folder / "adapter",
            backbone=self.backbone.name,
            base_id=self.backbone.name,
            base_hash=self.backbone.base_hash,
            dtype=torch.float16,
            recipe={"steps": self.config.steps, "stages": list(self.config.mats.stages)},
        )


def _check(config: TrainConfig) -> None:
    if config.data.batch_size < 1 or config.flow.noise_draws < 1:
        raise ConfigError("data.batch_size and flow.noise_draws must be 1 or more")
    if config.model.train == "mot" and "transformer" in config.model.architecture:
        raise ConfigError(
            "model.architecture.transformer: experts need a trained base",
            hint="name its folder in model.path",
        )
