"""What of a run's inputs is encoded once: prompts, references, targets at a fixed crop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from a2cli.data.records import Pair
from a2cli.data.source import PairSource
from a2cli.engine.prepare import prepare_edit, to_pixels
from a2cli.errors import ConfigError
from a2cli.images.cutout import Cutout
from a2cli.training.config import TrainConfig
from a2cli.training.encodings import PICTURES, TEXT, EncodingCache
from a2cli.training.loading import iterate_batches
from a2cli.training.processes import Processes
from a2cli.training.samples import get_fixed_crop, get_size

TEXT_ENCODERS, IMAGE_ENCODERS = ("text_encoder", "text_encoder_2"), ("image_encoder",)


class Encodings:
    """Fills the cache of a run before its first step, then lets the encoders go that are needed no more.

    The hole-filled photo is encoded at every visit: its mask is drawn anew each time.
    """

    def __init__(self, backbone: Any, config: TrainConfig) -> None:
        self.backbone, self.config, data = backbone, config, config.data
        self.kinds = (
            *(TEXT if data.cache_text_embeddings else ()),
            *(PICTURES if data.cache_latents else ()),
        )
        if not self.kinds:
            return
        if config.model.train in ("base", "text"):
            raise ConfigError("data.cache_*: the base's encoders are being trained", hint="cache nothing")
        if not hasattr(backbone, "memo"):
            raise ConfigError(f"backbone {backbone.name} keeps no encodings", hint="cache nothing")
        if data.repose:
            raise ConfigError(
                "data.repose draws targets anew at every visit", hint="repose: 0 to cache latents"
            )

    def fill(self, source: PairSource, processes: Processes, extra: list[Pair]) -> None:
        """Encode every pair of a finite source and, as references, the pairs in `extra`; the processes share the work.

        Raises ConfigError for an endless source.
        """
        if not self.kinds:
            return
        if source.count is None:
            raise ConfigError("data.cache_*: the pairs never end", hint="data.pairs=N, or no cache")
        backbone, data = self.backbone, self.config.data
        encoders = {n: c for n, c in backbone.components.items() if isinstance(c, torch.nn.Module)}
        encoders.pop("transformer")
        folder = Path(data.cache_dir or Path(self.config.output_dir) / "cache")
        vae = backbone.vae.config
        settings = {
            "autocast": processes.autocast,
            "quantize": self.config.model.quantize,
            "tokens": backbone.max_text_tokens,
            "scales": [vae.scaling_factor, vae.shift_factor],
        }
        cache = backbone.memo = EncodingCache(folder, encoders, self.kinds, json.dumps(settings))
        cache.device = processes.device
        numbers = range(processes.rank, source.count, processes.count)
        with (
            torch.no_grad(),
            torch.autocast(processes.device.type, torch.bfloat16, enabled=processes.autocast),
        ):
            for inputs in self._load(source, numbers):
                self._encode(inputs, processes.device, target=True)
            for pair in extra:
                inputs = self._prepare(pair, self.backbone.traits.resolution)
                self._encode(inputs, processes.device, target=False)
        processes.wait()
        for kinds, parts in ((TEXT, TEXT_ENCODERS), (("image",), IMAGE_ENCODERS)):
            if set(kinds) <= set(self.kinds):
                cache.close(kinds)
                for part in parts:
                    if part in backbone.components:
                        backbone.components[part] = None  # frees the memory, keeps the place

    def encode_target(self, pixels: torch.Tensor) -> torch.Tensor:
        """Encode targets (B, 3, H, W) into packed latents, or take them from the cache."""
        if "target" not in self.kinds:
            return self.backbone.encode_pixels(pixels)
        return self.backbone.recall("target", pixels, lambda p: (self.backbone.encode_pixels(p),))[0]

    def _load(self, source: PairSource, numbers: range) -> Iterator[dict[str, Any]]:
        def make(index: int) -> dict[str, Any]:
            return self._prepare(source.get_pair(numbers[index]), self.config.data.resolution)

        return iterate_batches(make, 0, len(numbers), self.config.data.workers)

    def _prepare(self, pair: Pair, ref_size: int) -> dict[str, Any]:
        """The pictures of a pair in its own bucket; among others of another one its target is encoded anew."""
        subject = Cutout(pair.ref_rgb, pair.ref_mask.astype("float32"))
        size = get_size(pair.tar_mask, self.config.data, self.backbone.traits.token_px)
        crop = get_fixed_crop(pair.tar_mask, self.config, size)
        prepared = prepare_edit(
            pair.tar_rgb, pair.tar_mask, subject, size=size, ref_size=ref_size, collage=False, crop=crop
        )
        return {
            "target": prepared.source,
            "reference": prepared.reference,
            "prompts": ["", pair.category, pair.prompt or pair.category],
        }

    def _encode(self, inputs: dict[str, Any], device: torch.device, *, target: bool) -> None:
        backbone = self.backbone
        if "text" in self.kinds:
            backbone.recall("text", inputs["prompts"], backbone.encode_text)
        if "reference" not in self.kinds:
            return
        reference, pixels = (to_pixels(inputs[k][None]).to(device) for k in ("reference", "target"))
        if "image_encoder" in backbone.components:
            backbone.recall("image", reference, lambda r: (backbone.encode_reference(r),))
        backbone.recall("reference", reference, lambda r: (backbone.encode_pixels(r),))
        if target:
            self.encode_target(pixels)
