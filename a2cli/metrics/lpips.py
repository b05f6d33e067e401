"""LPIPS: how far two pictures are apart in the features of a network, weighted as people judged (version 0.1).

For each tapped layer the features of both pictures are scaled to unit length at every place, their squared difference
is weighted by channel and averaged over places; the layers are summed (Zhang et al., 2018, eq. 1).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from a2cli import __version__
from a2cli.errors import CheckpointError, DataError
from a2cli.files import show_name
from a2cli.masks.morph import Window, require_bounding_box
from a2cli.metrics.lpips_backbones import BACKBONES, LEAST, SPARE, Backbone, BackboneInfo, build_backbone
from a2cli.metrics.measure import Values, Weights
from a2cli.metrics.models import get_device
from a2cli.metrics.precision import run_exactly
from a2cli.metrics.shots import Shot, get_size
from a2cli.metrics.table import MetricInfo, get_key
from a2cli.metrics.weights import fill_network, find_weights, hash_tensors, load_tensors

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of values in [-1, 1]
EPSILON = 1e-10  # where a network sees nothing
ROWS = 64  # of a layer at a time, so that the differences take little beside the features

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lpips:
    """A network and the weights of its layers, each (C,), none negative."""

    info: BackboneInfo
    backbone: Backbone
    linear: tuple[Tensor, ...]


def scale_pixels(rgb: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 -> (1, 3, H, W) float32 as the networks want it."""
    pixels = torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))[None].to(torch.float32)
    shift, scale = (torch.tensor(values)[:, None, None] for values in (SHIFT, SCALE))
    return (pixels / 127.5 - 1 - shift) / scale


def get_layer_map(first: Tensor, second: Tensor, linear: Tensor) -> Tensor:
    """Weighted squared distance at every place of a layer: features (1, C, h, w), weights (C,) -> (h, w)."""
    strips = []
    for a, b in zip(first[0].split(ROWS, dim=1), second[0].split(ROWS, dim=1), strict=True):
        difference = (_scale_to_unit(a) - _scale_to_unit(b)).square()
        strips.append((difference * linear[:, None, None]).sum(0))
    return torch.cat(strips)


def _scale_to_unit(features: Tensor) -> Tensor:
    return features / (features.square().sum(0, keepdim=True).sqrt() + EPSILON)


def iterate_maps(network: Lpips, first: np.ndarray, second: np.ndarray) -> Iterator[Tensor]:
    """The map (h, w) of each layer for two pictures (H, W, 3) uint8 of one size, both sides LEAST or more.

    Both run in step, so that no more than one layer of each is held.
    """
    device = network.linear[0].device
    taps = [network.backbone.iterate_taps(scale_pixels(rgb).to(device)) for rgb in (first, second)]
    for a, b, linear in zip(*taps, network.linear, strict=True):
        yield get_layer_map(a, b, linear)


def get_distances(
    network: Lpips, first: np.ndarray, second: np.ndarray, mask: np.ndarray | None = None
) -> tuple[float, float | None]:
    """LPIPS of two pictures, and over the pixels of a mask; 0 for equal pictures.

    Pictures (H, W, 3) uint8, mask (H, W) bool, not empty. Over a mask each layer's map is brought to the pictures'
    size bilinearly, as the published spatial variant does, and averaged where the mask is set. Raises `DataError` when
    that takes more memory than this computer has, or comes out infinite.
    """
    _check_memory(network, first.shape)
    total, inside = 0.0, 0.0
    with run_exactly():
        chosen = None if mask is None else torch.from_numpy(mask).to(network.linear[0].device)
        for layer in iterate_maps(network, first, second):
            total += float(layer.mean())
            if chosen is not None:
                large = F.interpolate(
                    layer[None, None], tuple(chosen.shape), mode="bilinear", align_corners=False
                )
                inside += float(large[0, 0][chosen].mean())
    if not np.isfinite(total + inside):
        raise DataError("the distance is not finite")
    return total, None if mask is None else inside


def _check_memory(network: Lpips, size: tuple[int, ...]) -> None:
    """On the CPU only, where asking for too much ends the process; CUDA refuses and names the sizes itself."""
    need = network.info.pixel_bytes * size[0] * size[1]
    have = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if network.linear[0].device.type == "cpu" and need > have:
        raise DataError(f"it takes {need / 2**30:.0f} GiB of memory, there are {have / 2**30:.0f}")


def get_window(mask: np.ndarray) -> Window:
    """Rows and columns of a mask's box; a side shorter than LEAST grows evenly to it, as far as the picture goes."""
    x0, y0, x1, y1 = require_bounding_box(mask)
    return _grow(y0, y1, mask.shape[0]), _grow(x0, x1, mask.shape[1])


def _grow(start: int, stop: int, limit: int) -> slice:
    missing = max(LEAST - (stop - start), 0)
    if missing:
        start = min(max(start - missing // 2, 0), max(limit - LEAST, 0))
    return slice(start, max(stop, start + LEAST) if missing else stop)


@dataclass
class LpipsMeasure:
    """LPIPS of edits to their targets; see `Measure`. Each edit is run with its target and nothing else, so that a
    value never depends on company. Pictures with a side under LEAST pixels have none.
    """

    infos: Sequence[MetricInfo]
    implementation: str
    networks: dict[str, Lpips]

    def measure(self, shots: Sequence[Shot]) -> list[Values]:
        """The values of each shot that has a target."""
        return [self._measure_shot(shot) for shot in shots]

    def _measure_shot(self, shot: Shot) -> Values:
        if shot.target is None:
            return {}
        if min(shot.edited.shape[:2]) < LEAST:
            log.warning(f"{show_name(shot.id)}: no LPIPS of {get_size(shot.edited)}, under {LEAST} pixels")
            return {}
        values: Values = {}
        for info in self.infos:
            values |= _measure_regions(self.networks[info.name], shot, shot.target, info)
        return values


def _measure_regions(network: Lpips, shot: Shot, target: np.ndarray, info: MetricInfo) -> Values:
    window = get_window(shot.mask)
    edited_crop, target_crop = shot.edited[window], target[window]
    everything = edited_crop.shape == shot.edited.shape
    whole = inside = None
    if everything or "image" in info.regions or "mask" in info.regions:
        mask = shot.mask if "mask" in info.regions else None
        whole, inside = _try_distances(network, shot.id, shot.edited, target, mask)
    crop = whole
    if "crop" in info.regions and not everything:
        crop, _ = _try_distances(network, shot.id, edited_crop, target_crop, None)
    found = {"image": whole, "crop": crop, "mask": inside}
    return {
        get_key(info.name, region): value for region in info.regions if (value := found[region]) is not None
    }


def _try_distances(
    network: Lpips, name: str, edited: np.ndarray, target: np.ndarray, mask: np.ndarray | None
) -> tuple[float | None, float | None]:
    try:
        return get_distances(network, edited, target, mask)
    except (DataError, RuntimeError) as error:  # RuntimeError: CUDA's memory
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        log.warning(f"{show_name(name)}: no LPIPS of {network.info.title} at {get_size(edited)}: {reason}")
        return None, None


def get_linear_shapes(channels: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """The weights of layers by the names the lpips package gave them."""
    return {f"lin{i}.model.1.weight": (1, count, 1, 1) for i, count in enumerate(channels)}


def load_linear(path: Path, channels: Sequence[int]) -> dict[str, Tensor]:
    """Read the weights of layers, (1, C, 1, 1) each.

    Raises `CheckpointError` as `weights.load_tensors` does, and for one below 0, which training does not allow.
    """
    tensors = load_tensors(path, get_linear_shapes(channels))
    for name, tensor in tensors.items():
        if bool((tensor < 0).any()):
            raise CheckpointError(
                f"{show_name(str(path))}: tensor {name} is negative in places, LPIPS's is not"
            )
    return tensors


def build_measure(infos: Sequence[MetricInfo], weights: Weights, device: str) -> LpipsMeasure:
    """Open the networks of `infos` (lpips_alex, lpips_vgg, lpips_squeeze).

    Raises `BackboneError` for the first whose weights are not there, `CheckpointError` for damaged ones.
    """
    where = get_device(device)
    networks, notes = {}, []
    for info in infos:
        backbone = BACKBONES[info.name]
        files = (find_weights(weights, backbone.file), find_weights(weights, info.name))
        with torch.device("meta"):
            stack = build_backbone(info.name)
        digest = fill_network(stack, files[0], spare=SPARE)
        linear = load_linear(files[1], backbone.channels)
        layers = tuple(tensor.flatten().to(where) for tensor in linear.values())
        networks[info.name] = Lpips(backbone, stack.to(where), layers)
        notes.append(
            f"{backbone.title} weights sha256:{digest}, linear weights sha256:{hash_tensors(linear)}"
        )
    text = f"a2 {__version__} LPIPS 0.1, float32, boxes grown to {LEAST} px or more; {'; '.join(notes)}"
    return LpipsMeasure(infos, text, networks)
