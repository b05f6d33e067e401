"""FLUX.1 Fill on diffusers' own modules, at any width: `flux-fill` from the hub, `nano` from this package."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from a2cli.backbones.base import API_VERSION, Quantize, Traits
from a2cli.backbones.blocks import get_blocks
from a2cli.backbones.loading import fetch_folder, hash_weights, load_component, load_tokenizer
from a2cli.backbones.quantize import QUANTIZED_PARTS, check_quantize, quantize_linears
from a2cli.config.load import build
from a2cli.context.layout import PATCH, get_token_mask, pack_latents, pack_mask, unpack_latents
from a2cli.context.passes import Condition
from a2cli.errors import BackboneError, ConfigError
from a2cli.types import BlockSpec

NANO_FOLDER = Path(__file__).resolve().parent.parent / "assets" / "nano"
TRAITS_FILE = "a2_traits.json"
DTYPES = ("float32", "bfloat16", "float16")

Loader = Callable[[str, torch.dtype], Any]


class Memo(Protocol):
    """Something that remembers encodings, such as a cache on disk."""

    def recall(
        self, kind: str, inputs: Any, compute: Callable[[Any], tuple[Tensor, ...]]
    ) -> tuple[Tensor, ...]:
        """What `compute(inputs)` gives, row by row from memory where it is known."""


class FluxFillBackbone:
    """FLUX.1 Fill: transformer, autoencoder, CLIP and T5, and a SigLIP tower with its embedder where present."""

    api_version = API_VERSION
    name = "flux-fill"
    default_model: str | None = "black-forest-labs/FLUX.1-Fill-dev"
    traits = Traits(resolution=1024, steps=50, guidance=30.0)
    max_text_tokens = 512
    memo: Memo | None = None

    def __init__(
        self, components: dict[str, Any], traits: Traits | None = None, *, base_hash: str = ""
    ) -> None:
        self.base_hash = base_hash
        self.components = components
        self.execution_device: torch.device | None = None  # where weights are brought to when they are needed
        self.transformer = components["transformer"]
        self.vae = components["vae"]
        self.traits = traits or self.traits

    @classmethod
    def load(
        cls,
        model: str | None = None,
        *,
        device: str = "cpu",
        dtype: str = "float32",
        quantize: Quantize | None = None,
    ) -> FluxFillBackbone:
        """Load a FLUX.1 Fill folder or hub id.

        `dtype` names a floating torch dtype; `quantize` holds the linears of the transformer's and T5's blocks in
        fewer bits (see `quantize_linears`). Raises `BackboneError` when a part or a package cannot be found,
        `CheckpointError` when weights are damaged.
        """
        source = model or cls.default_model
        if source is None:
            raise BackboneError(f"{cls.name} needs --model FOLDER")
        if dtype not in DTYPES:
            raise BackboneError(f"{dtype} is not a dtype for weights", hint=", ".join(DTYPES))
        if quantize is not None:
            check_quantize(quantize)
        folder = fetch_folder(source)
        components = {}
        for name, load in cls.get_loaders(folder).items():
            component = components[name] = load(str(folder), getattr(torch, dtype))
            if isinstance(component, torch.nn.Module):
                if quantize is not None and name in QUANTIZED_PARTS:
                    quantize_linears(component, quantize, dtype=getattr(torch, dtype), device=device)
                component.to(device)
        # Its convolutions are a third faster so, on CPUs too.
        components["vae"].to(memory_format=torch.channels_last)
        return cls(components, cls.read_traits(folder), base_hash=hash_weights(folder / "transformer"))

    @classmethod
    def get_loaders(cls, folder: Path) -> dict[str, Loader]:
        """List the parts of a model folder and how each is loaded: (folder, dtype) -> component."""
        from transformers import CLIPTextModel

        return {
            **_core_loaders(),
            "text_encoder": lambda m, t: load_component(CLIPTextModel, m, "text_encoder", dtype=t),
            "tokenizer": lambda m, t: load_tokenizer(m, "tokenizer"),
            "tokenizer_2": lambda m, t: load_tokenizer(m, "tokenizer_2"),
            **(_image_loaders() if (folder / "image_encoder").is_dir() else {}),
        }

    @classmethod
    def read_traits(cls, folder: Path) -> Traits:
        """Read the folder's own traits; without a file the class's. Raises `BackboneError` for wrong ones."""
        path = folder / TRAITS_FILE
        if not path.is_file():
            return cls.traits
        try:
            return build(Traits, json.loads(path.read_text(encoding="utf-8")), where=str(path))
        except (ConfigError, ValueError, OSError) as error:
            raise BackboneError(
                str(error) if isinstance(error, ConfigError) else f"{path}: {error}"
            ) from error

    @property
    def device(self) -> torch.device:
        return self.execution_device or next(self.transformer.parameters()).device

    @property
    def downscale(self) -> int:
        """Pixels a latent side."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    def get_blocks(self) -> list[BlockSpec]:
        """List the transformer's blocks."""
        return get_blocks(self.transformer)

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """Encode (B, 3, H, W) in [-1, 1] into packed latents; the posterior's mode, never a sample."""
        latents = self.vae.encode(pixels.to(self.vae.dtype)).latent_dist.mode()
        return pack_latents((latents - self.vae.config.shift_factor) * self.vae.config.scaling_factor)

    def decode_tokens(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Decode packed latents into (B, 3, H, W) in [-1, 1]."""
        latents = unpack_latents(tokens, grid) / self.vae.config.scaling_factor + self.vae.config.shift_factor
        return self.vae.decode(latents.to(self.vae.dtype)).sample.float().clamp(-1, 1)

    def build_condition(
        self, masked: Tensor, mask: Tensor, reference: Tensor, prompts: list[str]
    ) -> Condition:
        """Encode everything known about a batch of edits; see `Backbone.build_condition`."""
        token_px = self.downscale * PATCH
        text, pooled = self.recall("text", prompts, self.encode_text)
        if "image_encoder" in self.components:
            image = self.recall("image", reference, lambda r: (self.encode_reference(r),))[0]
            text = torch.cat([text, image.to(text)], 1)
        tokens = self.encode_pixels(masked)
        return Condition(
            masked=tokens,
            mask=pack_mask(mask, self.downscale).to(tokens),
            visible=~get_token_mask(mask, token_px),
            reference=self.recall("reference", reference, lambda r: (self.encode_pixels(r),))[0],
            text=text,
            pooled=pooled,
            grid=(mask.shape[-2] // token_px, mask.shape[-1] // token_px),
            ref_grid=(reference.shape[-2] // token_px, reference.shape[-1] // token_px),
        )

    def recall(
        self, kind: str, inputs: Any, compute: Callable[[Any], tuple[Tensor, ...]]
    ) -> tuple[Tensor, ...]:
        """Encode a batch of `kind` (text, image, reference, target), or take what `memo` knows of it."""
        return compute(inputs) if self.memo is None else self.memo.recall(kind, inputs, compute)

    def encode_text(self, prompts: list[str]) -> tuple[Tensor, Tensor]:
        """Encode prompts: T5 states (B, T, J) and CLIP's pooled vector (B, Q)."""
        hidden = self._read_text("_2", prompts, self.traits.text_tokens or self.max_text_tokens)[0]
        length = self.components["tokenizer"].model_max_length
        return hidden, self._read_text("", prompts, length).pooler_output

    def _read_text(self, which: str, prompts: list[str], length: int) -> Any:
        """What the text encoder `which` ("" or "_2") says of prompts, wherever it is: a base may lie elsewhere."""
        tokens = self.components[f"tokenizer{which}"](
            prompts, padding="max_length", truncation=True, max_length=length, return_tensors="pt"
        )
        encoder = self.components[f"text_encoder{which}"]
        return encoder(tokens.input_ids.to(self.execution_device or next(encoder.parameters()).device))

    def encode_reference(self, reference: Tensor) -> Tensor:
        """Encode the reference with SigLIP and Redux's embedder: (B, 3, h, w) in [-1, 1] -> (B, S, J)."""
        tower = self.components["image_encoder"]
        side = tower.config.image_size
        pixels = F.interpolate(
            reference.float(), (side, side), mode="bilinear", antialias=True, align_corners=False
        )
        states = tower(pixels.to(tower.dtype)).last_hidden_state
        return self.components["image_embedder"](states).image_embeds


class NanoBackbone(FluxFillBackbone):
    """The embedded model: FLUX.1 Fill's architecture at toy width, text read byte by byte."""

    name = "nano"
    default_model = str(NANO_FOLDER)
    traits = Traits(resolution=128, collage=True, steps=20, guidance=1.0, shift=1.0)
    max_text_tokens = 20

    @classmethod
    def get_loaders(cls, folder: Path) -> dict[str, Loader]:
        """List nano's parts; its tokenizer reads bytes and needs no file."""
        from transformers import ByT5Tokenizer

        return {**_core_loaders(), "tokenizer_2": lambda m, t: ByT5Tokenizer(), **_image_loaders()}

    def encode_text(self, prompts: list[str]) -> tuple[Tensor, Tensor]:
        """Encode prompts: T5 states over bytes (B, T, J), their mean as pooled vector."""
        hidden = self._read_text("_2", prompts, self.traits.text_tokens or self.max_text_tokens)[0]
        return hidden, hidden.mean(1)


def _core_loaders() -> dict[str, Loader]:
    from diffusers import AutoencoderKL, FluxTransformer2DModel
    from transformers import T5EncoderModel

    # `a2 train` builds fresh parts in this order from one seed.
    return {
        "transformer": lambda m, t: load_component(FluxTransformer2DModel, m, "transformer", torch_dtype=t),
        "vae": lambda m, t: load_component(AutoencoderKL, m, "vae", torch_dtype=t),
        "text_encoder_2": lambda m, t: load_component(T5EncoderModel, m, "text_encoder_2", dtype=t),
    }


def _image_loaders() -> dict[str, Loader]:
    from diffusers.pipelines.flux.modeling_flux import ReduxImageEncoder
    from transformers import SiglipVisionModel

    return {
        "image_encoder": lambda m, t: load_component(SiglipVisionModel, m, "image_encoder", dtype=t),
        "image_embedder": lambda m, t: load_component(ReduxImageEncoder, m, "image_embedder", torch_dtype=t),
    }
