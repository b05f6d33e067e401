"""Fresh weights: what they say before any training, and the whitening of an autoencoder's latents."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from flux_folder import build_vae as build_plain_vae

from a2cli.backbones.build import build_transformer, build_vae, weigh_latents, whiten_latents
from a2cli.context import get_image_ids
from a2cli.errors import ConfigError

CHANNELS, WIDTH = 16, 32
OPTIONS: dict[str, Any] = {
    "in_channels": 2 * CHANNELS + 256,
    "out_channels": CHANNELS,
    "num_layers": 1,
    "num_single_layers": 2,
    "attention_head_dim": 16,
    "num_attention_heads": WIDTH // 16,
    "joint_attention_dim": 8,
    "pooled_projection_dim": 8,
    "axes_dims_rope": [4, 6, 6],
}
VAE: dict[str, Any] = {
    "latent_channels": 4,
    "block_out_channels": [4, 4, 8, 8],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "norm_num_groups": 4,
    "scaling_factor": 0.7,
    "shift_factor": 0.2,
}


def predict(transformer: Any, hidden: torch.Tensor, sigma: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(9)
    return transformer(
        hidden_states=hidden,
        encoder_hidden_states=torch.randn(2, 3, 8, generator=generator),
        pooled_projections=torch.randn(2, 8, generator=generator),
        timestep=torch.full((2,), sigma),
        img_ids=get_image_ids((2, 3), 0),
        txt_ids=torch.zeros(3, 3),
        return_dict=False,
    )[0]


@torch.no_grad()
def test_the_first_velocity_points_from_the_filling_to_the_noisy_tokens() -> None:
    torch.manual_seed(0)
    transformer = build_transformer(OPTIONS)
    noisy, masked = torch.randn(2, 2, 6, CHANNELS, generator=torch.Generator().manual_seed(1))
    mask = (torch.rand(2, 6, 256, generator=torch.Generator().manual_seed(2)) > 0.5).float()
    for sigma in (1.0, 0.3):
        velocity = predict(transformer, torch.cat([noisy, masked, mask], -1), sigma)
        # The last layer norm shifts and scales each token; nothing else comes between.
        ours, wanted = velocity - velocity.mean(-1, keepdim=True), noisy - masked
        wanted = wanted - wanted.mean(-1, keepdim=True)
        similarity = torch.cosine_similarity(ours, wanted, dim=-1)
        torch.testing.assert_close(similarity, torch.ones(2, 6), atol=1e-5, rtol=0)
        plain = torch.cosine_similarity(velocity, noisy - masked, dim=-1)
        assert float(plain.min()) > 0.5 and float(plain.mean()) > 0.9


@torch.no_grad()
def test_blocks_start_as_the_identity() -> None:
    torch.manual_seed(0)
    transformer = build_transformer(OPTIONS)
    hidden = torch.randn(2, 6, OPTIONS["in_channels"], generator=torch.Generator().manual_seed(1))
    before = predict(transformer, hidden, 0.5)
    for parameter in transformer.single_transformer_blocks.parameters():  # type: ignore[operator, union-attr]
        if parameter.abs().max() > 0 and parameter.ndim == 2:
            parameter.mul_(3)
    assert torch.equal(before, predict(transformer, hidden, 0.5))


def test_every_weight_learns_once_the_modulation_has_moved() -> None:
    torch.manual_seed(0)
    transformer: Any = build_transformer(OPTIONS)
    hidden = torch.randn(2, 6, OPTIONS["in_channels"], generator=torch.Generator().manual_seed(1))
    optimizer = torch.optim.SGD(transformer.parameters(), lr=0.5)
    for _ in range(3):
        optimizer.zero_grad()
        predict(transformer, hidden, 0.5).square().mean().backward()
        optimizer.step()
    still = [n for n, p in transformer.named_parameters() if p.grad is None or not p.grad.any()]
    # Double blocks tell their text stream apart only through what follows; all of it is used here.
    assert still == []


def test_narrow_transformers_start_without_the_shortcut() -> None:
    torch.manual_seed(0)
    narrow: Any = build_transformer({**OPTIONS, "in_channels": CHANNELS})
    assert narrow.proj_out.weight.any() and narrow.x_embedder.weight.shape == (WIDTH, CHANNELS)


def get_latents(vae: Any) -> torch.Tensor:
    pixels = torch.rand(64, 3, 32, 32, generator=torch.Generator().manual_seed(4)) * 2 - 1
    pixels += torch.randn(64, 3, 1, 1, generator=torch.Generator().manual_seed(5)) * 0.5
    return vae.encode(pixels).latent_dist.mode()


@torch.no_grad()
def test_whitening_changes_the_latents_and_not_the_pictures() -> None:
    torch.manual_seed(0)
    vae: Any = build_vae(VAE).eval()
    for module in vae.modules():  # off the silent start
        if isinstance(module, torch.nn.Conv2d):
            module.weight.add_(torch.randn_like(module.weight) * 0.05)
    before = get_latents(vae)
    rows = before.permute(0, 2, 3, 1).reshape(-1, 4).double()
    decoded = vae.decode(before).sample
    assert (torch.cov(rows.T) - torch.eye(4)).abs().max() > 0.1
    whiten_latents(vae, rows.mean(0), torch.cov(rows.T))
    after = get_latents(vae)
    rows = after.permute(0, 2, 3, 1).reshape(-1, 4).double()
    torch.testing.assert_close(torch.cov(rows.T), torch.eye(4).double(), atol=1e-3, rtol=0)
    torch.testing.assert_close(rows.mean(0), torch.zeros(4).double(), atol=1e-4, rtol=0)
    torch.testing.assert_close(vae.decode(after).sample, decoded, atol=1e-4, rtol=1e-4)
    assert (vae.config.scaling_factor, vae.config.shift_factor) == (1.0, 0.0)
    scales = weigh_latents(vae, after[:8])
    weighed = get_latents(vae)
    torch.testing.assert_close(vae.decode(weighed).sample, decoded, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(weighed, after * scales.to(after)[None, :, None, None], atol=1e-4, rtol=1e-4)
    assert float(scales.square().mean()) == pytest.approx(1) and float(scales.min()) > 0


@torch.no_grad()
def test_the_autoencoder_starts_linear_and_awake() -> None:
    torch.manual_seed(0)
    vae: Any = build_vae(VAE)
    silent = [n for n, m in vae.named_modules() if n.endswith("conv2")]
    assert silent and not any(p.any() for n in silent for p in vae.get_submodule(n).parameters())
    assert get_latents(vae).std() > 0.01


def test_unknown_options_are_named() -> None:
    with pytest.raises(ConfigError, match=r"FluxTransformer2DModel cannot be built.*num_heads"):
        build_transformer({**OPTIONS, "num_heads": 3})
    assert build_plain_vae().quant_conv is None
