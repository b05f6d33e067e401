"""Training the small autoencoder: L1 and MSE on pixels, L1 on their differences, on random windows."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from a2cli.backbones.build import VAE_FOLDER, build_vae, weigh_latents, whiten_latents
from a2cli.backbones.loading import check_folder, load_component
from a2cli.data.source import PairSource, open_source
from a2cli.engine.prepare import to_picture
from a2cli.engine.sheet import Cell, SheetRow, save_sheet
from a2cli.errors import ConfigError, DataError
from a2cli.files import make_folder, replace_folder
from a2cli.training.config import TrainConfig
from a2cli.training.nano import check_architecture
from a2cli.training.processes import Processes

HELD_OUT = 40_000_000  # numbers of windows from here on are not trained on
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
        self.modules = nn.ModuleDict({VAE_FOLDER: self.vae})
        self.device = torch.device("cpu")
        if self.vae.quant_conv is None or self.vae.post_quant_conv is None:
            raise ConfigError("model.architecture.vae: use_quant_conv and use_post_quant_conv must be true")

    def named_parameters(self) -> list[tuple[str, nn.Parameter]]:
        """All weights of the autoencoder."""
        return list(self.vae.named_parameters())

    def place(self, processes: Processes) -> None:
        """Nothing lies outside `modules`."""
        self.device = processes.device

    def get_units(self) -> Sequence[nn.Module]:
        """An autoencoder is not sharded."""
        return ()

    @cached_property
    def source(self) -> PairSource:
        """The pairs; opened in each loader process that asks."""
        return open_source(self.config.data, seed=self.config.seed)

    def make_batch(self, step: int, samples: Sequence[int]) -> dict[str, Any]:
        """Windows of references and targets, (B, 3, 64, 64) in [-1, 1]; four in a row come from one pair."""
        windows = []
        for number, group in groupby(samples, key=lambda sample: sample // 4):
            pair = self.source.get_pair(number)
            scene = pair.tar_rgb if pair.scene_rgb is None else pair.scene_rgb
            pictures = (pair.ref_rgb, pair.tar_rgb, pair.tar_rgb, scene)
            for sample in group:
                picture, rng = pictures[sample % 4], np.random.default_rng([self.config.seed, 7, sample])
                if min(picture.shape[:2]) < WINDOW:
                    raise DataError(f"{pair.id}: smaller than {WINDOW} px", hint="leave such pictures out")
                top, left = (int(rng.integers(0, side - WINDOW + 1)) for side in picture.shape[:2])
                windows.append(picture[top : top + WINDOW, left : left + WINDOW])
        pixels = torch.from_numpy(np.stack(windows)).permute(0, 3, 1, 2).float() / 127.5 - 1
        return {"pixels": pixels}

    def count(self, batch: dict[str, Any]) -> float:
        """The number of windows."""
        return float(len(batch["pixels"]))

    def loss(
        self, batch: dict[str, Any], total: float, seeds: Sequence[int]
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """L1 + 2 MSE + 8 MSE of 8 px means + a quarter of the L1 of differences at two scales.

        The posterior's mode is decoded: its noise would drown colour early on, and `save` whitens the latents,
        which is all a KL term would be for.
        """
        pixels = batch["pixels"].to(self.device).contiguous(memory_format=torch.channels_last)
        latents = self.vae.encode(pixels).latent_dist.mode()
        noise = torch.stack(
            [torch.randn(latents.shape[1:], generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        )
        decoded = self.vae.decode(latents + NOISE * noise.to(latents)).sample.float()
        l1, mse = F.l1_loss(decoded, pixels), F.mse_loss(decoded, pixels)
        edges = _difference_loss(decoded, pixels) + _difference_loss(
            F.avg_pool2d(decoded, 4), F.avg_pool2d(pixels, 4)
        )
        colour = F.mse_loss(F.avg_pool2d(decoded, 8), F.avg_pool2d(pixels, 8))
        spread = _spread_loss(latents.float())
        loss = l1 + 2 * mse + 8 * colour + 0.25 * edges + 0.1 * spread
        parts = {"l1": l1, "mse": mse, "edges": edges, "colour": colour, "spread": spread}
        return loss * (len(pixels) / total), {name: part.item() for name, part in parts.items()}

    def get_group(self, name: str) -> str:
        """All gradients are clipped together."""
        return ""

    def describe(self, step: int) -> dict[str, Any]:
        """No curriculum."""
        return {}

    def is_turn(self, step: int) -> bool:
        """No stages."""
        return False

    @torch.no_grad()
    def sample(self, folder: Path | None, step: int) -> dict[str, float]:
        """Show windows never trained on, before and after; the grid goes to `samples/step-N.png`."""
        pixels = self.make_batch(0, range(HELD_OUT, HELD_OUT + 16))["pixels"].to(self.device)
        decoded = self.vae.decode(self.vae.encode(pixels).latent_dist.mode()).sample.float()
        if folder is not None:
            make_folder(folder / "samples")
            cells = [
                [Cell("", to_picture(p).round().astype(np.uint8)) for p in rows] for rows in (pixels, decoded)
            ]
            sheet = [SheetRow(label, row) for label, row in zip(("picture", "decoded"), cells, strict=True)]
            save_sheet(folder / "samples" / f"step-{step}.png", sheet, cell=WINDOW, title=f"step {step}")
        return {"val_mae": (decoded - pixels).abs().mean().item()}

    def gather_usage(self, processes: Processes, step: int) -> None:
        """There are no experts."""

    def save(self, folder: Path | None) -> None:
        """Save a diffusers folder `vae/` whose latents are whitened on training pictures and weighed by pixels."""
        if folder is None:
            return
        vae = copy.deepcopy(self.vae).eval()
        means, covariance = self._measure(vae)
        whiten_latents(vae, means, covariance)
        with torch.no_grad():
            weigh_latents(vae, vae.encode(self._load_some(1)).latent_dist.mode())
        with replace_folder(folder / VAE_FOLDER) as beside:
            vae.save_pretrained(beside, safe_serialization=True)

    @torch.no_grad()
    def _measure(self, vae: Any, count: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
        latents = []
        for number in range(count):
            mode = vae.encode(self._load_some(2 + number)).latent_dist.mode().double()
            latents.append(mode.permute(0, 2, 3, 1).reshape(-1, mode.shape[1]))
        samples = torch.cat(latents)
        return samples.mean(0), torch.cov(samples.T)

    def _load_some(self, number: int) -> torch.Tensor:
        """Training windows of numbers no step has."""
        first = HELD_OUT + number * 1_000
        return self.make_batch(0, range(first, first + max(32, self.config.data.batch_size)))["pixels"].to(
            self.device
        )


def _check(config: TrainConfig) -> None:
    data = config.data
    if data.streaming or data.buckets or data.cache_latents or data.cache_text_embeddings:
        raise ConfigError(
            "model.train: vae takes windows of pictures", hint="no data.streaming, buckets or cache_* with it"
        )
    check_architecture(config.model)
    if not config.model.path and VAE_FOLDER not in config.model.architecture:
        raise ConfigError("model.architecture.vae is missing", hint="describe it, or name model.path")
    if config.data.synth.size < WINDOW:
        raise ConfigError(f"data.synth.size: {config.data.synth.size}", hint=f"{WINDOW} or more")


def _spread_loss(latents: torch.Tensor) -> torch.Tensor:
    """Distance of the channels' covariance from the identity and of their means from zero, per channel."""
    samples = latents.permute(0, 2, 3, 1).flatten(0, 2)
    excess = torch.cov(samples.T) - torch.eye(samples.shape[1], device=samples.device)
    return (excess.square().sum() + samples.mean(0).square().sum()) / samples.shape[1]


def _difference_loss(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    d = a - b
    return (d[..., 1:, :] - d[..., :-1, :]).abs().mean() + (d[..., 1:] - d[..., :-1]).abs().mean()
