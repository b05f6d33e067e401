"""Fresh weights for a FLUX-shaped model at any width: the folder `a2 train` starts from without a path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from a2cli.config.suggest import get_suggestion
from a2cli.errors import ConfigError

VAE_FOLDER, TRANSFORMER_FOLDER = "vae", "transformer"


def build_vae(options: Mapping[str, Any]) -> nn.Module:
    """Make an `AutoencoderKL` with fresh weights. Raises `ConfigError` for options it does not take."""
    from diffusers import AutoencoderKL

    vae = _build(AutoencoderKL, options)
    for name, module in vae.named_modules():
        if name.endswith("conv2"):  # residual branches start silent: the path between the ends is linear
            for parameter in module.parameters():
                nn.init.zeros_(parameter)
        elif name.endswith("conv_shortcut"):
            nn.init.orthogonal_(module.weight[:, :, 0, 0])
        elif name.endswith("downsamplers.0.conv"):
            _split_pixels_(module)
    return vae


@torch.no_grad()
def _split_pixels_(conv: nn.Conv2d) -> None:
    """Let a stride-2 convolution begin as an orthogonal map of each 2 x 2 block of its input."""
    block = torch.empty(conv.out_channels, conv.in_channels * 4)
    nn.init.orthogonal_(block)
    conv.weight.zero_()
    conv.weight[:, :, :2, :2] = block.reshape(conv.out_channels, conv.in_channels, 2, 2)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


def build_transformer(options: Mapping[str, Any]) -> nn.Module:
    """Make a `FluxTransformer2DModel` initialised to train from scratch.

    Xavier linears; modulation layers zero (adaLN-Zero; Peebles and Xie 2023, section 3.2), so every block starts
    as the identity. Embedding and output start so that the velocity points from the noisy tokens away from the
    hole-filled picture, x_t - masked: at full noise the first guess is what lies in the hole.
    """
    from diffusers import FluxTransformer2DModel

    model = _build(FluxTransformer2DModel, options)
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
            if name.endswith(".linear"):  # norm*.linear hold the modulation
                nn.init.zeros_(module.weight)
    _point_at_filling_(model)
    return model


@torch.no_grad()
def _point_at_filling_(model: Any) -> None:
    channels = model.config.out_channels
    width = model.x_embedder.out_features
    if model.x_embedder.in_features < 2 * channels or width < channels:
        return
    identity = torch.eye(channels)
    model.x_embedder.weight[:channels] = 0
    model.x_embedder.weight[:channels, :channels] = identity
    model.x_embedder.weight[:channels, channels : 2 * channels] = -identity
    model.proj_out.weight.zero_()
    model.proj_out.weight[:, :channels] = identity


def build_text_encoder(options: Mapping[str, Any]) -> nn.Module:
    """Make a small T5 encoder for byte tokens."""
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(_build_config(T5Config, options))


def build_image_encoder(options: Mapping[str, Any]) -> nn.Module:
    """Make a small SigLIP vision tower."""
    from transformers import SiglipVisionConfig, SiglipVisionModel

    return SiglipVisionModel(_build_config(SiglipVisionConfig, options))


def build_image_embedder(options: Mapping[str, Any]) -> nn.Module:
    """Make the two-layer projector from image-encoder states to text width, as FLUX.1 Redux has it."""
    from diffusers.pipelines.flux.modeling_flux import ReduxImageEncoder

    return _build(ReduxImageEncoder, options)


def _build_config(cls: Any, options: Mapping[str, Any]) -> Any:
    known = cls()  # transformers keeps any key it is given, misspelt ones too
    for key in options:
        if not hasattr(known, key):
            raise ConfigError(f"{cls.__name__} has no {key!r}", hint=get_suggestion(key, known.to_dict()))
    try:
        return cls(**options)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{cls.__name__} cannot be built: {error}") from error


def _build(cls: Any, options: Mapping[str, Any]) -> nn.Module:
    try:
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in options.items()})
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{cls.__name__} cannot be built: {error}") from error


@torch.no_grad()
def whiten_latents(vae: Any, means: torch.Tensor, covariance: torch.Tensor) -> None:
    """Fold a whitening of the latents into the 1x1 quantisation convolutions, exactly.

    `means` (C,), `covariance` (C, C) of the encoder's mode. Afterwards latents have zero mean and unit
    covariance and decode to the same pixels; `scaling_factor` is 1, `shift_factor` 0.
    """
    values, vectors = torch.linalg.eigh(covariance.double())
    forward = (vectors * values.clamp_min(1e-8).rsqrt()).T  # (C, C): latents -> whitened
    backward = vectors * values.clamp_min(1e-8).sqrt()
    channels = means.numel()
    weight, bias = vae.quant_conv.weight[:channels, :, 0, 0].double(), vae.quant_conv.bias[:channels].double()
    vae.quant_conv.weight[:channels, :, 0, 0] = forward @ weight
    vae.quant_conv.bias[:channels] = forward @ (bias - means.double())
    weight, bias = vae.post_quant_conv.weight[:, :, 0, 0].double(), vae.post_quant_conv.bias.double()
    vae.post_quant_conv.bias.copy_(bias + weight @ means.double())
    vae.post_quant_conv.weight[:, :, 0, 0] = weight @ backward
    vae.register_to_config(scaling_factor=1.0, shift_factor=0.0)


@torch.no_grad()
def weigh_latents(vae: Any, latents: torch.Tensor, *, step: float = 0.5, floor: float = 0.05) -> torch.Tensor:
    """Scale each latent channel by how much it moves pixels, exactly, and return the scales (C,).

    `latents` (B, C, h, w) are typical ones of unit spread. A channel's scale is the RMS change of the decoded
    picture when noise of size `step` is added to it alone, at least `floor` of the largest; the mean square of
    all scales is 1. Errors of a generator then cost about what they cost in pixels, and channels that carry
    nothing ask for nothing.
    """
    plain = vae.decode(latents).sample
    generator = torch.Generator().manual_seed(0)
    moves = []
    for channel in range(latents.shape[1]):
        moved = latents.clone()
        moved[:, channel] += step * torch.randn(moved[:, channel].shape, generator=generator).to(moved)
        moves.append((vae.decode(moved).sample - plain).square().mean().sqrt())
    scales = torch.stack(moves)
    scales = scales.clamp_min(floor * float(scales.max()))
    scales = scales / scales.square().mean().sqrt()
    channels = scales.numel()
    vae.quant_conv.weight[:channels] *= scales[:, None, None, None]
    vae.quant_conv.bias[:channels] *= scales
    vae.post_quant_conv.weight /= scales[None, :, None, None]
    return scales
