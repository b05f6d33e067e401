"""One edit: prepare, context pass, target passes, decode, paste back. Arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from a2cli.backbones.base import Backbone
from a2cli.backbones.registry import load_backbone_class
from a2cli.context.passes import Condition, TwoPass, repeat_condition
from a2cli.engine.prepare import choose_size, get_start, prepare_edit, to_picture, to_pixels
from a2cli.errors import BackboneError, CheckpointError
from a2cli.flow import get_resolution_mu, get_sigmas, get_source, sample_euler
from a2cli.flow.samplers import Callback
from a2cli.images.border import continue_ground, correct_drift
from a2cli.images.cutout import Cutout
from a2cli.images.geometry import paste_back
from a2cli.metrics.models import get_device

ADAPTERS = Path(__file__).resolve().parent.parent / "assets"


@dataclass(frozen=True)
class EditOptions:
    """How an edit is sampled; None means the backbone's own default."""

    prompt: str = ""
    steps: int | None = None
    guidance: float | None = None
    seed: int = 0
    num_images: int = 1


class EditPipeline:
    """A backbone, perhaps with an adapter, ready to edit photos.

    `buckets`: the adapter was trained on crops whose aspect follows the mask's. They are edited so, as they are
    where the base was.
    """

    def __init__(
        self, backbone: Backbone, *, experts: Any = None, adapter_hash: str = "", buckets: bool = False
    ) -> None:
        self.backbone = backbone
        self.experts = experts
        self.adapter_hash = adapter_hash
        self.buckets = buckets or backbone.traits.buckets
        self.two_pass = TwoPass(backbone.transformer, guidance=backbone.traits.guidance, experts=experts)

    @classmethod
    def load(
        cls,
        backbone: str = "nano",
        *,
        model: str | None = None,
        adapter: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
    ) -> EditPipeline:
        """Load a backbone by name and an adapter folder.

        `adapter` None takes the one shipped with the embedded model when that model is used; "none" takes
        none. Raises `BackboneError` or `CheckpointError`.
        """
        device = get_device(device)
        dtype = ("bfloat16" if device.startswith("cuda") else "float32") if dtype == "auto" else dtype
        with _remedy("download or export the model again, or name another --model"):
            loaded: Backbone = load_backbone_class(backbone).load(model, device=device, dtype=dtype)
        if adapter is None:
            shipped = ADAPTERS / f"{backbone}-mot"
            adapter = str(shipped) if model is None and shipped.is_dir() else "none"
        if adapter == "none":
            return cls(loaded)
        from a2cli.backbones.loading import hash_weights

        with _remedy("download or train the adapter again, or give --adapter none"):
            experts, recipe = _load_adapter(loaded, adapter, getattr(torch, dtype))
        buckets = recipe.get("buckets", False) is True  # older adapters and those of others say nothing of it
        return cls(loaded, experts=experts, adapter_hash=hash_weights(Path(adapter)), buckets=buckets)

    @torch.no_grad()
    def generate(
        self,
        photo: np.ndarray,
        mask: np.ndarray,
        subject: Cutout,
        options: EditOptions | None = None,
        *,
        callback: Callback | None = None,
    ) -> list[np.ndarray]:
        """Put the subject under the mask.

        `photo` (H, W, 3) uint8, `mask` (H, W) in [0, 1]. Returns `num_images` pictures (H, W, 3) float32 in
        [0, 255] whose crop is repainted whole: blend them by the mask, nothing outside it is kept for you.
        Raises `DataError` for an empty mask or subject, `BackboneError` when the model yields NaN.
        """
        options = options or EditOptions()
        traits = self.backbone.traits
        prepared = prepare_edit(
            photo,
            mask,
            subject,
            size=choose_size(mask, traits.resolution, traits.token_px) if self.buckets else traits.resolution,
            ref_size=traits.resolution,
            context=traits.context,
            collage=traits.collage,
        )
        device = self.backbone.device
        condition = self.backbone.build_condition(
            to_pixels(prepared.masked[None]).to(device),
            torch.from_numpy(prepared.mask)[None, None].float().to(device),
            to_pixels(prepared.reference[None]).to(device),
            [options.prompt],
        )
        start, begin = None, get_start(prepared) if traits.prior_noise is not None else None
        if begin is not None:
            start = self.backbone.encode_pixels(to_pixels(begin[None]).to(device))
        tokens = self.sample(condition, options, callback, start=start)
        pictures = self.backbone.decode_tokens(tokens, condition.grid)
        if not bool(pictures.isfinite().all()):
            raise BackboneError("the model returned NaN", hint="try --dtype float32")
        decoded = [correct_drift(to_picture(p), prepared.source, prepared.mask) for p in pictures]
        if begin is not None:
            decoded = [continue_ground(p, begin, prepared.mask, prepared.placed) for p in decoded]
        canvas = photo.astype(np.float32)
        # Bicubic enlargement overshoots.
        return [np.clip(paste_back(canvas, p, prepared.crop), 0, 255) for p in decoded]

    def sample(
        self,
        condition: Condition,
        options: EditOptions,
        callback: Callback | None = None,
        *,
        start: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Denoise the region of one condition `num_images` times: full-grid tokens (num_images, N, C).

        A backbone with `prior_noise` needs `start` (1, N, C), the tokens of the placed reference, to begin at.
        """
        region = condition.get_region()
        self.two_pass.guidance = (
            options.guidance if options.guidance is not None else self.backbone.traits.guidance
        )
        cache = self.two_pass.encode_context(condition).repeat(options.num_images)
        condition = repeat_condition(condition, options.num_images)
        noise = get_noise(tuple(condition.masked.shape[1:]), options)
        traits = self.backbone.traits
        sigmas = get_sigmas(
            options.steps or traits.steps,
            shift=traits.shift,
            mu=None if traits.shift is not None else get_resolution_mu(condition.masked.shape[1]),
        )

        def velocity(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
            return self.two_pass.predict_velocity(x, sigma, condition, cache, region)

        tokens = condition.masked.clone()
        noisy = noise.to(tokens)
        if traits.prior_noise is not None:
            if start is None:
                raise ValueError("this backbone flows from a start, and none was given")
            noisy = get_source(noisy, start.to(tokens), traits.prior_noise)
        tokens[:, region] = sample_euler(velocity, noisy[:, region], sigmas, callback)
        return tokens

    def edit(
        self,
        photo: np.ndarray,
        mask: np.ndarray,
        ref_rgb: np.ndarray,
        ref_mask: np.ndarray,
        *,
        prompt: str = "",
        steps: int | None = None,
        seed: int = 0,
    ) -> np.ndarray:
        """Edit arrays under a hard mask: (H, W, 3) uint8, equal to `photo` wherever `mask` is 0."""
        options = EditOptions(prompt=prompt, steps=steps, seed=seed)
        picture = self.generate(photo, mask, Cutout(ref_rgb, ref_mask.astype(np.float32)), options)[0]
        weight = mask.astype(np.float32)[..., None]
        return np.round(photo * (1 - weight) + picture * weight).astype(np.uint8)


def _load_adapter(backbone: Backbone, folder: str, dtype: torch.dtype) -> tuple[Any, dict[str, Any]]:
    """Put an adapter into a backbone: its experts (None for a plain one, in peft's format) and its recipe."""
    from a2cli.lora.adapter import is_lora, load_lora
    from a2cli.mot import load_adapter

    if is_lora(folder):
        lora = load_lora(backbone.transformer, folder, base_hash=backbone.base_hash, dtype=dtype)
        return None, lora.recipe
    experts, info = load_adapter(
        backbone.transformer, backbone.get_blocks(), folder, base_hash=backbone.base_hash, dtype=dtype
    )
    return experts, info.recipe


@contextmanager
def _remedy(hint: str) -> Iterator[None]:
    """Let errors about weights that say no remedy of their own say this one."""
    try:
        yield
    except (BackboneError, CheckpointError) as error:
        error.hint = error.hint or hint
        raise


def get_noise(shape: tuple[int, ...], options: EditOptions) -> torch.Tensor:
    """Draw (num_images, N, C) noise on the CPU; image i depends on the seed and i alone."""
    seeds = [(options.seed * 1_000_003 + i) % 2**63 for i in range(options.num_images)]
    return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(s)) for s in seeds])
