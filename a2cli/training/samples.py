"""From a pair to a training sample: its mask for the moment, its crop, its prompt. Runs in loader processes."""

from __future__ import annotations

from typing import Any

import numpy as np

from a2cli.data.records import Pair
from a2cli.data.synth import repose
from a2cli.engine.prepare import Prepared, choose_size, get_start, prepare_edit
from a2cli.images.cutout import Cutout
from a2cli.images.geometry import Crop, crop_image, crop_mask, get_zoom_crop
from a2cli.masks.augment import RoughConfig, box_of, get_object_size
from a2cli.masks.curriculum import apply_stage, sample_stage
from a2cli.masks.morph import dilate_disc, get_iou
from a2cli.training.config import DataConfig, TrainConfig
from a2cli.types import Stage


def get_size(fine: np.ndarray, data: DataConfig, token_px: int) -> tuple[int, int]:
    """The working size (h, w) that a sample with this fine mask asks for: its bucket, or the square."""
    if not data.buckets:
        return data.resolution, data.resolution
    return choose_size(fine, data.resolution, token_px)


def make_sample(
    pair: Pair,
    config: TrainConfig,
    *,
    size: tuple[int, int],
    step: int,
    sample: int,
    token_px: int,
    start: bool,
) -> dict[str, Any]:
    """Prepare one sample of a run: a function of the pair, of the working size (h, w) and of (seed, step, sample).

    The fine mask becomes that of the stage in force, anew at every visit. Returns pictures (h, w, 3) uint8 (`target`,
    `masked`, with `start` also what the flow starts from) and (S, S, 3) (`reference`), `mask` (h, w) bool, `weight`
    (N,) float32, how much each token counts in the loss, `region` (N,) float32 in [0, 1], the share of each token that
    is to change, prompt, category, stage, and the IoU of mask and fine mask. Of an instruction pair the photo is the
    source, and its sentence the prompt.
    """
    data, rng = config.data, np.random.default_rng([config.seed, 11, sample])
    stage = sample_stage(step, config.steps, config.mats, rng)
    mask = _get_mask(pair.tar_mask, stage, rng, config.rough)
    iou = get_iou(pair.tar_mask, mask)
    if stage != "fine" and rng.random() < data.repose:
        pair = repose(pair, mask, rng)
    context = float(rng.uniform(*data.context))
    prepared = prepare_edit(
        pair.tar_rgb if pair.src_rgb is None else pair.src_rgb,
        mask,
        Cutout(pair.ref_rgb, pair.ref_mask.astype(np.float32)),
        size=size,
        ref_size=data.resolution,
        context=context,
        collage=rng.random() >= data.drop_collage,
        crop=get_fixed_crop(pair.tar_mask, config, size) if data.cache_latents else None,
    )
    texts = (pair.category if pair.src_rgb is None else pair.prompt, pair.prompt or pair.category)
    return {
        "target": prepared.source if pair.src_rgb is None else crop_image(pair.tar_rgb, prepared.crop),
        "masked": prepared.masked,
        **({"start": get_start(prepared)} if start else {}),
        "mask": prepared.mask,
        "weight": get_weights(prepared, pair.tar_mask, token_px, config.loss.region_alpha),
        "region": get_coverage(crop_mask(pair.tar_mask, prepared.crop), token_px).reshape(-1),
        "reference": prepared.reference,
        "prompt": "" if rng.random() < data.drop_prompt else texts[int(rng.integers(2))],
        "category": pair.category,
        "stage": stage,
        "iou": iou,
    }


def collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Put samples together: arrays become tensors (B, ...), all else lists."""
    import torch

    return {
        key: torch.from_numpy(np.stack([sample[key] for sample in samples]))
        if isinstance(first, np.ndarray)
        else [sample[key] for sample in samples]
        for key, first in samples[0].items()
    }


def get_fixed_crop(fine: np.ndarray, config: TrainConfig, size: tuple[int, int]) -> Crop:
    """The crop that depends on record and working size alone: the object grown by the most a rough mask grows."""
    reach = (config.rough.dilate[1] + config.rough.alpha[1]) * get_object_size(fine)
    box = dilate_disc(box_of(fine), reach)
    return get_zoom_crop(box, size=size, context=sum(config.data.context) / 2)


def get_weights(prepared: Prepared, fine: np.ndarray, token_px: int, alpha: float) -> np.ndarray:
    """How much each token counts: 0 where nothing is masked, 1 under the mask, 1 + alpha on the object itself.

    `fine` is the object's mask in the photo. Returns (N,) float32 in row order. Source: Edit Where You Mean, eq. 7.
    """
    weight = _get_token_maximum(prepared.mask.astype(np.float32), token_px) > 0
    if not alpha:
        return weight.astype(np.float32)
    inside = _get_token_maximum(crop_mask(fine, prepared.crop), token_px) > 0.5
    return (weight * (1 + alpha * inside)).astype(np.float32)


def get_coverage(mask: np.ndarray, side: int) -> np.ndarray:
    """Get the share of each tile of `side` px that a mask covers: (h, w) in [0, 1] -> (h/side, w/side) float32."""
    height, width = mask.shape
    tiles = mask.reshape(height // side, side, width // side, side)
    return tiles.mean(axis=(1, 3), dtype=np.float32)


def _get_token_maximum(mask: np.ndarray, token_px: int) -> np.ndarray:
    height, width = mask.shape
    tiles = mask.reshape(height // token_px, token_px, width // token_px, token_px)
    return tiles.max(axis=(1, 3)).reshape(-1)


def _get_mask(fine: np.ndarray, stage: Stage, rng: np.random.Generator, rough: RoughConfig) -> np.ndarray:
    mask = apply_stage(fine, stage, rng, rough) if fine.any() else fine
    if not mask.any():  # a subject too small to see: the middle of the photo is as good as any place
        mask = np.zeros_like(mask)
        mask[mask.shape[0] // 4 : -mask.shape[0] // 4, mask.shape[1] // 4 : -mask.shape[1] // 4] = True
    return mask
