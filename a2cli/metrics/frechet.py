"""FID and KID: how far the edits, as a set, are from their targets in the features of Inception v3.

Where a photo is given another subject than it had (unpaired try-on), there is no target, and the photos themselves are
what real pictures look like.

Both compare distributions, so one number stands for all edits. FID of few samples is biased upwards, the more so the
fewer: with n below some thousands it ranks methods only at equal n, and its size says little. KID has no such bias,
but scatters, and can fall a little below 0.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import numpy as np

from a2cli import __version__
from a2cli.errors import DataError
from a2cli.files import show_name
from a2cli.metrics.measure import Values, Weights
from a2cli.metrics.memory import FeatureMemory, get_content_key
from a2cli.metrics.models import get_device
from a2cli.metrics.precision import run_exactly
from a2cli.metrics.resize import resize_clean, resize_legacy
from a2cli.metrics.shots import Region, Shot, get_view
from a2cli.metrics.table import MetricInfo, find_metric, get_key
from a2cli.metrics.weights import find_weights

if TYPE_CHECKING:
    from torch import Tensor, nn

RESIZES: dict[str, Callable[[np.ndarray], np.ndarray]] = {"clean": resize_clean, "legacy": resize_legacy}
KEPT = 8192  # feature vectors of 8 KiB
BLOCK = 1024  # rows of a kernel matrix at a time

log = logging.getLogger(__name__)


def get_frechet_distance(mu1: np.ndarray, sigma1: np.ndarray, mu2: np.ndarray, sigma2: np.ndarray) -> float:
    """Squared Frechet distance of two normal distributions, 0 or more: means (d,), covariances (d, d).

    |mu1 - mu2|^2 + tr(sigma1) + tr(sigma2) - 2 tr((sigma1 sigma2)^(1/2)), in float64. The last trace is the sum of the
    singular values of sigma1^(1/2) sigma2^(1/2), so nothing is inverted and nothing turns complex where a covariance
    is singular. Source: Dowson and Landau, 1982; Heusel et al., 2017.
    """
    means = np.asarray(mu1, np.float64), np.asarray(mu2, np.float64)
    first, second = (np.asarray(sigma, np.float64) for sigma in (sigma1, sigma2))
    shared = np.linalg.svd(_get_root(first) @ _get_root(second), compute_uv=False).sum()
    return _add_up(*means, np.trace(first) + np.trace(second), shared)


def _get_root(sigma: np.ndarray) -> np.ndarray:
    """The symmetric square root of a covariance; eigenvalues below 0 are rounding."""
    values, vectors = np.linalg.eigh((sigma + sigma.T) / 2)
    root: np.ndarray = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    return root


def _add_up(mu1: np.ndarray, mu2: np.ndarray, traces: float, shared: float) -> float:
    return max(float(np.square(mu1 - mu2).sum() + traces - 2 * shared), 0.0)


def get_sample_frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """FID of features (n, d) and (m, d): `get_frechet_distance` of their means and covariances (n - 1 in these).

    With fewer samples than features the covariances are not formed: for centred X and Y the trace of the root is the
    sum of the singular values of X Y^T / sqrt((n - 1)(m - 1)). Exact where they are singular, and faster. Raises
    `DataError` with less than two samples on either side.
    """
    x, y = _check_samples(first, second)
    mu1, mu2 = x.mean(0), y.mean(0)
    if max(len(x), len(y)) >= x.shape[1]:
        return get_frechet_distance(
            mu1, np.atleast_2d(np.cov(x, rowvar=False)), mu2, np.atleast_2d(np.cov(y, rowvar=False))
        )
    x, y = (x - mu1) / np.sqrt(len(x) - 1), (y - mu2) / np.sqrt(len(y) - 1)
    shared = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    return _add_up(mu1, mu2, np.square(x).sum() + np.square(y).sum(), shared)


def get_kernel_distance(first: np.ndarray, second: np.ndarray) -> float:
    """KID of features (n, d) and (m, d): the unbiased squared maximum mean discrepancy, all samples at once.

    Kernel (x.y / d + 1)^3. Can be slightly negative. Raises `DataError` with less than two samples on either side.
    Source: Binkowski et al., 2018, who average over subsets where this takes one; Gretton et al., 2012, eq. 3.
    """
    x, y = _check_samples(first, second)
    n, m = len(x), len(y)
    within = (_sum_kernel(x, x) - _sum_own_kernel(x)) / (n * (n - 1))
    within += (_sum_kernel(y, y) - _sum_own_kernel(y)) / (m * (m - 1))
    return float(within - 2 * _sum_kernel(x, y) / (n * m))


def _sum_kernel(x: np.ndarray, y: np.ndarray) -> float:
    return float(sum(_cube(x[i : i + BLOCK] @ y.T, x.shape[1]) for i in range(0, len(x), BLOCK)))


def _sum_own_kernel(x: np.ndarray) -> float:
    return _cube(np.square(x).sum(1), x.shape[1])


def _cube(products: np.ndarray, width: int) -> float:
    return float(((products / width + 1) ** 3).sum())


def _check_samples(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise DataError(f"features of {x.shape} and {y.shape} cannot be compared")
    if min(len(x), len(y)) < 2:
        raise DataError("one sample has no distribution", hint="FID and KID need two edits or more")
    return x, y


@dataclass
class FrechetMeasure:
    """FID and KID of edits to real pictures; see `SetMeasure`. Pictures run through the network one by one, so that
    features never depend on company; each (picture, region, resizing) once, as long as it is remembered.
    """

    infos: Sequence[MetricInfo]
    implementation: str
    network: nn.Module
    device: str
    _memory: FeatureMemory = field(default_factory=lambda: FeatureMemory(KEPT), repr=False)

    def embed(self, shots: Sequence[Shot]) -> list[Mapping[str, np.ndarray]]:
        """Features (2, 2048) float32 of each shot's edit and real picture, by key; nothing for a shot without one."""
        return [self._embed_shot(shot) for shot in shots]

    def compare(self, features: Mapping[str, np.ndarray]) -> Values:
        """FID and KID by key from stacked features (n, 2, d); a key with n < 2 or features not finite is left out."""
        values: Values = {}
        for key, stacked in features.items():
            if len(stacked) < 2 or not np.isfinite(stacked).all():
                continue
            kind = find_metric(key).name.partition("_")[0]
            compare = get_sample_frechet_distance if kind == "fid" else get_kernel_distance
            try:
                values[key] = compare(stacked[:, 0], stacked[:, 1])
            except np.linalg.LinAlgError as error:
                log.warning(f"no {key} of {len(stacked)} edits: {error}")
        return values

    def _embed_shot(self, shot: Shot) -> Mapping[str, np.ndarray]:
        real = get_real(shot)
        if real is None:
            return {}
        pairs: dict[tuple[str, str], np.ndarray] = {}
        features = {}
        for info in self.infos:
            way = get_resize(info)
            for region in info.regions:
                if (region, way) not in pairs:
                    views = (get_view(rgb, shot.mask, cast(Region, region)) for rgb in (shot.edited, real))
                    pairs[region, way] = np.stack([self._embed_view(view, way) for view in views])
                if np.isfinite(pairs[region, way]).all():
                    features[get_key(info.name, region)] = pairs[region, way]
                else:
                    log.warning(
                        f"{show_name(shot.id)}: {get_key(info.name, region)} has features that are not finite"
                    )
        return features

    def _embed_view(self, rgb: np.ndarray, way: str) -> np.ndarray:
        import torch

        key = way.encode() + get_content_key(rgb)
        if (feature := self._memory.find(key)) is None:
            with run_exactly():
                found: Tensor = self.network(torch.from_numpy(RESIZES[way](rgb))[None].to(self.device))
            feature = found[0].cpu().numpy()
            self._memory.keep(key, feature)
        return feature


def get_real(shot: Shot) -> np.ndarray | None:
    """The target, or the whole photo that a hole was cut into where no target is known; None for other shots."""
    return shot.source if shot.target is None and shot.hole else shot.target


def get_resize(info: MetricInfo) -> str:
    """Which of `RESIZES` a metric's pictures go through."""
    return "legacy" if info.name.endswith("_legacy") else "clean"


def build_measure(infos: Sequence[MetricInfo], weights: Weights, device: str) -> FrechetMeasure:
    """Open Inception v3 for `infos` (fid, kid, fid_legacy, kid_legacy).

    Raises `BackboneError` when its weights are not there, `CheckpointError` for damaged ones.
    """
    from a2cli.metrics.inception import load_inception

    where = get_device(device)
    network, digest = load_inception(find_weights(weights, "inception"), where)
    text = (
        f"a2 {__version__} Inception v3 of 2015, float32, weights sha256:{digest}; resized as clean-fid does "
        "(bicubic, antialiased, unrounded), for legacy as pytorch-fid does (bilinear)"
    )
    return FrechetMeasure(infos, text, network, where)
