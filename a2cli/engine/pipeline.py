"""One edit: prepare, context pass, target passes, decode, paste back. Arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional as F

from a2cli.backbones.base import Backbone
from a2cli.backbones.quantize import load_quantized
from a2cli.backbones.registry import load_backbone_class
from a2cli.config.memory import MemoryConfig, Offload
from a2cli.context.passes import Condition, TwoPass
from a2cli.engine.adapters import choose_adapters, load_experts, load_region_adapter, remedy
from a2cli.engine.memory import check_memory, get_home, place_pipeline
from a2cli.engine.prepare import Prepared, choose_size, get_start, prepare_edit, to_picture, to_pixels
from a2cli.engine.sampling import EditOptions, Walk, get_noise
from a2cli.errors import BackboneError
from a2cli.flow.samplers import Callback
from a2cli.images.border import continue_ground, correct_drift
from a2cli.images.cutout import Cutout
from a2cli.images.geometry import crop_mask, paste_back
from a2cli.metrics.models import get_device
from a2cli.quiet import loading_quietly

if TYPE_CHECKING:
    from a2cli.engine.hold import Hold
    from a2cli.region import RegionInputs, RegionModel

__all__ = ["EditOptions", "EditPipeline", "Edited", "get_noise"]


@dataclass(frozen=True)
class Edited:
    """What an edit made.

    `pictures` (H, W, 3) float32 in [0, 255] are repainted over the whole crop: blend them by the mask. With region
    hold `region` (H, W) float32 in [0, 1] says how much of them is to show, times the mask's own weight, and `hold`
    what was decided and why; None without.
    """

    pictures: list[np.ndarray]
    region: np.ndarray | None = None
    hold: Hold | None = None


def choose_dtype(dtype: str, device: str) -> str:
    """The number format of an edit, "auto" resolved for a device."""
    return ("bfloat16" if device.startswith("cuda") else "float32") if dtype == "auto" else dtype


class EditPipeline:
    """A backbone, perhaps with adapters, ready to edit photos.

    `buckets`: the adapter was trained on crops whose aspect follows the mask's. They are edited so, as they are
    where the base was. `region` is a region adapter, which acts only where a region is given, inferred or held;
    `two_pass` is the one whose state that adapter reads, where it was made elsewhere.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        experts: Any = None,
        adapter_hash: str = "",
        buckets: bool = False,
        region: RegionModel | None = None,
        two_pass: TwoPass | None = None,
    ) -> None:
        self.backbone = backbone
        self.experts = experts
        self.adapter_hash = adapter_hash
        self.buckets = buckets or backbone.traits.buckets
        self.two_pass = two_pass or TwoPass(
            backbone.transformer, guidance=backbone.traits.guidance, experts=experts
        )
        self.region = region
        self.region_hash = ""
        self.offload: Offload = "none"

    @classmethod
    def load(
        cls,
        backbone: str = "nano",
        *,
        model: str | None = None,
        adapter: str | Sequence[str] | None = None,
        device: str = "auto",
        dtype: str = "auto",
        memory: MemoryConfig | None = None,
        num_images: int = 1,
        note: Callable[[str], None] | None = None,
    ) -> EditPipeline:
        """Load a backbone by name and adapter folders, one of a kind (experts, low-rank, region).

        `adapter` None takes those shipped with the embedded model when that model is used; "none" takes
        none. `memory` keeps it within a GPU's, for edits of `num_images` pictures; `note` is told what was chosen.
        Raises `BackboneError` or `CheckpointError`, `ConfigError` for two of a kind and for memory that does not
        suffice.
        """
        device, memory = get_device(device), memory or MemoryConfig()
        check_memory(memory, device)
        dtype = choose_dtype(dtype, device)
        adapters = choose_adapters(adapter, backbone=backbone, model=model)
        with (
            remedy("download or export the model again, or name another --model"),
            loading_quietly("diffusers", "transformers"),
        ):
            loaded: Backbone = load_quantized(
                load_backbone_class(backbone),
                model,
                device=get_home(memory, device),
                dtype=dtype,
                quantize=memory.quantize,
            )
        experts, recipe = load_experts(loaded, adapters, getattr(torch, dtype))
        buckets = recipe.get("buckets", False) is True  # older adapters and those of others say nothing of it
        pipeline = cls(loaded, experts=experts, adapter_hash=adapters.hash, buckets=buckets)
        pipeline.region = load_region_adapter(loaded, adapters, pipeline.two_pass, getattr(torch, dtype))
        pipeline.region_hash = adapters.region_hash
        pipeline.offload = place_pipeline(pipeline, memory, device, num_images=num_images, note=note)
        return pipeline

    def generate(
        self,
        photo: np.ndarray,
        mask: np.ndarray,
        subject: Cutout,
        options: EditOptions | None = None,
        *,
        region: np.ndarray | None = None,
        callback: Callback | None = None,
    ) -> list[np.ndarray]:
        """The pictures of `run`."""
        return self.run(photo, mask, subject, options, region=region, callback=callback).pictures

    @torch.no_grad()
    def run(
        self,
        photo: np.ndarray,
        mask: np.ndarray,
        subject: Cutout,
        options: EditOptions | None = None,
        *,
        region: np.ndarray | None = None,
        callback: Callback | None = None,
    ) -> Edited:
        """Put the subject under the mask.

        `photo` (H, W, 3) uint8, `mask` (H, W) in [0, 1]. `region` (H, W) in [0, 1], where it is known more exactly
        what is to change, switches the region adapter on; None leaves it off. `options.localize` with way "mask" holds
        what the edit does not need. Returns `num_images` pictures whose crop is repainted whole: nothing outside the
        mask is kept for you. Raises `DataError` for an empty mask or subject, `BackboneError` for NaN.
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
        condition = self.build_condition(prepared, options.prompt)
        begin = get_start(prepared) if traits.prior_noise is not None else None
        start = None
        if begin is not None:
            start = self.backbone.encode_pixels(to_pixels(begin[None]).to(self.backbone.device))
        inputs = (
            None if region is None else self.get_region_inputs(condition, crop_mask(region, prepared.crop))
        )
        walk = Walk(
            self.two_pass, traits, condition, options, start=start, region_inputs=inputs, callback=callback
        )
        hold = None
        if options.localize is not None and options.localize.way == "mask":
            from a2cli.engine.hold import walk_held

            prepared, hold = walk_held(self, walk, prepared, condition, options)
            begin = get_start(prepared) if begin is not None and hold.left else begin
        walk.advance()
        decoded = self._finish(walk, condition.grid, prepared, begin)
        kept = None
        if hold is not None and hold.held:
            from a2cli.engine.hold import get_kept_region

            kept = get_kept_region((photo.shape[0], photo.shape[1]), prepared, hold, decoded)
        canvas = photo.astype(np.float32)
        # Bicubic enlargement overshoots.
        pictures = [np.clip(paste_back(canvas, p, prepared.crop), 0, 255) for p in decoded]
        return Edited(pictures, kept, hold)

    def build_condition(self, prepared: Prepared, prompt: str) -> Condition:
        """Encode what is known of one edit."""
        device = self.backbone.device
        return self.backbone.build_condition(
            to_pixels(prepared.masked[None]).to(device),
            torch.from_numpy(prepared.mask)[None, None].float().to(device),
            to_pixels(prepared.reference[None]).to(device),
            [prompt],
        )

    def get_region_inputs(self, condition: Condition, region: np.ndarray) -> RegionInputs | None:
        """What the region adapter reads of a region (h, w) in [0, 1] at working size; None where there is none."""
        if self.region is None or not self.region.config.adapter:
            return None
        token_px = region.shape[0] // condition.grid[0]
        from a2cli.engine.words import get_prompt_states

        words = get_prompt_states(self.backbone, condition)
        tokens = F.avg_pool2d(torch.from_numpy(region.astype(np.float32))[None, None], token_px).flatten(1)
        return self.region.encode(tokens.to(condition.masked.device), condition.grid, words)

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
        walk = Walk(self.two_pass, self.backbone.traits, condition, options, start=start, callback=callback)
        walk.advance()
        return walk.get_tokens()

    def _finish(
        self, walk: Walk, grid: tuple[int, int], prepared: Prepared, begin: np.ndarray | None
    ) -> list[np.ndarray]:
        """Decode (h, w, 3) float32 pictures and fit them to the photo around the hole."""
        tokens = walk.get_tokens()
        walk.forget()
        pictures = self.backbone.decode_tokens(tokens, grid)
        if not bool(pictures.isfinite().all()):
            raise BackboneError("the model returned NaN", hint="try --dtype float32")
        decoded = [correct_drift(to_picture(p), prepared.source, prepared.mask) for p in pictures]
        if begin is None:
            return decoded
        return [continue_ground(p, begin, prepared.mask, prepared.placed) for p in decoded]

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
