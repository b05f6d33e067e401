"""Inception v3 gives the features that torch-fidelity and pytorch-fid give with the same weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from random_weights import make_pair, make_tensor, make_tensors, write_tensors
from torch import Tensor, nn

from a2cli.errors import CheckpointError
from a2cli.metrics.frechet import build_measure
from a2cli.metrics.inception import WIDTH, build_inception, load_inception
from a2cli.metrics.measure import Weights
from a2cli.metrics.resize import resize_clean, resize_legacy
from a2cli.metrics.shots import Shot
from a2cli.metrics.table import METRICS
from a2cli.metrics.weights import get_shapes


@pytest.fixture(scope="module")
def shapes() -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return get_shapes(build_inception())


@pytest.fixture(scope="module")
def path(shapes: dict[str, tuple[int, ...]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    counters = {
        name.replace("weight", "num_batches_tracked"): torch.tensor(0)
        for name in shapes
        if name.endswith("bn.weight")
    }
    classifier = {"fc.weight": torch.zeros(1008, WIDTH), "fc.bias": torch.zeros(1008)}
    content: dict[str, Tensor] = {**make_tensors(shapes), **counters, **classifier}
    return write_tensors(tmp_path_factory.mktemp("weights") / "inception.safetensors", content)


@pytest.fixture(scope="module")
def network(path: Path) -> nn.Sequential:
    return load_inception(path, "cpu")[0]


def test_the_number_of_parameters_is_that_of_the_literature(shapes: dict[str, tuple[int, ...]]) -> None:
    """Keras counts 21,802,784: shift, running mean and variance of a norm, where here it is shift and scale."""
    sizes = {name: int(np.prod(shape)) for name, shape in shapes.items()}
    norms = sum(size for name, size in sizes.items() if name.endswith("bn.bias"))
    parameters = sum(size for name, size in sizes.items() if "running" not in name)
    assert (len(sizes), norms, parameters) == (94 * 5, 17_216, 21_785_568)
    assert parameters + norms == 21_802_784
    assert parameters + 1008 * (WIDTH + 1) == 23_850_960  # of pytorch-fid's state, with its classifier


def test_features_are_those_of_torch_fidelity(network: nn.Sequential) -> None:
    # Recorded from torch-fidelity 0.4.0 with the same weights and picture.
    with torch.inference_mode():
        (features,) = network(torch.from_numpy(resize_clean(make_pair(299, 299)[0]))[None])
    assert features.shape == (WIDTH,)
    expected = torch.tensor([3.36179, 2.04996, 0.0, 2.13628, 0.01333, 0.03758, 2.83238, 0.12332])
    torch.testing.assert_close(features[::256], expected, atol=1e-4, rtol=0)
    assert float(features.mean()) == pytest.approx(2.172642, abs=1e-4)
    assert float(features.std()) == pytest.approx(3.106083, abs=1e-4)


def test_legacy_features_are_those_of_pytorch_fid(network: nn.Sequential) -> None:
    # Recorded from pytorch-fid 0.3.0 with the same weights and picture.
    with torch.inference_mode():
        (features,) = network(torch.from_numpy(resize_legacy(make_pair(200, 160)[0]))[None])
    expected = torch.tensor([2.5228, 1.78021, 0.0, 1.87033, 0.02132, 0.00774, 2.51329, 0.10209])
    torch.testing.assert_close(features[::256], expected, atol=1e-4, rtol=0)
    assert float(features.mean()) == pytest.approx(1.799048, abs=1e-4)


def test_fid_and_kid_from_a_folder_of_weights(path: Path) -> None:
    keys = {"fid", "kid", "fid_legacy"}
    infos = [replace(METRICS[name], regions=("image",)) for name in sorted(keys)]
    measure = build_measure(infos, Weights(folder=str(path.parent)), "cpu")
    shots = []
    for seed in range(2):
        target, edited = make_pair(64, 48)[0], make_pair(64, 48, seed + 1)[1]
        mask = np.zeros((64, 48), bool)
        mask[20:50, 10:30] = True
        shots.append(Shot(str(seed), edited, mask, target=target))
    features = measure.embed(shots)
    assert all(found.keys() == keys for found in features)
    assert all(values.shape == (2, WIDTH) for found in features for values in found.values())
    values = measure.compare({key: np.stack([found[key] for found in features]) for key in keys})
    assert values.keys() == keys and all(np.isfinite(value) for value in values.values())
    assert all(value > 0 for key, value in values.items() if key.startswith("fid"))
    assert "weights sha256:" in measure.implementation and "clean-fid" in measure.implementation


def test_the_network_of_a_model_zoo_is_refused(shapes: dict[str, tuple[int, ...]], tmp_path: Path) -> None:
    small = {name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}
    small["AuxLogits.fc.bias"] = make_tensor("AuxLogits.fc.bias", (1000,))
    content = {name: tensor.to(torch.float16).contiguous() for name, tensor in small.items()}
    path = write_tensors(tmp_path / "inception.safetensors", content)
    with pytest.raises(CheckpointError, match=r"tensor AuxLogits\.fc\.bias belongs to no part"):
        load_inception(path, "cpu")
