"""FID and KID equal their formulas and torchmetrics; features are computed once and depend on nothing else."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from random_weights import make_pair
from scipy.linalg import sqrtm
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from a2cli.errors import DataError
from a2cli.metrics import frechet
from a2cli.metrics.frechet import (
    FrechetMeasure,
    get_frechet_distance,
    get_kernel_distance,
    get_sample_frechet_distance,
)
from a2cli.metrics.resize import resize_clean, resize_legacy
from a2cli.metrics.shots import REGIONS, Shot, get_view
from a2cli.metrics.table import METRICS, get_key

RNG = np.random.default_rng(0)


def make_features(n: int, m: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Features as a network has them: not negative, unlike in scale, dependent on each other."""
    mixed = RNG.normal(size=(d, d))
    first, second = RNG.normal(size=(n, d)) @ mixed, RNG.normal(size=(m, d)) @ mixed * 1.3 + 0.4
    return first.clip(0).astype(np.float32), second.clip(0).astype(np.float32)


def get_moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return x.mean(0, dtype=np.float64), np.cov(x.astype(np.float64), rowvar=False)


class Echo(nn.Module):
    """A network for torchmetrics whose features are its pictures: (n, 1, 1, d) -> (n, d)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.num_features = width

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)


def test_known_normal_distributions() -> None:
    eye, zero = np.eye(5), np.zeros(5)
    mean = np.array([1.0, -2, 0, 0.5, 3])
    assert get_frechet_distance(mean, eye, zero, eye) == pytest.approx(float(mean @ mean))
    assert get_frechet_distance(mean, 4 * eye, zero, 9 * eye) == pytest.approx(float(mean @ mean) + 5)
    first, second = np.array([1.0, 4, 9, 0, 2]), np.array([4.0, 1, 0, 7, 2])
    expected = np.square(np.sqrt(first) - np.sqrt(second)).sum()
    assert get_frechet_distance(zero, np.diag(first), zero, np.diag(second)) == pytest.approx(expected)


def test_two_dimensions_have_a_closed_form() -> None:
    for _ in range(20):
        a, b = (factor @ factor.T for factor in RNG.normal(size=(2, 2, 2)))
        root = np.sqrt(np.trace(a @ b) + 2 * np.sqrt(np.linalg.det(a @ b)))
        expected = np.trace(a) + np.trace(b) - 2 * root
        assert get_frechet_distance(np.zeros(2), a, np.zeros(2), b) == pytest.approx(expected, abs=1e-9)


def test_the_root_is_that_of_scipy() -> None:
    (mu1, sigma1), (mu2, sigma2) = (get_moments(x) for x in make_features(80, 70, 24))
    root = sqrtm(sigma1 @ sigma2).real
    expected = np.square(mu1 - mu2).sum() + np.trace(sigma1 + sigma2 - 2 * root)
    assert get_frechet_distance(mu1, sigma1, mu2, sigma2) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("n", "m"), [(60, 50), (12, 12), (9, 31), (33, 12)])
def test_fid_is_that_of_torchmetrics(n: int, m: int) -> None:
    first, second = make_features(n, m, 32)
    theirs = FrechetInceptionDistance(Echo(32), normalize=True).set_dtype(torch.float64)
    theirs.update(torch.from_numpy(first)[:, None, None], real=True)
    theirs.update(torch.from_numpy(second)[:, None, None], real=False)
    assert get_sample_frechet_distance(first, second) == pytest.approx(float(theirs.compute()), rel=1e-5)


@pytest.mark.parametrize(("n", "m", "d"), [(2, 2, 64), (20, 33, 64), (63, 40, 64)])
def test_few_samples_equal_the_way_by_covariances(n: int, m: int, d: int) -> None:
    first, second = make_features(n, m, d)
    naive = get_frechet_distance(*get_moments(first), *get_moments(second))
    assert get_sample_frechet_distance(first, second) == pytest.approx(naive, rel=1e-6)


@pytest.mark.parametrize("n", [2, 30, 300])
def test_a_set_is_at_no_distance_from_itself_in_any_order(n: int) -> None:
    first, second = make_features(n, n, 64)
    scale = float(np.square(first).sum())
    assert get_sample_frechet_distance(first, first[RNG.permutation(n)]) <= 1e-12 * scale
    distance = get_sample_frechet_distance(first, second)
    assert distance > 0.1 and distance == pytest.approx(get_sample_frechet_distance(second, first))


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save")
@pytest.mark.parametrize("n", [5, 40])
def test_kid_is_that_of_torchmetrics(n: int) -> None:
    first, second = make_features(n, n, 32)
    theirs = KernelInceptionDistance(Echo(32), normalize=True, subsets=1, subset_size=n)
    theirs.set_dtype(torch.float64)
    theirs.update(torch.from_numpy(first).double()[:, None, None], real=True)
    theirs.update(torch.from_numpy(second).double()[:, None, None], real=False)
    assert get_kernel_distance(first, second) == pytest.approx(float(theirs.compute()[0]), rel=1e-5)


def test_kid_is_the_mean_over_pairs_whatever_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (x.astype(np.float64) for x in make_features(17, 11, 6))

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return float((x @ y / 6 + 1) ** 3)

    within = [
        np.mean([kernel(x[i], x[j]) for i in range(len(x)) for j in range(len(x)) if i != j])
        for x in (first, second)
    ]
    between = np.mean([kernel(x, y) for x in first for y in second])
    expected = sum(within) - 2 * between
    assert get_kernel_distance(first, second) == pytest.approx(expected, rel=1e-9)
    monkeypatch.setattr(frechet, "BLOCK", 4)
    assert get_kernel_distance(first, second) == pytest.approx(expected, rel=1e-9)


def test_kid_of_one_distribution_scatters_about_nothing() -> None:
    values = [get_kernel_distance(*RNG.normal(size=(2, 20, 8))) for _ in range(200)]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(200)
    assert min(values) < 0 < max(values)


@pytest.mark.parametrize("compare", [get_sample_frechet_distance, get_kernel_distance])
def test_one_sample_or_other_widths_are_refused(compare: object) -> None:
    assert callable(compare)
    with pytest.raises(DataError, match="one sample"):
        compare(np.zeros((1, 4)), np.zeros((5, 4)))
    with pytest.raises(DataError, match="cannot be compared"):
        compare(np.zeros((5, 3)), np.zeros((5, 4)))


class Pooled(nn.Module):
    """Means and deviations of the channels, six features, counting its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += len(x)
        return torch.cat((x.mean((2, 3)), x.std((2, 3))), 1)


class Blind(Pooled):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * torch.nan


def build(*names: str, network: Pooled | None = None) -> FrechetMeasure:
    return FrechetMeasure([METRICS[name] for name in names], "tiny", network or Pooled(), "cpu")


def make_shot(seed: int, size: tuple[int, int] = (40, 52)) -> Shot:
    target, edited = make_pair(*size, seed=seed)
    mask = np.zeros(size, bool)
    mask[4 + seed : 30, 7:29] = mask[30:, 7:9] = True
    return Shot(f"shot {seed}", edited, mask, target=target)


def test_features_are_those_of_each_region_and_resizing() -> None:
    shot = make_shot(3)
    (found,) = build("fid", "kid_legacy").embed([shot])
    for name, resize in (("fid", resize_clean), ("kid_legacy", resize_legacy)):
        for region in REGIONS:
            for row, rgb in enumerate((shot.edited, shot.target)):
                assert rgb is not None
                planes = torch.from_numpy(resize(get_view(rgb, shot.mask, region)))[None]
                features = found[get_key(name, region)]
                assert features.shape == (2, 6) and features.dtype == np.float32
                np.testing.assert_array_equal(features[row], Pooled()(planes)[0].numpy())
    assert len(found) == 6


def test_each_picture_is_run_once_and_nothing_that_was_not_asked_for() -> None:
    network = Pooled()
    measure = build("fid", "kid", network=network)
    shots = [make_shot(0), make_shot(1)]
    measure.embed(shots)
    assert network.calls == 2 * 2 * 3  # shots, pictures, regions; both metrics share them
    again = replace(shots[0], id="another method", edited=shots[1].edited)
    measure.embed([*shots, again])
    assert network.calls == 2 * 2 * 3 + 2  # its edit under another mask, the whole of which is known
    build("fid", "fid_legacy", network=network).embed(shots[:1])
    assert network.calls == 2 * 2 * 3 + 2 + 2 * 3 * 2


def test_features_depend_on_no_company_and_values_on_no_order() -> None:
    shots = [make_shot(seed) for seed in range(6)]
    together = build("fid", "kid").embed(shots)
    alone = [build("fid", "kid").embed([shot])[0] for shot in reversed(shots)][::-1]
    for one, other in zip(together, alone, strict=True):
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[key], other[key]) for key in one)
    measure = build("fid", "kid")
    stacked = {key: np.stack([found[key] for found in together]) for key in together[0]}
    values = measure.compare(stacked)
    turned = measure.compare({key: features[::-1] for key, features in stacked.items()})
    assert values.keys() == {key for name in ("fid", "kid") for key in METRICS[name].keys}
    for key, value in values.items():
        compare = get_sample_frechet_distance if key.startswith("fid") else get_kernel_distance
        assert value == compare(stacked[key][:, 0], stacked[key][:, 1])
        assert value == pytest.approx(turned[key], rel=1e-6, abs=1e-12)


def test_a_shot_without_a_target_has_no_features() -> None:
    network = Pooled()
    assert build("fid", network=network).embed([replace(make_shot(0), target=None)]) == [{}]
    assert network.calls == 0


def test_unpaired_edits_are_compared_with_the_photos_themselves() -> None:
    shot = make_shot(3)
    photo = shot.target
    unpaired = replace(shot, target=None, source=photo, hole=True)
    measure = build("fid")
    (paired,), (found,) = measure.embed([shot]), measure.embed([unpaired])
    assert found.keys() == paired.keys() and all((found[key] == paired[key]).all() for key in found)
    assert measure.embed([replace(unpaired, hole=False)]) == [{}]  # an instruction's source is no true edit


def test_features_that_are_not_finite_are_left_out_and_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert build("fid", network=Blind()).embed([make_shot(0)]) == [{}]
    assert "shot 0: fid has features that are not finite" in caplog.text
    measure = build("fid")
    assert measure.compare({"fid": np.full((4, 2, 6), np.nan), "fid@mask": np.zeros((1, 2, 6))}) == {}
