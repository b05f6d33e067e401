"""diffusers' FluxFillPipeline as it is, on weights that a2 opened: what peers build on."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch

from a2cli.backbones.flux import FluxFillBackbone
from a2cli.backbones.loading import fetch_folder, hash_weights, load_component
from a2cli.backbones.registry import load_backbone_class
from a2cli.errors import BackboneError, CheckpointError
from a2cli.evaluation.config import MethodConfig
from a2cli.files import PICKLE_SUFFIXES, get_source_name, show_name
from a2cli.lora.adapter import is_lora, load_lora
from a2cli.metrics.models import get_device

Embeddings = tuple[torch.Tensor, torch.Tensor]
"""Text states (1, T, J) and pooled vector (1, Q)."""


class FillPipeline:
    """A FLUX.1 Fill of any width: its backbone in a2 (parts, text path) and diffusers' pipeline over the same parts.

    Pictures go in and come out whole: the pipeline repaints everything, its autoencoder changes all pixels a little.
    """

    def __init__(self, config: MethodConfig, *, device: str = "auto") -> None:
        device = get_device(device)
        self.dtype = "bfloat16" if device.startswith("cuda") else "float32"
        kind = load_backbone_class(config.backbone)
        if not (isinstance(kind, type) and issubclass(kind, FluxFillBackbone)):
            raise BackboneError(
                f"methods.{config.name}: {config.backbone} has no FluxFillPipeline",
                hint="backbone: flux-fill or nano",
            )
        self.backbone = kind.load(config.model, device=device, dtype=self.dtype)
        self.pipeline = _build_pipeline(self.backbone, config.model or kind.default_model or "")
        traits = self.backbone.traits
        if traits.prior_noise is not None:
            logging.getLogger("a2cli").warning(
                "%s: %s never learnt to start from noise alone, as %s does: its edits are noise, no rival",
                config.name,
                config.backbone,
                config.kind,
            )
        self.steps = traits.steps if config.steps is None else config.steps
        self.guidance = traits.guidance if config.guidance is None else config.guidance
        self.resolution = traits.resolution if config.resolution is None else config.resolution
        if self.resolution % traits.token_px or self.resolution < 1:
            raise BackboneError(
                f"methods.{config.name}: resolution {self.resolution}",
                hint=f"a multiple of {traits.token_px}",
            )

    @torch.no_grad()
    def encode_text(self, prompt: str) -> Embeddings:
        """What the model's own text encoders say, as the pipeline itself would ask them."""
        return self.backbone.encode_text([prompt])

    @torch.no_grad()
    def paint(self, rgb: np.ndarray, mask: np.ndarray, text: Embeddings, *, seed: int) -> np.ndarray:
        """Repaint (h, w, 3) uint8 where (h, w) bool says: (h, w, 3) float32 in [0, 255].

        Both are given at the size that is worked at. Raises `BackboneError` when the model yields NaN.
        """
        from PIL import Image

        height, width = mask.shape
        states, pooled = (part.to(self.backbone.transformer.dtype) for part in text)
        picture = self.pipeline(
            image=Image.fromarray(rgb),
            mask_image=Image.fromarray(mask.astype(np.uint8) * 255),
            height=height,
            width=width,
            prompt_embeds=states,
            pooled_prompt_embeds=pooled,
            num_inference_steps=self.steps,
            guidance_scale=self.guidance,
            generator=torch.Generator("cpu").manual_seed(seed),
            output_type="np",
        ).images[0]
        if not np.isfinite(picture).all():
            raise BackboneError("the model returned NaN", hint="another --device, or weights that are whole")
        return picture.astype(np.float32) * 255

    def describe(self, config: MethodConfig) -> dict[str, Any]:
        """What of it goes on record for a method."""
        import diffusers

        return {
            "kind": config.kind,
            "baseline": False,
            "pipeline": f"diffusers {diffusers.__version__} FluxFillPipeline",
            "backbone": config.backbone,
            "model": get_source_name(config.model or "default"),
            "base_hash": self.backbone.base_hash[:16],
            "resolution": self.resolution,
            "steps": self.steps,
            "guidance": self.guidance,
            "dtype": self.dtype,
        }

    def add_lora(self, source: str) -> str:
        """Put a LoRA of peft's or diffusers' making into the transformer; returns the digest of its file.

        `source` is a folder or a safetensors file. Raises `CheckpointError` for pickled weights, tensors that are not
        finite, and a file of which nothing fits.
        """
        if is_lora(source):
            load_lora(
                self.backbone.transformer,
                source,
                base_hash=self.backbone.base_hash,
                dtype=self.backbone.transformer.dtype,
            )
            return hash_weights(Path(source))
        file = _find_lora(Path(source).expanduser())
        _check_finite(file)
        try:
            self.pipeline.load_lora_weights(
                str(file.parent), weight_name=file.name, use_safetensors=True, local_files_only=True
            )
            active = self.pipeline.get_active_adapters()
        except (ValueError, RuntimeError, KeyError, OSError) as error:
            cause = str(error).strip().splitlines()[0]
            raise CheckpointError(f"{show_name(str(file))}: does not fit this model: {cause}") from error
        if not active:
            raise CheckpointError(f"{show_name(str(file))}: no tensor of it belongs to this model")
        with open(file, "rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()


def load_redux(backbone: FluxFillBackbone, source: str, dtype: str) -> None:
    """Give a backbone the SigLIP tower and embedder of a FLUX.1 Redux folder or hub id; raises `BackboneError`."""
    from diffusers.pipelines.flux.modeling_flux import ReduxImageEncoder
    from transformers import SiglipVisionModel

    folder, kind = str(fetch_folder(source)), getattr(torch, dtype)
    tower = load_component(SiglipVisionModel, folder, "image_encoder", dtype=kind)
    embedder = load_component(ReduxImageEncoder, folder, "image_embedder", torch_dtype=kind)
    backbone.components |= {
        "image_encoder": tower.to(backbone.device),
        "image_embedder": embedder.to(backbone.device),
    }


def _build_pipeline(backbone: FluxFillBackbone, source: str) -> Any:
    """The pipeline over a backbone's own parts; texts come encoded, so it holds no encoder."""
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxFillPipeline

    folder = fetch_folder(source)
    try:
        scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(str(folder), subfolder="scheduler")
    except (OSError, ValueError) as error:
        raise BackboneError(f"{folder / 'scheduler'}: cannot be loaded", hint="download it again") from error
    pipeline = FluxFillPipeline(
        scheduler=scheduler,
        vae=backbone.vae,
        text_encoder=None,
        tokenizer=None,
        text_encoder_2=None,
        tokenizer_2=None,
        transformer=backbone.transformer,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _find_lora(path: Path) -> Path:
    shown = show_name(str(path))
    if path.is_file():
        found = [path]
    elif path.is_dir():
        found = sorted(path.glob("*.safetensors"))
        if not found:
            found = sorted(part for part in path.iterdir() if part.suffix.lower() in PICKLE_SUFFIXES)[:1]
    else:
        raise CheckpointError(f"{shown}: no such LoRA", hint="a folder or a .safetensors file on this disk")
    if len(found) != 1:
        raise CheckpointError(
            f"{shown}: {len(found) or 'no'} .safetensors files", hint="name the one LoRA file"
        )
    if found[0].suffix != ".safetensors":
        raise CheckpointError(
            f"{show_name(str(found[0]))}: not safetensors, pickled weights are never opened",
            hint="convert it to safetensors",
        )
    return found[0]


def _check_finite(file: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118, it is no mapping
                if not bool(tensors.get_tensor(name).isfinite().all()):
                    raise CheckpointError(
                        f"{show_name(str(file))}: tensor {name} holds NaN or infinite values"
                    )
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{show_name(str(file))}: damaged: {error}") from error
