"""LPIPS equals the published package and a plain reading of its formula; regions, small pictures, missing weights."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from random_weights import make_pair, make_tensors, read_published, write_tensors
from torch import Tensor, nn

from a2cli.errors import BackboneError, CheckpointError
from a2cli.metrics import lpips
from a2cli.metrics.lpips import LpipsMeasure, build_measure, get_distances, get_window
from a2cli.metrics.lpips_backbones import BACKBONES, LEAST, Backbone, build_backbone
from a2cli.metrics.measure import Weights
from a2cli.metrics.shots import Shot
from a2cli.metrics.table import METRICS
from a2cli.metrics.weights import get_shapes

NAMES = tuple(BACKBONES)
# Whole picture and mask, from lpips 0.1.4 with the same weights, pictures and mask.
RECORDED = {
    "lpips_alex": (0.02694283053278923, 0.02585517428815365),
    "lpips_vgg": (0.02204376831650734, 0.022612981498241425),
    "lpips_squeeze": (0.0496286079287529, 0.04666699096560478),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    for name, info in BACKBONES.items():
        with torch.device("meta"):
            shapes = get_shapes(build_backbone(name))
        classifier = {"classifier.1.weight": torch.zeros(2, 2)}
        write_tensors(folder / "lpips" / f"{info.file}.safetensors", {**make_tensors(shapes), **classifier})
        write_tensors(folder / "lpips" / f"{name}.safetensors", read_published(name))
    return folder


def build(folder: Path, *names: str) -> LpipsMeasure:
    return build_measure([METRICS[name] for name in names], Weights(folder=str(folder)), "cpu")


@pytest.fixture(scope="module")
def alex(folder: Path) -> LpipsMeasure:
    return build(folder, "lpips_alex")


def make_shot(height: int = 80, width: int = 96, seed: int = 0) -> Shot:
    target, edited = make_pair(height, width, seed)
    mask = np.zeros((height, width), bool)
    mask[10:50, 30:90] = True
    return Shot(f"shot {seed}", edited, mask, target=target)


@pytest.mark.parametrize("name", NAMES)
def test_values_are_those_of_the_published_package(folder: Path, name: str) -> None:
    (values,) = build(folder, name).measure([make_shot()])
    assert values.keys() == set(METRICS[name].keys)
    assert values[name] == pytest.approx(RECORDED[name][0], abs=1e-6)
    assert values[f"{name}@mask"] == pytest.approx(RECORDED[name][1], abs=1e-6)


LAYERS = {
    "lpips_alex": "conv:4:2 pool conv:1:2 pool conv:1:1 conv:1:1 conv:1:1",
    "lpips_vgg": "conv conv pool conv conv pool conv conv conv pool conv conv conv pool conv conv conv",
    "lpips_squeeze": "conv:2:0 pool fire fire pool fire fire pool fire fire fire fire",
}
TAPPED = {  # which of the layers below count
    "lpips_alex": (0, 2, 4, 5, 6),
    "lpips_vgg": (1, 4, 8, 12, 16),
    "lpips_squeeze": (0, 3, 6, 8, 9, 10, 11),
}


def get_features(name: str, weights: dict[str, Tensor], x: Tensor) -> list[Tensor]:
    """Activations of the tapped layers, by the layers' tables and the order of the tensors alone."""
    tensors = iter(weights.values())
    kept = []
    for i, layer in enumerate(LAYERS[name].split()):
        kind, *numbers = layer.split(":")
        if kind == "pool":
            x = F.max_pool2d(x, 2 if name == "lpips_vgg" else 3, 2, ceil_mode=name == "lpips_squeeze")
        elif kind == "fire":
            x = F.conv2d(x, next(tensors), next(tensors)).relu()
            small = F.conv2d(x, next(tensors), next(tensors)).relu()
            x = torch.cat((small, F.conv2d(x, next(tensors), next(tensors), padding=1).relu()), 1)
        else:
            stride, padding = map(int, numbers or (1, 1))
            x = F.conv2d(x, next(tensors), next(tensors), stride, padding).relu()
        if i in TAPPED[name]:
            kept.append(x[0])
    assert next(tensors, None) is None
    return kept


@pytest.mark.parametrize("name", NAMES)
def test_values_are_those_of_the_formula_read_plainly(name: str) -> None:
    with torch.device("meta"):
        weights = make_tensors(get_shapes(build_backbone(name)))
    linear = read_published(name)
    first, second = make_pair(37, 45)
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    pixels = [((torch.from_numpy(rgb) / 255 * 2 - 1) - shift) / scale for rgb in (first, second)]
    both = [get_features(name, weights, x.permute(2, 0, 1)[None]) for x in pixels]
    total = 0.0
    for i, (a, b) in enumerate(zip(*both, strict=True)):
        channel_weights = linear[f"lin{i}.model.1.weight"].flatten().numpy()
        layer = 0.0
        for y in range(a.shape[1]):
            for x in range(a.shape[2]):
                u, v = a[:, y, x].numpy(), b[:, y, x].numpy()
                u, v = u / (np.sqrt(np.sum(u * u)) + 1e-10), v / (np.sqrt(np.sum(v * v)) + 1e-10)
                layer += float(np.sum(channel_weights * np.square(u - v)))
        total += layer / (a.shape[1] * a.shape[2])
    backbone = build_backbone(name).requires_grad_(False)
    backbone.load_state_dict(weights)
    network = lpips.Lpips(BACKBONES[name], backbone, tuple(tensor.flatten() for tensor in linear.values()))
    assert total > 1e-3 and get_distances(network, first, second)[0] == pytest.approx(total, abs=1e-5)


def test_equal_pictures_are_at_no_distance_and_order_does_not_matter(alex: LpipsMeasure) -> None:
    network = alex.networks["lpips_alex"]
    first, second = make_pair(64, 64)
    black = np.zeros_like(first)
    mask = first[..., 0] > 100
    assert get_distances(network, first, first, mask) == (0, 0)
    assert get_distances(network, black, black, mask) == (0, 0)
    assert get_distances(network, first, second, mask) == get_distances(network, second, first, mask)


def test_strips_change_nothing(alex: LpipsMeasure, monkeypatch: pytest.MonkeyPatch) -> None:
    network = alex.networks["lpips_alex"]
    before = get_distances(network, *make_pair(200, 64))
    monkeypatch.setattr(lpips, "ROWS", 5)
    assert get_distances(network, *make_pair(200, 64))[0] == pytest.approx(before[0], abs=1e-9)


def test_the_crop_is_its_pictures_own_and_the_mask_that_of_the_map(alex: LpipsMeasure) -> None:
    shot = make_shot()
    assert shot.target is not None
    (values,) = alex.measure([shot])
    crop = Shot("crop", shot.edited[10:50, 30:90], np.ones((40, 60), bool), target=shot.target[10:50, 30:90])
    (alone,) = alex.measure([crop])
    assert values["lpips_alex@crop"] == alone["lpips_alex"] == alone["lpips_alex@crop"]
    outside = shot.edited.copy()
    outside[shot.mask] = shot.target[shot.mask]
    (kept,) = alex.measure([replace(shot, edited=outside)])
    assert kept["lpips_alex@mask"] < 0.6 * values["lpips_alex@mask"]
    (halves,) = alex.measure([replace(shot, mask=~shot.mask)])
    share = float(shot.mask.mean())
    whole = share * values["lpips_alex@mask"] + (1 - share) * halves["lpips_alex@mask"]
    everything = alex.measure([replace(shot, mask=np.ones_like(shot.mask))])[0]["lpips_alex@mask"]
    assert whole == pytest.approx(everything, rel=1e-5)


def test_values_depend_neither_on_order_nor_on_company(alex: LpipsMeasure) -> None:
    shots = [make_shot(80, 96, 0), make_shot(70, 90, 1), make_shot(80, 96, 2)]
    together = alex.measure(shots)
    assert together == alex.measure(shots[::-1])[::-1]
    assert together == [alex.measure([shot])[0] for shot in shots]


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_small_box_grows_within_the_picture(data: st.DataObject) -> None:
    height, width = (data.draw(st.integers(LEAST, 90)) for _ in range(2))
    y0, x0 = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    y1, x1 = data.draw(st.integers(y0 + 1, height)), data.draw(st.integers(x0 + 1, width))
    mask = np.zeros((height, width), bool)
    mask[y0:y1, x0:x1] = True
    for window, start, stop, limit in zip(get_window(mask), (y0, x0), (y1, x1), (height, width), strict=True):
        assert 0 <= window.start <= start and stop <= window.stop <= limit
        assert window.stop - window.start == max(stop - start, LEAST)


def test_a_mask_of_one_pixel_has_a_value(alex: LpipsMeasure) -> None:
    shot = make_shot()
    mask = np.zeros_like(shot.mask)
    mask[0, -1] = True
    (values,) = alex.measure([replace(shot, mask=mask)])
    corner = shot.edited[:LEAST, -LEAST:], shot.target[:LEAST, -LEAST:]  # type: ignore[index]
    assert values["lpips_alex@crop"] == get_distances(alex.networks["lpips_alex"], *corner)[0] > 0


@pytest.mark.parametrize("name", NAMES)
def test_the_least_side_is_enough_for_every_network(folder: Path, name: str) -> None:
    target, edited = make_pair(LEAST, LEAST)
    shot = Shot("least", edited, np.ones((LEAST, LEAST), bool), target=target)
    assert build(folder, name).measure([shot])[0].keys() == set(METRICS[name].keys)


def test_what_has_no_value_is_left_out(alex: LpipsMeasure, caplog: pytest.LogCaptureFixture) -> None:
    target, edited = make_pair(LEAST - 1, 200)
    small = Shot("a\nstrip", edited, np.ones((LEAST - 1, 200), bool), target=target)
    with caplog.at_level(logging.WARNING):
        values = alex.measure([small, replace(make_shot(), target=None), make_shot()])
    assert values[:2] == [{}, {}] and len(values[2]) == 3
    assert r"a\nstrip: no LPIPS of 200 x 31, under 32 pixels" in caplog.text


def test_a_picture_beyond_the_memory_leaves_its_crop(
    alex: LpipsMeasure, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"SC_PHYS_PAGES": 80 * 90 * BACKBONES["lpips_alex"].pixel_bytes // 4096, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__)
    with caplog.at_level(logging.WARNING):
        (values,) = alex.measure([make_shot()])
    assert values.keys() == {"lpips_alex@crop"}
    assert "shot 0: no LPIPS of AlexNet at 96 x 80" in caplog.text and "memory" in caplog.text


class Full(nn.Module):
    """A layer that fails as CUDA does when its memory is full."""

    def forward(self, x: Tensor) -> Tensor:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.\nTried to allocate")


def test_a_full_device_costs_that_value_only(alex: LpipsMeasure, caplog: pytest.LogCaptureFixture) -> None:
    fine = alex.networks["lpips_alex"]
    full = replace(fine, backbone=Backbone(nn.Sequential(Full()), (0,)))
    infos = [METRICS["lpips_alex"], METRICS["lpips_squeeze"]]
    both = LpipsMeasure(infos, "", {"lpips_alex": fine, "lpips_squeeze": full})
    with caplog.at_level(logging.WARNING):
        assert both.measure([make_shot()]) == alex.measure([make_shot()])
    assert "at 96 x 80: CUDA out of memory." in caplog.text and "Tried" not in caplog.text


def test_the_record_tells_the_weights(folder: Path, alex: LpipsMeasure, tmp_path: Path) -> None:
    squeeze = build(folder, "lpips_squeeze").implementation
    assert re.search(
        r"LPIPS 0\.1.*AlexNet weights sha256:[0-9a-f]{16}, linear weights sha256:", alex.implementation
    )
    assert "SqueezeNet" in squeeze and squeeze != alex.implementation
    linear = {name: tensor * 2 for name, tensor in read_published("lpips_alex").items()}
    write_tensors(tmp_path / "lpips_alex.safetensors", linear)
    os.link(folder / "lpips" / "alexnet.safetensors", tmp_path / "alexnet.safetensors")
    doubled = build_measure([METRICS["lpips_alex"]], Weights(lpips=str(tmp_path)), "cpu")
    assert doubled.implementation != alex.implementation
    assert doubled.measure([make_shot()])[0]["lpips_alex"] == pytest.approx(
        2 * alex.measure([make_shot()])[0]["lpips_alex"]
    )


@pytest.mark.parametrize("missing", ["squeezenet1_1", "lpips_squeeze"])
def test_a_missing_file_is_named(folder: Path, tmp_path: Path, missing: str) -> None:
    (tmp_path / "lpips").mkdir()
    for path in (folder / "lpips").glob("*squeeze*"):
        if path.stem != missing:
            os.link(path, tmp_path / "lpips" / path.name)
    with pytest.raises(BackboneError, match=rf"{missing}\.safetensors: no such file"):
        build(tmp_path, "lpips_squeeze")


def test_a_negative_weight_is_refused(folder: Path, tmp_path: Path) -> None:
    linear = read_published("lpips_alex")
    linear["lin3.model.1.weight"][0, 5] = -1e-4
    write_tensors(tmp_path / "lpips" / "lpips_alex.safetensors", linear)
    os.link(folder / "lpips" / "alexnet.safetensors", tmp_path / "lpips" / "alexnet.safetensors")
    with pytest.raises(CheckpointError, match=r"tensor lin3\.model\.1\.weight is negative"):
        build(tmp_path, "lpips_alex")
