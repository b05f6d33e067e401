"""Training the editor: flow matching on the tokens under the mask, the base whole or an adapter alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from a2cli.context.passes import Condition, TwoPass, repeat_condition
from a2cli.data.order import get_buckets
from a2cli.data.records import Pair
from a2cli.data.source import PairSource, open_source
from a2cli.engine.prepare import to_pixels
from a2cli.errors import ConfigError
from a2cli.flow import (
    flow_matching_loss,
    get_resolution_mu,
    get_source,
    interpolate,
    sample_timesteps,
    velocity_target,
)
from a2cli.masks.curriculum import get_stage
from a2cli.mot.contrastive import FeatureTap, contrastive_loss
from a2cli.training.caching import Encodings
from a2cli.training.config import TrainConfig
from a2cli.training.grids import SampleGrids
from a2cli.training.opening import open_base
from a2cli.training.processes import Processes
from a2cli.training.samples import collate, get_size, make_sample
from a2cli.training.trainable import build_trainable
from a2cli.training.usage import UsageCount


class EditObjective:
    """Velocity of the masked tokens, given everything else (A2-Edit, section 3.2)."""

    def __init__(self, config: TrainConfig, *, half: bool = False) -> None:
        _check(config)
        self.config = config
        self.backbone = open_base(config, half=half)
        self.device = self.backbone.device
        self.two_pass = TwoPass(self.backbone.transformer, guidance=config.flow.guidance)
        self.trainable = build_trainable(self.backbone, config, self.two_pass.state)
        self.experts, self.modules = self.trainable.experts, self.trainable.modules
        self.two_pass.experts = self.experts
        self.encodings = Encodings(self.backbone, config)
        if config.gradient_checkpointing:
            self.two_pass.enable_gradient_checkpointing()
        self.usage = UsageCount(self.experts) if self.experts and config.adapter else None
        self.tap: FeatureTap | None = None
        if self.experts and config.loss.contrastive:
            kinds = {spec.name: spec.kind for spec in self.backbone.get_blocks()}
            wanted = [
                block
                for block in self.experts.blocks
                if config.loss.contrastive_blocks == "all" or kinds[block.name] == "double"
            ]
            self.tap = FeatureTap(wanted)

    @cached_property
    def source(self) -> PairSource:
        """The pairs; with `data.buckets` and where their order is free, those of one bucket side by side."""
        data, buckets = self.config.data, None
        if data.buckets and data.path is not None and not data.streaming:
            buckets = get_buckets(data.resolution, self.backbone.traits.token_px)
        return open_source(data, seed=self.config.seed, batch=data.batch_size, buckets=buckets)

    @cached_property
    def grids(self) -> SampleGrids:
        """The fixed triplets, opened when the first grid is made."""
        return SampleGrids(self.backbone, self.config, self.two_pass)

    def place(self, processes: Processes) -> None:
        """Move the frozen parts to the device, and encode what is encoded once."""
        trained = set(self.modules.values())
        for component in self.backbone.components.values():
            if isinstance(component, nn.Module) and component not in trained:
                component.to(processes.device)
        self.device = processes.device
        self.encodings.fill(self.source, processes, self.grids.pairs if self.config.sample_every else [])

    def get_units(self) -> Sequence[nn.Module]:
        """The transformer's blocks."""
        return [spec.module for spec in self.backbone.get_blocks()]

    def named_parameters(self) -> list[tuple[str, nn.Parameter]]:
        """Experts and routers, the plain adapter, or every weight but the autoencoder's."""
        return list(self.trainable.named_parameters().items())

    def make_batch(self, step: int, samples: Sequence[int]) -> dict[str, Any]:
        """Prepared edits; see `prepare`."""
        return self.prepare(step, samples, [self.source.get_pair(sample) for sample in samples])

    def prepare(self, step: int, samples: Sequence[int], pairs: Sequence[Pair]) -> dict[str, Any]:
        """Prepare edits: pictures (B, h, w, 3) uint8, masks (B, h, w) bool, token weights, prompts, categories.

        Positions are shared within a batch: the first sample decides the working size of all. Removals are left out,
        as nothing comes with a reference; where there is nothing else one stays and counts for nothing. `row` are the
        places in `samples` of those that are left.
        """
        rows = [row for row, pair in enumerate(pairs) if pair.task != "remove"] or [0]
        traits, made = self.backbone.traits, []
        size = get_size(pairs[rows[0]].tar_mask, self.config.data, traits.token_px)
        for row in rows:
            sample = make_sample(
                pairs[row],
                self.config,
                size=size,
                step=step,
                sample=samples[row],
                token_px=traits.token_px,
                start=traits.prior_noise is not None,
            )
            made.append({**sample, "row": row})
        if pairs[rows[0]].task == "remove":
            made[0]["weight"] *= 0
        return collate(made)

    def count(self, batch: dict[str, Any]) -> float:
        """The weights of all tokens and noise levels."""
        return float(batch["weight"].double().sum()) * self.config.flow.noise_draws

    def loss(
        self, batch: dict[str, Any], total: float, seeds: Sequence[int]
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """One context pass and `noise_draws` target passes a sample; the loss counts masked tokens only."""
        draws, traits = self.config.flow.noise_draws, self.backbone.traits
        seeds = [seeds[row] for row in batch["row"]]
        condition, clean, start = self._encode(batch)
        if self.tap:
            with self.tap:
                context = self.two_pass.encode_context(condition, full_grid=True)
        else:
            context = self.two_pass.encode_context(condition, full_grid=True)
        extra, figures = self._weigh_experts(batch["category"], condition)
        noise, sigma = self._draw(clean, seeds)
        clean = clean.repeat_interleave(draws, 0)
        if start is not None:
            noise = get_source(noise, start.repeat_interleave(draws, 0), traits.prior_noise)
        velocity = self.two_pass.predict_velocity(
            interpolate(clean, noise, sigma),
            sigma,
            repeat_condition(condition, draws),
            context.repeat(draws),
            **self.get_target_inputs(batch, condition),
        )
        weight = batch["weight"].to(clean).repeat_interleave(draws, 0)[..., None]
        loss = flow_matching_loss(velocity.float(), velocity_target(clean, noise), weight, total, check=False)
        figures["masked_share"] = (batch["weight"] > 0).float().mean().item()
        figures["iou"] = sum(batch["iou"]) / len(batch["iou"])
        return loss + extra, figures

    def _encode(self, batch: dict[str, Any]) -> tuple[Condition, torch.Tensor, torch.Tensor | None]:
        """The condition, the target's clean tokens, and those the flow starts from where it starts from any."""
        pictures = {
            key: to_pixels(batch[key].to(self.device, non_blocking=True))
            for key in ("target", "masked", "reference", "start")
            if key in batch
        }
        mask = batch["mask"].to(self.device, non_blocking=True)[:, None].float()
        condition = self.backbone.build_condition(
            pictures["masked"], mask, pictures["reference"], batch["prompt"]
        )
        with torch.no_grad():
            clean = self.encodings.encode_target(pictures["target"]).float()
            start = self.backbone.encode_pixels(pictures["start"]).float() if "start" in pictures else None
        return condition, clean, start

    def _draw(self, clean: torch.Tensor, seeds: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Noise (B * draws, N, C) and levels (B * draws,): of a sample's seed alone, on every device the same."""
        flow = self.config.flow
        shift = flow.shift if isinstance(flow.shift, float) else None
        if flow.shift == "resolution":
            shift = float(torch.tensor(get_resolution_mu(clean.shape[1])).exp())
        noise, sigma = [], []
        for seed in seeds:
            generator = torch.Generator().manual_seed(seed)
            sigma.append(
                sample_timesteps(
                    flow.noise_draws,
                    generator,
                    weighting=flow.weighting,
                    mean=flow.mean,
                    std=flow.std,
                    shift=shift,
                )
            )
            noise.append(torch.randn(flow.noise_draws, *clean.shape[1:], generator=generator))
        return torch.cat(noise).to(clean), torch.cat(sigma).to(clean.device)

    def _weigh_experts(
        self, categories: list[str], condition: Condition
    ) -> tuple[torch.Tensor | float, dict[str, float]]:
        """The terms that act on experts, with their weights, and what the log says of them."""
        if self.experts is None or self.usage is None:
            return 0.0, {}
        self.usage.add(categories)
        balance = self.experts.get_balance_loss()
        figures, extra = {"balance": balance.item()}, self.config.loss.balance * balance
        if self.tap:
            seen = torch.cat(
                [
                    condition.visible,
                    torch.ones_like(condition.visible[:, :1]).expand(-1, condition.reference.shape[1]),
                ],
                1,
            )
            terms = [
                contrastive_loss(
                    tokens[:, -seen.shape[1] :] * seen[..., None], categories, self.config.loss.tau
                )
                for tokens in self.tap.features.values()
            ]
            self.tap.features = {}  # the graph keeps what it needs
            term = torch.stack(terms).mean()
            figures["contrastive"] = term.item()
            extra = extra + self.config.loss.contrastive * term
        return extra, figures

    def get_target_inputs(self, batch: dict[str, Any], condition: Condition) -> dict[str, Any]:
        """What the target pass is told besides: nothing here."""
        return {}

    def get_group(self, name: str) -> str:
        """One group: all gradients are clipped together."""
        return ""

    def describe(self, step: int) -> dict[str, Any]:
        """The stage in force, or "mixed"; nothing where no edit is learned."""
        if not self.config.loss.flow:
            return {}
        mats = self.config.mats
        return {"stage": "mixed" if mats.mode == "mixed" else get_stage(step, self.config.steps, mats)}

    def is_turn(self, step: int) -> bool:
        """Whether the next step belongs to another stage."""
        return self.describe(step) != self.describe(step + 1)

    def sample(self, folder: Path | None, step: int) -> dict[str, float]:
        """Edit the fixed triplets under all three masks; the grid goes to `samples/step-N.png`."""
        return self.grids.make(folder, step)

    def gather_usage(self, processes: Processes, step: int) -> dict[str, Any] | None:
        """The counts of all processes since the last call, as `usage.json` holds them."""
        if self.usage is None:
            return None
        used, samples = (processes.sum_tensor(t) for t in (self.usage.used, self.usage.samples))
        self.usage.reset()
        return self.usage.get_table(used, samples, step)

    def save(self, folder: Path | None) -> None:
        """Save a diffusers folder `model` (base) or a folder `adapter`."""
        self.trainable.save(folder)


def _check(config: TrainConfig) -> None:
    if config.model.train != "base" and "transformer" in config.model.architecture:
        raise ConfigError(
            "model.architecture.transformer: an adapter needs a trained base",
            hint="name its folder in model.path",
        )
