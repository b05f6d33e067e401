"""Training the small autoencoder: L1 and MSE on pixels, L1 on their differences, on random windows."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from a2cli.backbones.build import VAE_FOLDER, build_vae, weigh_latents, whiten_latents
from a2cli.backbones.loading import check_folder, load_component
from a2cli.data.synth import synthesise
from a2cli.errors import ConfigError
from a2cli.files import replace_folder
from a2cli.training.config import TrainConfig
from a2cli.training.nano import check_architecture
from a2cli.training.objectives.loading import iterate_steps

NOISE = 0.1  # added to latents of unit spread before decoding, so that every channel has to carry its weight
WINDOW = 64  # px; the autoencoder is convolutional, so small windows teach it as well as large ones


class VaeObjective:
    """Reconstruct windows of references and targets through an `AutoencoderKL`."""

    def __init__(self, config: TrainConfig) -> None:
        _check(config)
        self.config = config
        if config.model.path:
            from diffusers import AutoencoderKL

            check_folder(Path(config.model.path))
            self.vae: Any = load_component(AutoencoderKL, config.model.path, VAE_FOLDER).requires_grad_(True)
        else:
            torch.manual_seed(config.seed)
            self.vae = build_vae(config.model.architecture[VAE_FOLDER])
        if self.vae.quant_conv is None or self.vae.post_quant_conv is None:
            raise ConfigError("model.architecture.vae: use_quant_conv and use_post_quant_conv must be true")

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
            assert pair.scene_rgb is not None
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
        latents = self.vae.encode(pixels).latent_dist.mode()
        decoded = self.vae.decode(latents + NOISE * torch.randn_like(latents)).sample.float()
        l1, mse = F.l1_loss(decoded, pixels), F.mse_loss(decoded, pixels)
        edges = _difference_loss(decoded, pixels) + _difference_loss(
            F.avg_pool2d(decoded, 4), F.avg_pool2d(pixels, 4)
        )
        colour = F.mse_loss(F.avg_pool2d(decoded, 8), F.avg_pool2d(pixels, 8))
        spread = _spread_loss(latents.float())
        loss = l1 + 2 * mse + 8 * colour + 0.25 * edges + 0.1 * spread
        parts = {"l1": l1, "mse": mse, "edges": edges, "colour": colour, "spread": spread}
        return loss, {name: part.item() for name, part in parts.items()}

    def save(self, folder: Path) -> None:
        """Save a diffusers folder `vae/` whose latents are whitened on training pictures and weighed by pixels."""
        vae = copy.deepcopy(self.vae).eval()
        means, covariance = self._measure(vae)
        whiten_latents(vae, means, covariance)
        with torch.no_grad():
            weigh_latents(vae, vae.encode(self._make_batch(20_000_000)["pixels"]).latent_dist.mode())
        with replace_folder(folder / VAE_FOLDER) as beside:
            vae.save_pretrained(beside, safe_serialization=True)

    @torch.no_grad()
    def _measure(self, vae: Any, count: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
        latents = []
        for step in range(count):
            pixels = self._make_batch(10_000_000 + step)["pixels"]
            mode = vae.encode(pixels).latent_dist.mode().double()
            latents.append(mode.permute(0, 2, 3, 1).reshape(-1, mode.shape[1]))
        samples = torch.cat(latents)
        return samples.mean(0), torch.cov(samples.T)


def _check(config: TrainConfig) -> None:
    check_architecture(config.model)
    if not config.model.path and VAE_FOLDER not in config.model.architecture:
        raise ConfigError("model.architecture.vae is missing", hint="describe it, or name model.path")
    if config.data.batch_size < 4:
        raise ConfigError(f"data.batch_size: {config.data.batch_size}", hint="4 windows come from each pair")
    if config.data.synth.size < WINDOW:
        raise ConfigError(f"data.synth.size: {config.data.synth.size}", hint=f"{WINDOW} or more")


def _spread_loss(latents: torch.Tensor) -> torch.Tensor:
    """Distance of the channels' covariance from the identity and of their means from zero, per channel."""
    samples = latents.permute(0, 2, 3, 1).flatten(0, 2)
    excess = torch.cov(samples.T) - torch.eye(samples.shape[1])
    return (excess.square().sum() + samples.mean(0).square().sum()) / samples.shape[1]


def _difference_loss(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    d = a - b
    return (d[..., 1:, :] - d[..., :-1, :]).abs().mean() + (d[..., 1:] - d[..., :-1]).abs().mean()
