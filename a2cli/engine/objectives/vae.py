"""Training the small autoencoder: L1 and MSE on pixels, L1 on their differences, on random windows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from a2cli.backbones.build import VAE_FOLDER, build_vae, whiten_latents
from a2cli.data.synth import synthesise
from a2cli.engine.objectives.loading import iterate_steps
from a2cli.engine.train_config import TrainConfig

WINDOW = 64  # px; the autoencoder is convolutional, so small windows teach it as well as large ones


class VaeObjective:
    """Reconstruct windows of references and targets through an `AutoencoderKL`."""

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        if config.model.path:
            from diffusers import AutoencoderKL

            self.vae: Any = AutoencoderKL.from_pretrained(config.model.path, subfolder=VAE_FOLDER)
        else:
            torch.manual_seed(config.seed)
            self.vae = build_vae(config.model.architecture[VAE_FOLDER])
        self.vae.to(memory_format=torch.channels_last)

    def named_parameters(self) -> list[tuple[str, nn.Parameter]]:
        """All weights of the autoencoder."""
        return list(self.vae.named_parameters())

    def batches(self, start: int) -> Iterator[dict[str, Any]]:
        """Windows of synthesised pairs, (B, 3, 64, 64) in [-1, 1]."""
        return iterate_steps(self._make_batch, start, self.config.steps, self.config.data.workers)

    def _make_batch(self, step: int) -> dict[str, Any]:
        data = self.config.data
        rng = np.random.default_rng([self.config.seed, 7, step])
        windows = []
        for i in range(data.batch_size // 4):
            pair = synthesise(
                step * data.batch_size + i, seed=self.config.seed, split="train", config=data.synth
            )
            for picture in (pair.ref_rgb, pair.tar_rgb, pair.tar_rgb, pair.scene_rgb):
                top, left = rng.integers(0, picture.shape[0] - WINDOW + 1, 2)
                windows.append(picture[top : top + WINDOW, left : left + WINDOW])
        pixels = torch.from_numpy(np.stack(windows)).permute(0, 3, 1, 2).float() / 127.5 - 1
        return {"pixels": pixels}

    def loss(self, batch: dict[str, Any], step: int) -> tuple[torch.Tensor, dict[str, float]]:
        """L1 + 2 MSE + 8 MSE of 8 px means + a quarter of the L1 of differences at two scales.

        The posterior's mode is decoded: its noise would drown colour early on, and `save` whitens the latents,
        which is all a KL term would be for.
        """
        pixels = batch["pixels"].contiguous(memory_format=torch.channels_last)
        posterior = self.vae.encode(pixels).latent_dist
        decoded = self.vae.decode(posterior.mode()).sample.float()
        l1, mse = F.l1_loss(decoded, pixels), F.mse_loss(decoded, pixels)
        edges = _difference_loss(decoded, pixels) + _difference_loss(
            F.avg_pool2d(decoded, 4), F.avg_pool2d(pixels, 4)
        )
        colour = F.mse_loss(F.avg_pool2d(decoded, 8), F.avg_pool2d(pixels, 8))
        loss = l1 + 2 * mse + 8 * colour + 0.25 * edges
        return loss, {"l1": l1.item(), "mse": mse.item(), "colour": colour.item(), "edges": edges.item()}

    def save(self, folder: Path) -> None:
        """Save a diffusers folder `vae/` whose latents are whitened on training pictures."""
        import copy

        vae = copy.deepcopy(self.vae).eval()
        means, covariance = self._measure(vae)
        whiten_latents(vae, means, covariance)
        vae.save_pretrained(folder / VAE_FOLDER, safe_serialization=True)

    @torch.no_grad()
    def _measure(self, vae: Any, count: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
        latents = []
        for step in range(count):
            pixels = self._make_batch(10_000_000 + step)["pixels"]
            mode = vae.encode(pixels).latent_dist.mode().double()
            latents.append(mode.permute(0, 2, 3, 1).reshape(-1, mode.shape[1]))
        samples = torch.cat(latents)
        return samples.mean(0), torch.cov(samples.T)


def _difference_loss(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    d = a - b
    return (d[..., 1:, :] - d[..., :-1, :]).abs().mean() + (d[..., 1:] - d[..., :-1]).abs().mean()
